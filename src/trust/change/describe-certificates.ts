import { createHash } from 'node:crypto';
import { parseCertificates, subjectOf } from '../../crypto/certificate.ts';
import { base64, fromBase64 } from '../../encoding/bytes.ts';
import type { JsonValue } from '../../encoding/json.ts';
import { formatTime } from '../../encoding/time.ts';
import { isBullaError } from '../../errors.ts';
import { jsonText, literal, quoted } from './describe-values.ts';

/** What a root says of the certificates of one of its keys: whose they are, and which they are, each by its SHA-256. */
export function certificateText(keyid: string, value: JsonValue | undefined): string {
  if (value === undefined) return `the key ${quoted(keyid)} has no certificate any more`;
  const ders = Array.isArray(value) ? value.map(derOf) : [undefined];
  const whole = ders.filter((der) => der !== undefined);
  if (whole.length === 0 || whole.length < ders.length)
    return `the key ${quoted(keyid)} has certificates that cannot be read: ${jsonText(value)}`;
  const prints = whole.map((der) => createHash('sha256').update(der).digest('hex')).join(', ');
  return `the key ${quoted(keyid)} has the certificate ${ownerText(whole, keyid)}, sha256 ${prints}`;
}

/** Bytes of a certificate in canonical base64; any other spelling is shown unchanged. */
function derOf(text: JsonValue): Uint8Array | undefined {
  const der = typeof text === 'string' ? fromBase64(text) : undefined;
  return der !== undefined && base64(der) === text ? der : undefined;
}

function ownerText(ders: readonly Uint8Array[], keyid: string): string {
  try {
    const [own] = parseCertificates(ders, `the certificates of the root key ${keyid.slice(0, 12)}`);
    return own === undefined
      ? 'without a certificate'
      : `of ${literal(subjectOf(own))}, from ${formatTime(own.notBefore)} to ${formatTime(own.notAfter)}`;
  } catch (error) {
    if (isBullaError(error, 'certificate-invalid', 'content-invalid')) return 'that cannot be read';
    throw error;
  }
}
