import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../../encoding/json.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { ImagePath } from '../verify/image-places.ts';
import { changedImages, type WorkloadImage, workloadOf } from './workload.ts';

/** Largest review that is read, in bytes: an object and what it was before, each as large as etcd takes. */
export const MAX_REVIEW_BYTES: number = 4 * 1024 * 1024;
export const REVIEW_VERSION = 'admission.k8s.io/v1';

/** What the API server asks, as far as the gate has to know it. The object itself is not kept. */
export interface Review {
  readonly uid: string;
  readonly operation: string;
  /** `Deployment/web`; with generateName, what that says. */
  readonly subject: string;
  readonly namespace: string;
  readonly isDryRun: boolean;
  /** Who asks the API server. */
  readonly user: string | undefined;
  /** What has to be verified. */
  readonly images: readonly WorkloadImage[];
  readonly pullSecrets: readonly string[];
}

/** A review that cannot be understood; answered with its uid where that is known. */
export interface BrokenReview {
  readonly uid: string;
  readonly error: BullaError;
}

/**
 * Reads an AdmissionReview (spec/gate.md, "Reviews").
 * @param paths where kinds that are not known name images
 * @throws BullaError content-invalid where there is not even a uid to answer to: an HTTP error then, which the API server
 *   takes for a failure
 */
export function parseReview(body: Uint8Array, paths: readonly ImagePath[]): Review | BrokenReview {
  const review = parseJsonObject(body, {
    what: 'the review',
    maxBytes: MAX_REVIEW_BYTES,
    maxDepth: 128,
    floats: true,
  });
  const { request } = review;
  const uid = isJsonObject(request) ? request['uid'] : undefined;
  if (!isJsonObject(request) || typeof uid !== 'string' || !/^[\x21-\x7e]{1,128}$/.test(uid))
    throw broken('it has no request with a uid');
  try {
    if (review['apiVersion'] !== REVIEW_VERSION || review['kind'] !== 'AdmissionReview')
      throw broken(
        `it is ${shown(review['apiVersion'])} ${shown(review['kind'])}; expected ${REVIEW_VERSION} AdmissionReview`,
      );
    return { uid, ...requestOf(request, paths) };
  } catch (error) {
    if (isBullaError(error)) return { uid, error };
    throw error;
  }
}

const OPERATIONS: ReadonlySet<string> = new Set(['CREATE', 'UPDATE', 'DELETE', 'CONNECT']);

function requestOf(request: JsonObject, paths: readonly ImagePath[]): Omit<Review, 'uid'> {
  const operation = request['operation'];
  if (typeof operation !== 'string' || !OPERATIONS.has(operation))
    throw broken(`its operation is ${shown(operation)}`);
  const kind = kindOf(request['kind']);
  const object = objectIn(request, 'object');
  const old = objectIn(request, 'oldObject');
  const about = {
    operation,
    subject: `${kind.kind}/${nameOf(request['name'], object)}`,
    namespace: textIn(request, 'namespace') ?? '',
    isDryRun: request['dryRun'] === true,
    user: isJsonObject(request['userInfo']) ? textIn(request['userInfo'], 'username') : undefined,
  };
  const nothing = { ...about, images: [], pullSecrets: [] };
  // Only the object as it was stored says that it ends: what is sent can say anything.
  if (operation === 'DELETE' || (operation === 'UPDATE' && isEnding(old))) return nothing;
  if (object === undefined) {
    if (operation === 'CONNECT') return nothing;
    throw broken('it has no object');
  }
  if (operation === 'UPDATE' && old === undefined) throw broken('it is an update without the old object');
  const { images, pullSecrets } = workloadOf(object, kind, paths);
  if (operation !== 'UPDATE' || old === undefined) return { ...about, images, pullSecrets };
  return { ...about, images: changedImages(images, before(old, kind, paths)), pullSecrets };
}

/** Images of the stored object; none where it cannot be read, and then all are verified. */
function before(old: JsonObject, kind: Kind, paths: readonly ImagePath[]): readonly WorkloadImage[] {
  try {
    return workloadOf(old, kind, paths).images;
  } catch (error) {
    if (isBullaError(error, 'content-invalid')) return [];
    throw error;
  }
}

interface Kind {
  readonly apiVersion: string;
  readonly kind: string;
}

/** The kind that the webhook is called for, as the object was converted to it. */
function kindOf(value: JsonValue | undefined): Kind {
  const { group, version, kind } = isJsonObject(value) ? value : ({} as JsonObject);
  if (
    typeof version !== 'string' ||
    typeof kind !== 'string' ||
    kind === '' ||
    !['string', 'undefined'].includes(typeof group)
  )
    throw broken('it does not say the kind of the object');
  return { apiVersion: typeof group === 'string' && group !== '' ? `${group}/${version}` : version, kind };
}

function isEnding(old: JsonObject | undefined): boolean {
  const metadata = old?.['metadata'];
  return isJsonObject(metadata) && typeof metadata['deletionTimestamp'] === 'string';
}

/** With generateName, the API server has not made the name yet. */
function nameOf(name: JsonValue | undefined, object: JsonObject | undefined): string {
  if (typeof name === 'string' && name !== '') return name;
  const metadata = object?.['metadata'];
  const { name: own, generateName } = isJsonObject(metadata) ? metadata : ({} as JsonObject);
  if (typeof own === 'string' && own !== '') return own;
  return typeof generateName === 'string' ? `${generateName}*` : '*';
}

function objectIn(request: JsonObject, name: string): JsonObject | undefined {
  const value = request[name];
  if (value === undefined || value === null) return undefined;
  if (isJsonObject(value)) return value;
  throw broken(`its ${name} is not an object`);
}

function textIn(object: JsonObject, name: string): string | undefined {
  const value = object[name];
  return typeof value === 'string' ? value : undefined;
}

function shown(value: JsonValue | undefined): string {
  return value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 80);
}

function broken(what: string): BullaError {
  return new BullaError('content-invalid', `the review cannot be understood: ${what}`, {
    hint: `the webhook configuration must have admissionReviewVersions: [v1]`,
  });
}
