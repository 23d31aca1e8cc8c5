import { fromBase64 } from '../encoding/bytes.ts';
import { canonicalOlpc } from '../encoding/canonical.ts';
import { type JsonObject, parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { Fields, malformed } from '../tuf/fields.ts';

/** An entry of `signatures`: not verified yet. */
export interface NotarySignature {
  readonly keyid: string;
  readonly method: string;
  /** Undefined where it is not base64. */
  readonly sig: Uint8Array | undefined;
}

/** One metadata file of Notary v1 as it came; nothing is decided about it. */
export interface NotaryFile {
  /** The role that it was fetched for. */
  readonly role: string;
  /** The file, byte for byte. */
  readonly bytes: Uint8Array;
  readonly signed: JsonObject;
  readonly signatures: readonly NotarySignature[];
  /** The canonical form of `signed`, which is what is signed; the wire need not be canonical. */
  readonly message: Uint8Array;
}

/** Each may cost a verification. */
const MAX_SIGNATURES = 256;

/**
 * Reads a metadata file without believing it. Members beside `signed` and `signatures` are not signed,
 * and are ignored.
 * @param maxBytes largest size in bytes
 * @throws BullaError content-invalid (details.role): not JSON, too large, two signatures of one key id
 */
export function parseNotaryFile(bytes: Uint8Array, role: string, maxBytes: number): NotaryFile {
  const document = new Fields(parseDocument(bytes, role, maxBytes), role, 'file');
  const signed = document.object('signed').json;
  const signatures: NotarySignature[] = [];
  const seen = new Set<string>();
  for (const entry of document.list('signatures')) {
    const keyid = entry.string('keyid');
    if (seen.has(keyid))
      throw malformed(role, `two signatures carry the key id ${JSON.stringify(keyid.slice(0, 80))}`);
    seen.add(keyid);
    signatures.push({ keyid, method: entry.string('method'), sig: fromBase64(entry.string('sig')) });
    if (signatures.length > MAX_SIGNATURES) throw malformed(role, `more than ${MAX_SIGNATURES} signatures`);
  }
  let message: Uint8Array | undefined;
  return {
    role,
    bytes,
    signed,
    signatures,
    get message(): Uint8Array {
      message ??= canonicalOlpc(signed);
      return message;
    },
  };
}

function parseDocument(bytes: Uint8Array, role: string, maxBytes: number): JsonObject {
  try {
    return parseJsonObject(bytes, { what: `metadata of ${JSON.stringify(role)}`, maxBytes });
  } catch (error) {
    if (!(error instanceof BullaError)) throw error;
    throw new BullaError(error.code, error.message, {
      cause: error,
      ...(error.hint !== undefined && { hint: error.hint }),
      details: { role },
    });
  }
}
