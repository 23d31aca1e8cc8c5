import { type AlgorithmId, defaultAlgorithm } from '../../crypto/algorithm.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { decodeUtf8, fromBase64, utf8 } from '../../encoding/bytes.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../../encoding/json.ts';
import { BullaError, type ErrorCode, isBullaError } from '../../errors.ts';
import type { TlsOptions } from '../../http/connector.ts';
import type { HttpRequest } from '../../http/exchange.ts';
import type { HttpPool } from '../../http/pool.ts';
import { quoted } from '../../http/redact.ts';
import type { KeySources } from '../back-end.ts';

/** A service that is asked over HTTP: where it is, and how it is called in messages. */
export interface Service {
  /** `OpenBao`, `AWS KMS` */
  readonly name: string;
  readonly tls?: TlsOptions | undefined;
  /** What to do where it answers 401 or 403. */
  readonly hint: string;
  /** It is on this machine or beside it, or nowhere: asked briefly, and never through a proxy. */
  readonly isNear?: boolean | undefined;
  /** What its words mean, where its status tells less. */
  readonly codeOf?: ((words: string) => ErrorCode | undefined) | undefined;
  /** Its words in the body of a refusal. */
  readonly words?: ((body: JsonObject) => string | undefined) | undefined;
}

/** One question: its answer is a JSON object. */
export interface ServiceRequest {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** An object is sent as JSON. */
  readonly body?: JsonObject | string | undefined;
  /** What is asked for, in messages: `the key release`. */
  readonly what: string;
  readonly signal?: AbortSignal | undefined;
  /** Secrets that must not be repeated in messages. */
  readonly secrets?: readonly string[] | undefined;
}

const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** How long one answer may take, in milliseconds: some modules sign slowly. */
const ANSWER_MS = 30_000;
const CONNECT_MS = 5_000;
const NEAR = { tries: 2, baseMs: 100, maxMs: 200, retryAfterCapMs: 500, totalMs: 2_000 };
const FAR = { tries: 5, baseMs: 200, maxMs: 5_000, retryAfterCapMs: 30_000, totalMs: 60_000 };

/**
 * Asks a service that keeps keys. To sign the same message twice does no harm, so what fails without an answer, or
 * with 429 or 5xx, is sent again. Redirects are not followed: a token would go with them.
 */
export class KeyService {
  private readonly service: Service;
  private readonly sources: KeySources;
  /** Connections of the requests that are under way; closed with the last of them, so that nothing holds a process up. */
  private pool: Promise<HttpPool> | undefined;
  private users = 0;

  constructor(service: Service, sources: KeySources) {
    this.service = service;
    this.sources = sources;
  }

  /** @throws BullaError key-unavailable, timeout, unauthorized, forbidden, not-found, key-invalid, interrupted */
  async ask(request: ServiceRequest): Promise<JsonObject> {
    const text = await this.askForText(request);
    const { what } = request;
    // What was done and has no more to say is told by an empty body.
    if (text === '') return {};
    try {
      return parseJsonObject(utf8(text), { what, maxBytes: MAX_ANSWER_BYTES, floats: true });
    } catch (cause) {
      throw this.unexpected(what, cause);
    }
  }

