import { BullaError, type ErrorCode, isBullaError } from '../errors.ts';
import type { AddressClass } from '../http/address.ts';
import { within } from '../http/deadline.ts';
import type { HttpRequest, HttpResponse } from '../http/exchange.ts';
import type { HttpPool } from '../http/pool.ts';
import { redactUrl } from '../http/redact.ts';
import { REAL_TIMING, type RetryPolicy, sendWithRetries, type Timing } from '../http/retry.ts';

/** Who answers, as messages and `details.service` name it. */
export type StatusService = 'OCSP responder' | 'CRL';

/** What services are asked with. */
export interface AskOptions {
  readonly pool: HttpPool;
  readonly timing?: Timing | undefined;
  readonly signal: AbortSignal | undefined;
  /** Hosts of the user's choice that may have private addresses. */
  readonly privateHosts: readonly string[];
}

/** A certificate says where to go, as a registry does with a redirect: never into this machine's own network. */
const PUBLIC: ReadonlySet<AddressClass> = new Set(['public']);
/** Not link-local: there, clouds give their machines' credentials away. */
const CHOSEN: ReadonlySet<AddressClass> = new Set(['public', 'private', 'loopback']);

const MAX_REDIRECTS = 3;
const RETRY: RetryPolicy = { tries: 2, baseMs: 200, maxMs: 1_000, retryAfterCapMs: 2_000, totalMs: 5_000 };

/** One question. */
export interface Question {
  readonly service: StatusService;
  readonly url: URL;
  /** A request of OCSP; left out where something is only fetched. */
  readonly body?: Uint8Array;
  readonly maxBytes: number;
  /** How long it may take, retries and redirects included, in milliseconds. */
  readonly timeoutMs: number;
}

/**
 * Asks a responder, or fetches a list. Redirects are followed under the same rules.
 * @throws BullaError registry-unreachable, registry-throttled, registry-error, timeout, unauthorized, forbidden (also: a
 *   private address), content-invalid (too long), interrupted; details.service
 */
export async function askForStatus(question: Question, options: AskOptions): Promise<Uint8Array> {
  const { service, timeoutMs } = question;
  let { url } = question;
  const follow = async (signal: AbortSignal): Promise<Uint8Array> => {
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const response = await send({ ...question, url }, { ...options, signal });
      const where = `the answer of the ${service} ${redactUrl(url)}`;
      if (response.status === 200) return await response.body.read(question.maxBytes, where);
      await response.body.discard();
      url = redirection(response, service);
    }
    throw failure(
      'registry-error',
      service,
      `${redactUrl(question.url)} redirects more than ${MAX_REDIRECTS} times`,
    );
  };
  try {
    return await within(timeoutMs, redactUrl(url), options.signal, follow);
  } catch (error) {
    if (!isBullaError(error) || error.code === 'interrupted' || error.details['service'] !== undefined)
      throw error;
    throw named(error, service, url);
  }
}

function send(
  { url, body }: Question,
  { pool, timing = REAL_TIMING, signal, privateHosts }: AskOptions,
): Promise<HttpResponse> {
  const isChosen = privateHosts.includes(url.host) || privateHosts.includes(url.hostname);
  const request: HttpRequest = {
    ...{ url, signal, body, purpose: 'token', allow: isChosen ? CHOSEN : PUBLIC },
    ...(body === undefined
      ? { method: 'GET' }
      : { method: 'POST', headers: { 'content-type': 'application/ocsp-request' } }),
  };
  return sendWithRetries({ pool, policy: RETRY, timing, signal }, () => pool.send(request));
}

const CODES: ReadonlyMap<number, ErrorCode> = new Map([
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [408, 'timeout'],
  [429, 'registry-throttled'],
]);

/** Where a response without an answer sends us. @throws BullaError */
function redirection({ status, url, headers }: HttpResponse, service: StatusService): URL {
  const location = headers.get('location');
  if (![301, 302, 303, 307, 308].includes(status) || location === undefined)
    throw failure(
      CODES.get(status) ?? 'registry-error',
      service,
      `${redactUrl(url)} answers with status ${status}`,
    );
  const target = URL.canParse(location, url.href) ? new URL(location, url.href) : undefined;
  if (target === undefined || !/^https?:$/.test(target.protocol) || target.username !== '')
    throw failure(
      'registry-error',
      service,
      `${redactUrl(url)} redirects to what is not an http or https URL`,
    );
  return target;
}

function named(error: BullaError, service: StatusService, url: URL): BullaError {
  // The connector speaks of a registry that sends us somewhere; here it is a certificate.
  const isPrivate = error.code === 'forbidden';
  const why = isPrivate ? 'it is at a private address' : error.message;
  const hint = isPrivate
    ? `if that is meant, allow it in the policy: revocation: { mode: enforce, privateHosts: [${url.host}] }`
    : undefined;
  return failure(error.code, service, `${redactUrl(url)} was not reached: ${why}`, hint, error);
}

function failure(
  code: ErrorCode,
  service: StatusService,
  what: string,
  hint = 'nothing is known about the certificate now; try again, or check the network',
  cause?: unknown,
): BullaError {
  return new BullaError(code, `the ${service} ${what}`, { hint, cause, details: { service } });
}
