import { isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments, type Scalar } from 'yaml';
import { BullaError } from '../../errors.ts';

/** One place in a manifest where an image is named. */
export interface ImageUse {
  /** The reference as Kubernetes and compose read it: without a tag it is `latest`. */
  readonly image: string;
  /** As it is written. */
  readonly written: string;
  /** `Deployment/web`, `compose service web` */
  readonly owner: string;
  readonly line: number;
  /** Where a digest goes: right behind what is written. */
  readonly end: number;
}

/** What was found in one file. */
export interface Manifests {
  readonly uses: readonly ImageUse[];
  /** Kinds that are not known, in which images were looked for by what pods look like. */
  readonly guessed: readonly string[];
}

/** A path to images in objects of a kind that is not known: names and `[*]`, as `spec.jobs[*].image`. */
export type ImagePath = readonly string[];

/** Where the specification of pods stands, by kind (Kubernetes API). */
const POD_SPECS: ReadonlyMap<string, string> = new Map([
  ['Pod', 'spec'],
  ['PodTemplate', 'template.spec'],
  ['CronJob', 'spec.jobTemplate.spec.template.spec'],
  ...['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'ReplicationController', 'Job'].map(
    (kind) => [kind, 'spec.template.spec'] as const,
  ),
]);
/** Groups of Kubernetes itself: their other kinds name no images. */
const OWN_GROUP = /^(?:v\d+[a-z0-9]*|(?:apps|batch|policy|autoscaling|extensions|[a-z.]+\.k8s\.io)\/.+)$/;
const MAX_DEPTH = 64;

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

/**
 * The images in Kubernetes manifests (lists and Helm's output included) and compose files, YAML or JSON.
 * @param where names the file in messages
 * @param paths where other kinds name images
 * @throws BullaError content-invalid for what is not YAML, or has an image that is not text
 */
export function imagesInManifests(text: string, where: string, paths: readonly ImagePath[] = []): Manifests {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  const found = new Finder(where, lines, paths);
  for (const document of Array.isArray(documents) ? documents : []) {
    const [error] = document.errors;
    if (error !== undefined)
      throw new BullaError('content-invalid', `${where} is not YAML: ${error.message}`, {
        cause: error,
        hint: 'templates must be rendered first: helm template … | bulla verify --k8s -',
      });
    found.object(document.contents);
  }
  return { uses: found.uses, guessed: [...found.guessed] };
}

/** The text with each image followed by its digest; comments, order and everything else stay. @param digestOf of the uses to be pinned */
export function pinned(
  text: string,
  uses: readonly ImageUse[],
  digestOf: (use: ImageUse) => string | undefined,
): string {
  let result = text;
  for (const use of [...uses].sort((a, b) => b.end - a.end)) {
    const digest = digestOf(use);
    if (digest === undefined || use.written.includes('@')) continue;
    result = `${result.slice(0, use.end)}@${digest}${result.slice(use.end)}`;
  }
  return result;
}

class Finder {
  readonly uses: ImageUse[] = [];
  readonly guessed = new Set<string>();
  private readonly where: string;
  private readonly lines: LineCounter;
  private readonly paths: readonly ImagePath[];

  constructor(where: string, lines: LineCounter, paths: readonly ImagePath[]) {
    this.where = where;
    this.lines = lines;
    this.paths = paths;
  }

  /** An object of Kubernetes, a list of such, or a compose file. */
  object(node: unknown): void {
    if (!isMap(node)) return;
    const kind = textOf(node.get('kind', true));
    const apiVersion = textOf(node.get('apiVersion', true)) ?? '';
    if (kind === undefined) {
      const services = node.get('services', true);
      if (isMap(services)) this.compose(services);
      return;
    }
    const items = node.get('items', true);
    if (kind.endsWith('List') && isSeq(items)) {
      for (const item of items.items) this.object(item);
      return;
    }
    const name =
      textOf(node.getIn(['metadata', 'name'], true)) ??
      textOf(node.getIn(['metadata', 'generateName'], true));
    const owner = name === undefined ? kind : `${kind}/${name}`;
    const isOwn = OWN_GROUP.test(apiVersion);
    const path = isOwn ? POD_SPECS.get(kind) : undefined;
    if (path !== undefined) this.podSpec(node.getIn(path.split('.'), true), owner);
    for (const each of this.paths) this.follow(node, each, owner);
    if (isOwn || this.paths.length > 0) return;
    const before = this.uses.length;
    this.guess(node, owner, 0);
    if (this.uses.length > before) this.guessed.add(`${apiVersion} ${kind}`);
  }

  private compose(services: Node): void {
    if (!isMap(services)) return;
    for (const { key, value } of services.items)
      if (isMap(value) && value.has('image'))
        this.image(value.get('image', true), `compose service ${textOf(key) ?? ''}`);
  }

  /** Containers of all kinds, and volumes that are images. */
  private podSpec(node: unknown, owner: string): void {
    if (!isMap(node)) return;
    for (const list of ['initContainers', 'containers', 'ephemeralContainers']) {
      const containers = node.get(list, true);
      if (!isSeq(containers)) continue;
      for (const container of containers.items)
        if (isMap(container) && container.has('image')) this.image(container.get('image', true), owner);
    }
    const volumes = node.get('volumes', true);
    if (!isSeq(volumes)) return;
    for (const volume of volumes.items) {
      const reference = isMap(volume) ? volume.getIn(['image', 'reference'], true) : undefined;
      if (reference !== undefined) this.image(reference, owner);
    }
  }

  private follow(node: unknown, [first, ...rest]: ImagePath, owner: string): void {
    if (first === undefined) this.image(node, owner);
    else if (first === '*' && isSeq(node)) for (const item of node.items) this.follow(item, rest, owner);
    else if (first === '*' && isMap(node))
      for (const { value } of node.items) this.follow(value, rest, owner);
    else if (isMap(node) && node.has(first)) this.follow(node.get(first, true), rest, owner);
  }

  /** Whatever holds containers, anywhere in an object. */
  private guess(node: unknown, owner: string, depth: number): void {
    if (depth > MAX_DEPTH) return;
    if (isSeq(node)) for (const item of node.items) this.guess(item, owner, depth + 1);
    if (!isMap(node)) return;
    if (isSeq(node.get('containers', true))) this.podSpec(node, owner);
    else for (const { value } of node.items) this.guess(value, owner, depth + 1);
  }

  private image(node: unknown, owner: string): void {
    const written = textOf(node);
    const range = isScalar(node) ? node.range : undefined;
    const line = range ? this.lines.linePos(range[0]).line : 0;
    if (written === undefined || range === undefined || range === null || !isInline(node as Scalar))
      throw new BullaError(
        'content-invalid',
        `${this.where}:${line}: the image of ${owner} is not a text on one line`,
        {
          hint: 'write the reference of the image',
        },
      );
    const isQuoted = (node as Scalar).type !== 'PLAIN';
    this.uses.push({ image: withTag(written), written, owner, line, end: range[1] - (isQuoted ? 1 : 0) });
  }
}

function isInline({ type }: Scalar): boolean {
  return type === 'PLAIN' || type === 'QUOTE_DOUBLE' || type === 'QUOTE_SINGLE';
}

function textOf(node: unknown): string | undefined {
  return isScalar(node) && typeof node.value === 'string' ? node.value : undefined;
}

function withTag(written: string): string {
  const last = written.slice(written.lastIndexOf('/') + 1);
  return /[:@]/.test(last) ? written : `${written}:latest`;
}
