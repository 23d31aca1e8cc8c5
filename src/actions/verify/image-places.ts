import { BullaError } from '../../errors.ts';

/** A path to images in objects of a kind that is not known: names and `[*]`, as `spec.jobs[*].image`. */
export type ImagePath = readonly string[];

/** Where the specification of pods stands, by kind (Kubernetes API). */
export const POD_SPECS: ReadonlyMap<string, string> = new Map([
  ['Pod', 'spec'],
  ['PodTemplate', 'template.spec'],
  ['CronJob', 'spec.jobTemplate.spec.template.spec'],
  ...['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'ReplicationController', 'Job'].map(
    (kind) => [kind, 'spec.template.spec'] as const,
  ),
]);
/** Lists of containers in the specification of a pod. Images can also be volumes: `volumes[].image.reference`. */
export const CONTAINER_LISTS = ['initContainers', 'containers', 'ephemeralContainers'] as const;
const OWN_VERSION = /^(?:v\d+[a-z0-9]*|(?:apps|batch|policy|autoscaling|extensions|[a-z.]+\.k8s\.io)\/.+)$/;

/** Whether an `apiVersion` is of Kubernetes itself, whose other kinds name no images. */
export function isOwnVersion(apiVersion: string): boolean {
  return OWN_VERSION.test(apiVersion);
}

/** @throws BullaError usage */
export function parseImagePath(text: string): ImagePath {
  const parts = text
    .replaceAll('[*]', '.*')
    .split('.')
    .filter((part) => part !== '');
  if (parts.length > 0 && parts.every((part) => /^(?:\*|[A-Za-z0-9_-]+)$/.test(part))) return parts;
  throw new BullaError('usage', `${JSON.stringify(text)} is not a path to images`, {
    hint: 'write names with dots, and [*] for every element: spec.jobs[*].image',
  });
}

/** An image as Kubernetes reads it: without a tag it is `latest`. */
export function withTag(written: string): string {
  const last = written.slice(written.lastIndexOf('/') + 1);
  return /[:@]/.test(last) ? written : `${written}:latest`;
}
