import { utf8 } from '../encoding/bytes.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../encoding/json.ts';
import { BullaError, type ErrorCode } from '../errors.ts';
import type { HttpPool } from '../http/pool.ts';
import type { ClusterAccess } from './access.ts';

const MAX_OBJECT_BYTES = 4 * 1024 * 1024;
const ANSWER_MS = 8_000;

/** The few requests of the Kubernetes API that services need; see spec/decisions/0128. */
export class KubernetesClient {
  readonly namespace: string;
  private readonly access: ClusterAccess;
  private readonly pool: HttpPool;

  /** @param pool that trusts the cluster's authority, and goes through no proxy */
  constructor(access: ClusterAccess, pool: HttpPool) {
    this.access = access;
    this.pool = pool;
    this.namespace = access.namespace;
  }

  /** @returns undefined where there is no such object @throws BullaError registry-unreachable, unauthorized, forbidden, … */
  get(path: string, signal?: AbortSignal): Promise<JsonObject | undefined> {
    return this.send('GET', path, undefined, signal);
  }

  /** Makes an object. @throws BullaError conflict where it is there */
  async create(path: string, object: JsonObject, signal?: AbortSignal): Promise<JsonObject> {
    return (await this.send('POST', path, object, signal)) ?? gone(path);
  }

  /** Replaces an object that is as its resourceVersion says. @throws BullaError conflict where it is not */
  async replace(path: string, object: JsonObject, signal?: AbortSignal): Promise<JsonObject> {
    return (await this.send('PUT', path, object, signal)) ?? gone(path);
  }

  /** Changes an object by a JSON patch (RFC 6902). @throws BullaError conflict, storage-error where a test of it fails */
  async patch(path: string, operations: readonly JsonObject[], signal?: AbortSignal): Promise<JsonObject> {
    return (await this.send('PATCH', path, operations, signal)) ?? gone(path);
  }

  private async send(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH',
    path: string,
    object: JsonObject | readonly JsonObject[] | undefined,
    signal: AbortSignal | undefined,
  ): Promise<JsonObject | undefined> {
    const token = await this.access.token();
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(slow(path)), ANSWER_MS);
    const stop = (): void => late.abort(signal?.reason);
    signal?.addEventListener('abort', stop, { once: true });
    try {
      const response = await this.pool.send({
        method,
        url: new URL(`${this.access.url.pathname.replace(/\/$/, '')}${path}`, this.access.url),
        headers: {
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          accept: 'application/json',
          ...(object !== undefined && {
            'content-type': method === 'PATCH' ? 'application/json-patch+json' : 'application/json',
          }),
        },
        body: object === undefined ? undefined : utf8(JSON.stringify(object)),
        signal: late.signal,
      });
      const what = `the answer of Kubernetes to ${method} ${path}`;
      const bytes = await response.body.read(MAX_OBJECT_BYTES, what);
      if (response.status === 404 && method !== 'POST') return undefined;
      if (response.status >= 300) throw refused(method, path, response.status, bytes);
      return parseJsonObject(bytes, { what, maxBytes: MAX_OBJECT_BYTES, floats: true });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
    }
  }
}

const CODES: ReadonlyMap<number, ErrorCode> = new Map([
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [404, 'not-found'],
  [409, 'conflict'],
  [429, 'registry-throttled'],
]);

function refused(method: string, path: string, status: number, bytes: Uint8Array): BullaError {
  const code = CODES.get(status) ?? 'storage-error';
  return new BullaError(code, `Kubernetes answered ${status} to ${method} ${path}${said(bytes)}`, {
    hint:
      status === 403 || status === 401
        ? 'this account lacks a right; deploy/kubernetes/resigner.yaml and deploy/helm/bulla-gate have those that services need'
        : 'look at the API server',
    details: { status },
  });
}

function said(bytes: Uint8Array): string {
  try {
    const { message } = parseJsonObject(bytes, { what: 'an error', floats: true });
    return typeof message === 'string' ? ` (${message.slice(0, 200)})` : '';
  } catch {
    return '';
  }
}

function gone(path: string): never {
  throw new BullaError('conflict', `${path} was removed meanwhile`, {
    hint: 'it is made again at the next try',
  });
}

function slow(path: string): BullaError {
  return new BullaError('timeout', `Kubernetes did not answer about ${path} within ${ANSWER_MS / 1000} s`, {
    hint: 'look at the API server',
  });
}

/** A member of an object that is an object itself; an empty one where it is not. */
export function objectIn(object: JsonObject, name: string): JsonObject {
  const value = object[name];
  return isJsonObject(value) ? value : {};
}
