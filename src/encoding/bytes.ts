import { BullaError } from '../errors.ts';

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** UTF-8 bytes of `text`. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/**
 * Text of UTF-8 bytes, refusing invalid UTF-8 instead of replacing it.
 * @param what names the document in the error message
 * @throws BullaError content-invalid
 */
export function decodeUtf8(bytes: Uint8Array, what: string): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new BullaError('content-invalid', `${what} is not valid UTF-8`, {
      cause,
      hint: 'the document is damaged or not what it claims to be; fetch it again from a trusted source',
    });
  }
}

/** Lower-case hexadecimal of `bytes`. */
export function hex(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('hex');
}

/** Bytes of a hexadecimal string of even length, or undefined where it is not one. */
export function fromHex(text: string): Uint8Array | undefined {
  // No group that is repeated: over millions of characters its stack overflows.
  return text.length % 2 === 0 && /^[0-9a-fA-F]*$/.test(text)
    ? new Uint8Array(Buffer.from(text, 'hex'))
    : undefined;
}

/** Standard base64 with padding (RFC 4648 §4). */
export function base64(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('base64');
}

/** base64url without padding (RFC 4648 §5), as JWS wants it. */
export function base64url(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('base64url');
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const BASE64URL = /^[A-Za-z0-9_-]*$/;

/**
 * Strict inverse of {@link base64}: no white space, no missing padding, no stray bits, so that
 * every byte string has one spelling.
 * @returns undefined where `text` is not canonical base64
 */
export function fromBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0 || !BASE64.test(text)) return undefined;
  const bytes = new Uint8Array(Buffer.from(text, 'base64'));
  return base64(bytes) === text ? bytes : undefined;
}

/** Strict inverse of {@link base64url}; undefined where `text` is not canonical. */
export function fromBase64url(text: string): Uint8Array | undefined {
  if (!BASE64URL.test(text)) return undefined;
  const bytes = new Uint8Array(Buffer.from(text, 'base64url'));
  return base64url(bytes) === text ? bytes : undefined;
}

/** One buffer of several. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Whether two byte strings are the same. Not constant-time: for public data only. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return asBuffer(a).equals(b);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
