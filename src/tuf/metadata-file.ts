import { utf8 } from '../encoding/bytes.ts';
import { canonicalOlpc, compareCodePoints } from '../encoding/canonical.ts';
import {
  isJsonObject,
  type JsonMember,
  type JsonObject,
  type JsonValue,
  parseJsonMembers,
} from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { Fields, malformed } from './fields.ts';

/** An entry of `signatures` (TUF 1.0.34 §4.1). Neither is verified, nor need `sig` be hexadecimal. */
export interface TufSignature {
  readonly keyid: string;
  readonly sig: string;
}

/**
 * One signed file as it was received, not verified. Its content counts only once a threshold of signatures over
 * {@link message} has been verified.
 */
export interface SignedFile<Signature> {
  /** The role that the file was fetched or made for; the content is not asked. */
  readonly role: string;
  /** The file, byte for byte: hashes and lengths are those of these bytes. */
  readonly bytes: Uint8Array;
  /** The signed part with every unknown field; objects have no prototype. */
  readonly signed: JsonObject;
  readonly signatures: readonly Signature[];
  /** The canonical form of {@link signed}, which is what is signed (TUF 1.0.34 §4.1). */
  readonly message: Uint8Array;
}

/** A metadata file of TUF. */
export type MetadataFile = SignedFile<TufSignature>;

/** Most signatures that a file may carry. */
const MAX_SIGNATURES = 1024;

/**
 * Reads a metadata file without verifying it. Fields outside `signed` are not signed, and are ignored.
 * @param maxBytes largest size in bytes
 * @throws BullaError content-invalid (details.role): not JSON, too large, two signatures of one key id
 */
export function parseMetadataFile(bytes: Uint8Array, role: string, maxBytes: number): MetadataFile {
  return parseSignedFile(bytes, role, { maxBytes, maxSignatures: MAX_SIGNATURES }, (keyid, entry) => ({
    keyid,
    sig: entry.string('sig'),
  }));
}

/**
 * Reads a file of `signed` and `signatures` without verifying it.
 * @param limits each signature may cost a verification
 * @param signatureOf reads the other members of an entry of `signatures`
 * @throws BullaError content-invalid (details.role): not JSON, too large, two signatures of one key id
 */
export function parseSignedFile<Signature>(
  bytes: Uint8Array,
  role: string,
  { maxBytes, maxSignatures }: { readonly maxBytes: number; readonly maxSignatures: number },
  signatureOf: (keyid: string, entry: Fields) => Signature,
): SignedFile<Signature> {
  const members = parseDocument(bytes, role, maxBytes);
  const json: JsonObject = Object.create(null);
  for (const key of ['signed', 'signatures']) {
    const member = members.get(key);
    if (member !== undefined) json[key] = member.value;
  }
  const document = new Fields(json, role, 'file');
  const signed = document.object('signed').json;
  const signatures = new Map<string, Signature>();
  for (const entry of document.list('signatures')) {
    const keyid = entry.string('keyid');
    if (signatures.has(keyid))
      throw malformed(role, `two signatures carry the key id ${JSON.stringify(keyid.slice(0, 80))}`);
    signatures.set(keyid, signatureOf(keyid, entry));
    if (signatures.size > maxSignatures) throw malformed(role, `more than ${maxSignatures} signatures`);
  }
  return signedFile(role, bytes, signed, [...signatures.values()], canonicalSource(members.get('signed')));
}

/** Most repositories write `signed` in its canonical form: then it need not be made again. */
function canonicalSource(member: JsonMember | undefined): string | undefined {
  return member?.isCanonical === true ? member.source : undefined;
}

/**
 * Makes a file of signed content and signatures over its canonical form: keys sorted by code point, no
 * white space, so that the same content and signatures always give the same bytes.
 */
export function composeMetadataFile(
  role: string,
  signed: JsonObject,
  signatures: readonly TufSignature[],
): MetadataFile {
  const entries = signatures.map(
    ({ keyid, sig }) => `{"keyid":${JSON.stringify(keyid)},"sig":${JSON.stringify(sig)}}`,
  );
  return signedFile(
    role,
    utf8(`{"signatures":[${entries.join(',')}],"signed":${sortedJson(signed)}}`),
    signed,
    signatures,
  );
}

/** The canonical form of `signed`: the message that a signer signs (TUF 1.0.34 §4.1). */
export function signedMessage(signed: JsonObject): Uint8Array {
  return canonicalOlpc(signed);
}

/** A deep copy of JSON whose objects have no prototype, as the parser makes them. */
export function copyJson<T extends JsonValue>(value: T): T {
  return copyValue(value) as T;
}

function copyValue(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(copyValue);
  if (!isJsonObject(value)) return value;
  const copy: JsonObject = Object.create(null);
  for (const [key, member] of Object.entries(value)) copy[key] = copyValue(member);
  return copy;
}

function parseDocument(bytes: Uint8Array, role: string, maxBytes: number): ReadonlyMap<string, JsonMember> {
  try {
    return parseJsonMembers(bytes, { what: `metadata of ${JSON.stringify(role)}`, maxBytes });
  } catch (error) {
    if (!(error instanceof BullaError)) throw error;
    throw new BullaError(error.code, error.message, {
      cause: error,
      ...(error.hint !== undefined && { hint: error.hint }),
      details: { role },
    });
  }
}

function signedFile<Signature>(
  role: string,
  bytes: Uint8Array,
  signed: JsonObject,
  signatures: readonly Signature[],
  source?: string,
): SignedFile<Signature> {
  let message: Uint8Array | undefined;
  return {
    role,
    bytes,
    signed,
    signatures,
    get message(): Uint8Array {
      message ??= source === undefined ? signedMessage(signed) : utf8(source);
      return message;
    },
  };
}

/** JSON with sorted keys. It differs from the canonical form only where JSON must escape a control character. */
function sortedJson(value: JsonValue): string {
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(',')}]`;
  if (!isJsonObject(value)) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => compareCodePoints(a, b));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${sortedJson(member)}`).join(',')}}`;
}