  /** As {@link ask}, for an answer that is not JSON. */
  async askForText(request: ServiceRequest): Promise<string> {
    const { REAL_TIMING, sendWithRetries } = await import('../../http/retry.ts');
    const { name, isNear = false } = this.service;
    const policy = isNear ? NEAR : FAR;
    const { method, url, body, what, signal } = request;
    this.users++;
    this.pool ??= this.openPool();
    const opened = this.pool;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(tooLate(name, policy.totalMs)), policy.totalMs);
    const ending = signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]);
    const sent: HttpRequest = {
      method,
      url,
      headers: {
        accept: 'application/json',
        ...(typeof body === 'object' && { 'content-type': 'application/json' }),
        ...request.headers,
      },
      body: body === undefined ? undefined : utf8(typeof body === 'string' ? body : JSON.stringify(body)),
      signal: ending,
    };
    try {
      const pool = await opened;
      const retrying = { pool, policy, timing: REAL_TIMING, signal: ending };
      const response = await sendWithRetries(retrying, () => pool.send(sent));
      const bytes = await response.body.read(MAX_ANSWER_BYTES, what, ANSWER_MS);
      if (response.status < 200 || response.status >= 300)
        throw this.refused(response.status, bytes, request);
      return decodeUtf8(bytes, what);
    } catch (error) {
      throw this.translated(error, url);
    } finally {
      clearTimeout(timer);
      if (--this.users === 0) {
        this.pool = undefined;
        await opened.then((pool) => pool.close()).catch(() => undefined);
      }
    }
  }

  private async openPool(): Promise<HttpPool> {
    const [{ HttpPool }, { proxyFromEnvironment }] = await Promise.all([
      import('../../http/pool.ts'),
      import('../../http/proxy.ts'),
    ]);
    const { tls, isNear = false } = this.service;
    return new HttpPool({
      tls,
      ...(!isNear && { proxy: proxyFromEnvironment(proxyVariables(this.sources)) }),
      connectTimeoutMs: isNear ? 1_000 : CONNECT_MS,
      headersTimeoutMs: ANSWER_MS,
    });
  }

  /** An answer that is not what the service's documentation promises. */
  unexpected(what: string, cause?: unknown): BullaError {
    const { name } = this.service;
    return new BullaError('key-unavailable', `${name} gave an unexpected answer about ${what}`, {
      cause,
      hint: 'check that the address is that of the service, and its version',
    });
  }

  private translated(error: unknown, url: URL): unknown {
    if (!isBullaError(error, 'registry-unreachable', 'content-invalid')) return error;
    const { name } = this.service;
    return new BullaError('key-unavailable', `${name} at ${url.host} cannot be asked: ${error.message}`, {
      cause: error,
      ...(error.hint !== undefined && { hint: error.hint }),
    });
  }

  private refused(status: number, bytes: Uint8Array, { what, secrets = [] }: ServiceRequest): BullaError {
    const { name, hint, words, codeOf } = this.service;
    const said = saidIn(bytes, words);
    const own = said === undefined ? '' : `: ${quoted(said, 300, secrets)}`;
    const details = { status };
    const answer = `${name} answered ${status} about ${what}${own}`;
    const code = (said === undefined ? undefined : codeOf?.(said)) ?? codeOfStatus(status);
    if (code === 'unauthorized' || code === 'forbidden')
      return new BullaError(code, answer, { hint, details });
    if (code === 'not-found')
      return new BullaError('not-found', answer, { hint: `check the name of the key in ${name}`, details });
    if (code === 'key-unavailable')
      return new BullaError('key-unavailable', answer, {
        hint: 'nothing was signed; try again later',
        details,
      });
    return new BullaError('key-invalid', answer, {
      hint: 'the service does not sign so with that key: check its type and purpose',
      details,
    });
  }
}

function codeOfStatus(status: number): ErrorCode {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not-found';
  return status === 429 || status >= 500 ? 'key-unavailable' : 'key-invalid';
}

function saidIn(bytes: Uint8Array, words: Service['words']): string | undefined {
  try {
    return words?.(parseJsonObject(bytes, { what: 'a refusal', maxBytes: MAX_ANSWER_BYTES, floats: true }));
  } catch {
    return undefined;
  }
}

function tooLate(name: string, ms: number): BullaError {
  return new BullaError('timeout', `${name} did not answer within ${ms / 1000} s`, {
    hint: 'nothing was signed; try again later',
  });
}

function proxyVariables({ environment }: KeySources): Record<string, string | undefined> {
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'REQUEST_METHOD'];
  return Object.fromEntries(
    [...names, ...names.map((name) => name.toLowerCase())].map((name) => [name, environment(name)]),
  );
}

/** A key was to be made where there is one. */
export function taken(uri: string): BullaError {
  return new BullaError('conflict', `there is a key at ${uri} already`, {
    hint: 'choose another name; to use that key: bulla key import URI NAME',
  });
}

/** A member that is an object; an empty one where it is not. */
export function objectIn(object: JsonObject, name: string): JsonObject {
  const value = object[name];
  return isJsonObject(value) ? value : {};
}

/** A member that is text and not empty. */
export function textIn(object: JsonObject, name: string): string | undefined {
  const value: JsonValue | undefined = object[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A member in base64; undefined where it is missing, empty or something else. */
export function bytesIn(
  object: JsonObject,
  name: string,
  read: typeof fromBase64 = fromBase64,
): Uint8Array | undefined {
  const text = textIn(object, name);
  return text === undefined ? undefined : read(text);
}

/** The value of the first variable that is set and not empty. */
export function firstSet({ environment }: KeySources, ...names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = environment(name);
    if (value !== undefined && value !== '') return value;
  }
  return undefined;
}

/** What a service offers for a key, with the key's default first where it is among them. */
export function preferring(publicKey: PublicKey, offered: readonly AlgorithmId[]): readonly AlgorithmId[] {
  const { id } = defaultAlgorithm(publicKey.type, publicKey.modulusBits);
  return offered.includes(id) ? [id, ...offered.filter((other) => other !== id)] : offered;
}

/** Runs `work` over all, a few at a time, with the results in order. For services that sign one message at a time. */
export async function each<T, R>(all: readonly T[], work: (one: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = new Array(all.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < all.length; at = next++) results[at] = await work(all[at] as T);
  };
  await Promise.all(Array.from({ length: Math.min(8, all.length) }, worker));
  return results;
}
