import { BullaError } from '../errors.ts';
import type { HttpResponse } from '../http/exchange.ts';

/**
 * The whole body of an answer that is read as text or JSON, decoded where it came in gzip: a server may choose that
 * where the request says nothing about codings (RFC 9110 §12.5.3), and proxies do. Blobs are asked for as they are.
 * @param maxBytes of the body, as it comes and decoded
 * @throws BullaError content-invalid where it is larger or damaged; those of ResponseBody.read
 */
export async function readDecoded(
  response: HttpResponse,
  maxBytes: number,
  what: string,
  timeoutMs?: number,
): Promise<Uint8Array> {
  const bytes = await response.body.read(maxBytes, what, timeoutMs);
  const isGzip = isEncoded(response) && bytes[0] === 0x1f && bytes[1] === 0x8b;
  if (!isGzip) return bytes;
  const { gunzipSync } = await import('node:zlib');
  try {
    return new Uint8Array(gunzipSync(bytes, { maxOutputLength: maxBytes }));
  } catch (error) {
    throw new BullaError('content-invalid', `${what} came compressed, and is damaged or too large`, {
      cause: error,
      hint: 'a proxy before the registry compresses what it passes on: turn that off for /v2/',
    });
  }
}

/** Whether an answer is coded: then its length is not that of what it holds. */
export function isEncoded({ headers }: Pick<HttpResponse, 'headers'>): boolean {
  const coding = headers.get('content-encoding')?.trim().toLowerCase() ?? '';
  return coding !== '' && coding !== 'identity';
}
