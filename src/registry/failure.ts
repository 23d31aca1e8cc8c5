import { decodeUtf8 } from '../encoding/bytes.ts';
import { isJsonObject, parseJson } from '../encoding/json.ts';
import { BullaError, type ErrorCode } from '../errors.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { quoted } from '../http/redact.ts';
import { readDecoded } from './decoded.ts';

export const MAX_ERROR_BYTES: number = 64 * 1024;
/** The status is known already: what is said about it is not waited for any longer, in milliseconds. */
export const ERROR_TIMEOUT_MS: number = 10_000;

/** What a registry said about why it won't. */
export interface RegistryFailure {
  readonly status: number;
  /** Codes of distribution-spec, "Error Codes", if it gave any. */
  readonly codes: readonly string[];
  /** The first message, or the start of whatever text came instead. */
  readonly message: string;
  readonly retryAfterMs?: number | undefined;
}

/**
 * Reads the body of an answer that is an error, whatever its format; never fails.
 * @param secrets what was sent, which is not shown where it is said again
 */
export async function readFailure(
  response: HttpResponse,
  secrets: readonly string[] = [],
): Promise<RegistryFailure> {
  const { status } = response;
  let bytes: Uint8Array;
  try {
    bytes = await readDecoded(response, MAX_ERROR_BYTES, 'an error', ERROR_TIMEOUT_MS);
  } catch {
    return { status, codes: [], message: '' };
  }
  try {
    return { status, ...readErrors(bytes, secrets) };
  } catch {
    return { status, codes: [], message: plainText(bytes, secrets) };
  }
}

function readErrors(
  bytes: Uint8Array,
  secrets: readonly string[],
): Pick<RegistryFailure, 'codes' | 'message'> {
  const json = parseJson(bytes, { what: 'an error', floats: true, maxBytes: MAX_ERROR_BYTES });
  const list = isJsonObject(json) ? json['errors'] : undefined;
  const errors = (Array.isArray(list) ? list : [json]).filter(isJsonObject).slice(0, 8);
  const texts = errors.map((error) =>
    [error['message'], error['detail'], error['details']].find(
      (text) => typeof text === 'string' && text !== '',
    ),
  );
  return {
    codes: errors
      .map((error) => error['code'])
      .filter((code): code is string => typeof code === 'string' && /^[A-Za-z0-9_]{1,64}$/.test(code))
      .filter((code) => !secrets.includes(code)),
    message: quoted(String(texts.find((text) => text !== undefined) ?? ''), 300, secrets),
  };
}

function plainText(bytes: Uint8Array, secrets: readonly string[]): string {
  try {
    const text = decodeUtf8(bytes, 'an error');
    return quoted(/<html|<!doctype/i.test(text) ? text.replace(/<[^>]{0,500}>/g, ' ') : text, 120, secrets);
  } catch {
    return '';
  }
}

/** Whether a registry says that it, or this installation of it, does not do that at all. */
export function isUnsupported(failure: RegistryFailure): boolean {
  return [405, 501].includes(failure.status) || failure.codes.includes('UNSUPPORTED');
}

interface Naming {
  readonly code: ErrorCode;
  readonly hint: string;
}

const RETRY_LATER: Naming = {
  code: 'registry-error',
  hint: 'the registry has a problem of its own; try again later',
};

function naming(status: number): Naming {
  if (status === 401) {
    return {
      code: 'unauthorized',
      hint: 'log in with `bulla login`, or check the name: some registries say so of repositories that do not exist',
    };
  }
  if (status === 403) return { code: 'forbidden', hint: 'the account may not do that in this repository' };
  if (status === 404)
    return { code: 'not-found', hint: 'check the spelling of the repository, and the tag or digest' };
  if (status === 408 || status === 504)
    return { code: 'timeout', hint: 'the registry is slow; try again later' };
  if (status === 429)
    return { code: 'registry-throttled', hint: 'too many requests: wait, log in, or use fewer at once' };
  if (status >= 500) return RETRY_LATER;
  return {
    code: 'registry-error',
    hint: 'the registry does not accept that; its own words are in the message',
  };
}

/** What the registry itself said, for people. */
export function wordsOf({ codes, message }: RegistryFailure): string {
  return [codes.join(', '), message].filter((text) => text !== '').join(': ');
}

/**
 * The error for an answer.
 * @param where what was asked: `registry.example.com: GET /v2/app/manifests/v1`
 */
export function failureError(failure: RegistryFailure, where: string): BullaError {
  const { code, hint } = naming(failure.status);
  const said = wordsOf(failure);
  return new BullaError(code, `${where} was answered ${failure.status}${said === '' ? '' : ` (${said})`}`, {
    hint:
      failure.retryAfterMs === undefined
        ? hint
        : `${hint}; it asks for ${Math.ceil(failure.retryAfterMs / 1000)} s`,
    details: {
      status: failure.status,
      ...(failure.codes.length > 0 && { codes: failure.codes }),
      ...(failure.message !== '' && { said: failure.message }),
      ...(failure.retryAfterMs !== undefined && {
        retryAfterSeconds: Math.ceil(failure.retryAfterMs / 1000),
      }),
    },
  });
}
