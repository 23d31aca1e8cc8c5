import { fromBase64 } from '../encoding/bytes.ts';
import { parseSignedFile, type SignedFile } from '../tuf/metadata-file.ts';

/** An entry of `signatures`: not verified yet. */
export interface NotarySignature {
  readonly keyid: string;
  readonly method: string;
  /** Undefined where it is not base64. */
  readonly sig: Uint8Array | undefined;
}

/** One metadata file of Notary v1 as it was received, not verified. */
export type NotaryFile = SignedFile<NotarySignature>;

/** Each may cost a verification. */
const MAX_SIGNATURES = 256;

/**
 * Reads a metadata file without verifying it. Members beside `signed` and `signatures` are not signed, and are
 * ignored.
 * @param maxBytes largest size in bytes
 * @throws BullaError content-invalid (details.role): not JSON, too large, two signatures of one key id
 */
export function parseNotaryFile(bytes: Uint8Array, role: string, maxBytes: number): NotaryFile {
  return parseSignedFile(bytes, role, { maxBytes, maxSignatures: MAX_SIGNATURES }, (keyid, entry) => ({
    keyid,
    method: entry.string('method'),
    sig: fromBase64(entry.string('sig')),
  }));
}
