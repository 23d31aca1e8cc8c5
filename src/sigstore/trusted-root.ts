import { type Algorithm, type AlgorithmId, algorithm } from '../crypto/algorithm.ts';
import { type Certificate, MAX_CHAIN_LENGTH, parseCertificates } from '../crypto/certificate.ts';
import { type PublicKey, publicKeyFromSpki } from '../crypto/public-key.ts';
import { spkiOfPkcs1 } from '../crypto/spki.ts';
import { base64 } from '../encoding/bytes.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { formatTime } from '../encoding/time.ts';
import { Fields, malformed } from './fields.ts';

/** Media types of a trusted root (Sigstore's protobuf-specs, `sigstore_trustroot.proto`). */
const MEDIA_TYPES: readonly string[] = [
  'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
  'application/vnd.dev.sigstore.trustedroot.v0.2+json',
];
/** Largest trusted root that is read, in bytes; the public-good one has 7 KB. */
export const MAX_TRUSTED_ROOT_BYTES: number = 1024 * 1024;
const MAX_ENTRIES = 256;

/** How a log's key is named, and what it signs with. Keys of other kinds are left out: their logs are unknown. */
const KEY_DETAILS: ReadonlyMap<string, AlgorithmId> = new Map([
  ['PKIX_ECDSA_P256_SHA_256', 'ES256'],
  ['PKIX_ECDSA_P384_SHA_384', 'ES384'],
  ['PKIX_ECDSA_P521_SHA_512', 'ES512'],
  ['PKIX_ED25519', 'Ed25519'],
  ['PKIX_RSA_PKCS1V5', 'RS256'],
  ['PKIX_RSA_PKCS1V15_2048_SHA256', 'RS256'],
  ['PKIX_RSA_PKCS1V15_3072_SHA256', 'RS256'],
  ['PKIX_RSA_PKCS1V15_4096_SHA256', 'RS256'],
  ['PKCS1_RSA_PKCS1V5', 'RS256'],
]);

/** From when until when something is trusted, both ends included. */
export interface Validity {
  readonly start: Date;
  readonly end?: Date;
}

/** A transparency log or a certificate transparency log. */
export interface TrustedLog {
  readonly baseUrl: string;
  /** Base64 of the log's id, as entries name it. */
  readonly id: string;
  readonly key: PublicKey;
  readonly algorithm: Algorithm;
  readonly validFor: Validity;
}

/** A certificate authority or a time-stamp authority. */
export interface TrustedAuthority {
  /** From the certificate that issues (of a time-stamp authority: that signs) to the root. */
  readonly chain: readonly Certificate[];
  readonly validFor: Validity;
}

/** Whom a Sigstore instance's users trust (spec/sigstore.md, "Trusted root"). */
export interface TrustedRoot {
  readonly logs: readonly TrustedLog[];
  readonly certificateLogs: readonly TrustedLog[];
  readonly authorities: readonly TrustedAuthority[];
  readonly timestampAuthorities: readonly TrustedAuthority[];
  /** What it was read from. */
  readonly bytes?: Uint8Array;
  /** Its user knows that the instance has no logs: a time stamp counts instead of an entry. Never read from a file. */
  readonly isUnlogged?: true | undefined;
}

/**
 * Reads a `trusted_root.json`. Every entry must say since when it is trusted.
 * @throws BullaError content-invalid, certificate-invalid, key-invalid
 */
export function parseTrustedRoot(bytes: Uint8Array, where: string): TrustedRoot {
  const json = parseJsonObject(bytes, { what: where, maxBytes: MAX_TRUSTED_ROOT_BYTES });
  const root = new Fields(json, where);
  const type = root.text('mediaType');
  if (!MEDIA_TYPES.includes(type)) throw malformed(where, `its media type is ${JSON.stringify(type)}`);
  return {
    logs: readLogs(root, 'tlogs'),
    certificateLogs: readLogs(root, 'ctlogs'),
    authorities: readAuthorities(root, 'certificateAuthorities'),
    timestampAuthorities: readAuthorities(root, 'timestampAuthorities'),
    bytes,
  };
}

/** Whether `time` lies within `validity`. */
export function isWithin(time: Date, { start, end }: Validity): boolean {
  return time >= start && (end === undefined || time <= end);
}

/** `from 2022-04-13T20:06:15Z`, with the end where there is one. */
export function validityText({ start, end }: Validity): string {
  return `from ${formatTime(start)}${end === undefined ? '' : ` to ${formatTime(end)}`}`;
}

function readLogs(root: Fields, name: string): TrustedLog[] {
  return root.messages(name, MAX_ENTRIES).flatMap((log) => {
    const publicKey = log.message('publicKey');
    const validFor = readValidity(publicKey);
    const details = publicKey.text('keyDetails');
    const known = KEY_DETAILS.get(details);
    if (known === undefined) return [];
    const raw = publicKey.bytes('rawBytes');
    const key = publicKeyFromSpki(details.startsWith('PKCS1_') ? spkiOfPkcs1(raw) : raw, publicKey.where);
    if (algorithm(known).keyType !== key.type)
      throw malformed(publicKey.where, `it is not a key for ${details}`);
    const id = base64(log.message('logId').bytes('keyId'));
    return [{ baseUrl: log.text('baseUrl'), id, key, algorithm: algorithm(known), validFor }];
  });
}

function readAuthorities(root: Fields, name: string): TrustedAuthority[] {
  return root.messages(name, MAX_ENTRIES).map((authority) => {
    const certificates = authority.message('certChain').messages('certificates', MAX_CHAIN_LENGTH);
    return {
      chain: parseCertificates(
        certificates.map((certificate) => certificate.bytes('rawBytes')),
        authority.where,
      ),
      validFor: readValidity(authority),
    };
  });
}

/** A missing start is refused: it would be read as "always" by some and as "never" by others. */
function readValidity(message: Fields): Validity {
  const validFor = message.message('validFor');
  const start = validFor.time('start');
  return validFor.has('end') ? { start, end: validFor.time('end') } : { start };
}
