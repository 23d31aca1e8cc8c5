import { BullaError, type ErrorCode, isBullaError } from '../errors.ts';
import { isLoopbackHost } from '../http/address.ts';
import { within } from '../http/deadline.ts';
import type { HttpRequest, HttpResponse } from '../http/exchange.ts';
import type { HttpPool } from '../http/pool.ts';
import { redactUrl } from '../http/redact.ts';
import { DEFAULT_RETRY, REAL_TIMING, type RetryPolicy, sendWithRetries, type Timing } from '../http/retry.ts';
import { MAX_SERVICE_ANSWER_BYTES } from '../sigstore/service-messages.ts';

/** How long one service may take in all, retries included, in milliseconds. */
export const SERVICE_TIMEOUT_MS: number = 60_000;
const MAX_REFUSAL_BYTES = 16 * 1024;
const MAX_REFUSAL_SHOWN = 400;

/** The kinds of services, as messages and `details.service` name them. */
export type ServiceName = 'Fulcio' | 'Rekor' | 'time-stamp authority' | 'token issuer';

/** How services are reached. */
export interface ServiceOptions {
  readonly pool: HttpPool;
  readonly retry?: RetryPolicy | undefined;
  readonly timing?: Timing | undefined;
  readonly timeoutMs?: number | undefined;
}

/** One question to a service. */
export interface ServiceRequest extends Omit<HttpRequest, 'url' | 'signal' | 'purpose' | 'allow'> {
  readonly service: ServiceName;
  readonly url: URL;
  /** Texts that must not appear in an error although the service may repeat them. */
  readonly secrets?: readonly string[];
  /** Statuses beside 200 and 201 that are answers. */
  readonly also?: readonly number[];
}

/** What a service answered. */
export interface ServiceAnswer {
  readonly status: number;
  readonly location: string | undefined;
  readonly body: Uint8Array;
}

/**
 * Asks a service of a Sigstore instance. All requests may be repeated: a second certificate, entry or stamp does no
 * harm. Redirects are not followed, because the requests carry tokens.
 * @throws BullaError config-invalid where a secret would go over plain HTTP; registry-unreachable, registry-throttled,
 *   registry-error, unauthorized, forbidden, timeout, content-invalid; details.service
 */
export async function ask(
  request: ServiceRequest,
  { pool, retry = DEFAULT_RETRY, timing = REAL_TIMING, timeoutMs = SERVICE_TIMEOUT_MS }: ServiceOptions,
  signal: AbortSignal | undefined,
): Promise<ServiceAnswer> {
  const { service, url, secrets = [], also = [], ...rest } = request;
  const where = `${service} at ${redactUrl(url)}`;
  if (secrets.length > 0 && url.protocol !== 'https:' && !isLoopbackHost(url.hostname)) {
    throw new BullaError('config-invalid', `${where} would get an identity token without TLS`, {
      hint: 'use the https URL of the service',
      details: { service },
    });
  }
  try {
    return await within(timeoutMs, where, signal, async (until) => {
      const response = await sendWithRetries({ pool, policy: retry, timing, signal: until }, () =>
        pool.send({ ...rest, url, signal: until, purpose: 'token' }),
      );
      if (![200, 201, ...also].includes(response.status))
        throw await refused(response, where, service, secrets);
      const body = await response.body.read(MAX_SERVICE_ANSWER_BYTES, `the answer of ${where}`);
      return { status: response.status, location: response.headers.get('location'), body };
    });
  } catch (error) {
    if (!isBullaError(error) || error.code === 'interrupted' || error.details['service'] !== undefined)
      throw error;
    throw new BullaError(error.code, `${where} was not reached: ${withoutSecrets(error.message, secrets)}`, {
      hint: 'nothing was published; check the URL in the signing config and the network, and run the command again',
      details: { ...error.details, service },
    });
  }
}

const CODES: ReadonlyMap<number, ErrorCode> = new Map([
  [400, 'forbidden'],
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [408, 'timeout'],
  [429, 'registry-throttled'],
]);

async function refused(
  response: HttpResponse,
  where: string,
  service: ServiceName,
  secrets: readonly string[],
): Promise<BullaError> {
  const { status } = response;
  const said = await response.body
    .read(MAX_REFUSAL_BYTES, where)
    .then((bytes) => withoutSecrets(Buffer.from(bytes).toString('utf8'), secrets).trim())
    .catch(() => '');
  const code = CODES.get(status) ?? 'registry-error';
  return new BullaError(
    code,
    `${where} answers with status ${status}${said === '' ? '' : `: ${said.slice(0, MAX_REFUSAL_SHOWN)}`}`,
    { hint: hintFor(code, service), details: { service, status } },
  );
}

function hintFor(code: ErrorCode, service: ServiceName): string {
  if (code === 'unauthorized' || code === 'forbidden')
    return service === 'Fulcio'
      ? 'the identity token must be valid now, for the audience "sigstore", and from an issuer that this Fulcio accepts'
      : 'nothing was published; the service refuses the request';
  return 'nothing was published; run the command again';
}

/** Services repeat what they refuse, and so may errors of ours. */
function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets
    .flatMap((secret) => [secret, ...secret.split('.')])
    .filter((secret) => secret.length >= 8)
    .reduce((clean, secret) => clean.replaceAll(secret, '[redacted]'), text);
}
