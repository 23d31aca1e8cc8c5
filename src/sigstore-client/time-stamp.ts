import type { Certificate } from '../crypto/certificate.ts';
import type { SigningOptions } from '../crypto/signer.ts';
import { timeStampRequest } from '../sigstore/service-messages.ts';
import { parseTimeStampToken, timeStampToken, verifyTimeStampBy } from '../sigstore/time-stamp.ts';
import { ask, type ServiceOptions } from './service.ts';

/** Where signatures are stamped, and who is trusted to do so. */
export interface StampOptions extends ServiceOptions {
  readonly url: URL;
  readonly authorities: readonly Certificate[];
}

/** The answer of a time-stamp authority about a signature (RFC 3161 §3.4). */
export async function askForStamp(
  url: URL,
  signature: Uint8Array,
  options: ServiceOptions,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const headers = { 'content-type': 'application/timestamp-query', accept: 'application/timestamp-reply' };
  const body = timeStampRequest(signature);
  const request = { service: 'time-stamp authority', method: 'POST', url, headers, body } as const;
  return (await ask(request, options, signal)).body;
}

/**
 * Has signatures of Notation countersigned. Each token is verified before it is used.
 * @throws BullaError what {@link ask} throws; content-invalid, signature-mismatch, certificate-invalid, certificate-expired
 */
export function stamping(
  options: StampOptions,
): (signature: Uint8Array, call: SigningOptions) => Promise<Uint8Array> {
  const { url, authorities } = options;
  return async (signature, { signal }) => {
    const where = `the time stamp of ${url.host}`;
    const token = timeStampToken(await askForStamp(url, signature, options, signal), where);
    verifyTimeStampBy(parseTimeStampToken(token, where), signature, authorities, where);
    return token;
  };
}
