import { type Algorithm, type AlgorithmId, algorithm } from './algorithm.ts';
import { type DerValue, derChildren, expectTag, readOid, TAG } from './der.ts';
import type { PublicKey } from './public-key.ts';
import { verifySignature } from './signature.ts';

/** Hashes that signatures are trusted with, by object identifier. */
export type HashName = 'sha256' | 'sha384' | 'sha512';
export const HASHES: ReadonlyMap<string, HashName> = new Map([
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
]);

const RSA_ENCRYPTION = '1.2.840.113549.1.1.1';
const RSASSA_PSS = '1.2.840.113549.1.1.10';
const ED25519 = '1.3.101.112';
/** Type of key and hash of signature algorithms that name both. */
const SIGNATURES: ReadonlyMap<string, readonly ['EC' | 'RSA', HashName]> = new Map([
  ['1.2.840.10045.4.3.2', ['EC', 'sha256']],
  ['1.2.840.10045.4.3.3', ['EC', 'sha384']],
  ['1.2.840.10045.4.3.4', ['EC', 'sha512']],
  ['1.2.840.113549.1.1.11', ['RSA', 'sha256']],
  ['1.2.840.113549.1.1.12', ['RSA', 'sha384']],
  ['1.2.840.113549.1.1.13', ['RSA', 'sha512']],
]);
const ALGORITHMS: ReadonlyMap<string, AlgorithmId> = new Map([
  ['P-256 sha256', 'ES256'],
  ['P-384 sha384', 'ES384'],
  ['P-384 sha256', 'ES384-SHA256'],
  ['P-521 sha512', 'ES512'],
  ['P-521 sha256', 'ES512-SHA256'],
  ['RSA sha256', 'RS256'],
  ['RSA sha384', 'RS384'],
  ['RSA sha512', 'RS512'],
  ['RSA-PSS sha256', 'PS256'],
  ['RSA-PSS sha384', 'PS384'],
  ['RSA-PSS sha512', 'PS512'],
]);

/**
 * How a key signs under an object identifier of X.509 and CMS.
 * @param hash that is stated elsewhere, for the identifiers that name none
 * @returns undefined where the key cannot, where SHA-2 is not used, or where the identifier is not known
 */
export function algorithmNamed(
  key: PublicKey,
  oid: string,
  hash: HashName | undefined,
): Algorithm | undefined {
  if (oid === ED25519) return key.type === 'Ed25519' ? algorithm('Ed25519') : undefined;
  const [keyType, used] =
    oid === RSA_ENCRYPTION || oid === RSASSA_PSS ? ['RSA', hash] : (SIGNATURES.get(oid) ?? []);
  if ((keyType === 'RSA') !== (key.type === 'RSA')) return undefined;
  const id = ALGORITHMS.get(`${key.type}${oid === RSASSA_PSS ? '-PSS' : ''} ${used}`);
  return id === undefined ? undefined : algorithm(id);
}

/**
 * Whether a key signed DER under an AlgorithmIdentifier (RFC 5280 §4.1.1.2): with SHA-2, and by an algorithm of that key.
 * @throws BullaError content-invalid for malformed DER
 */
export function isSignedBy(
  key: PublicKey,
  identifier: DerValue | undefined,
  message: Uint8Array,
  signature: DerValue | undefined,
): boolean {
  const [oid, parameters, more] = derChildren(expectTag(identifier, TAG.sequence));
  const chosen = algorithmNamed(key, readOid(oid), pssHash(parameters));
  const { content } = expectTag(signature, TAG.bitString);
  // Parameters are absent, NULL, or those of RSASSA-PSS; a signature is whole octets.
  const tag = parameters?.tag ?? TAG.null;
  const isWell = more === undefined && (tag === TAG.null || tag === TAG.sequence) && content[0] === 0;
  if (chosen === undefined || !isWell) return false;
  return verifySignature(key, chosen, message, content.subarray(1), 'der');
}

/** The hash is [0], and SHA-1 where it is left out (RFC 4055 §3.1). */
function pssHash(parameters: DerValue | undefined): HashName | undefined {
  if (parameters?.tag !== TAG.sequence) return undefined;
  const [hash] = derChildren(parameters);
  if (hash?.tag !== 0xa0) return undefined;
  return HASHES.get(readOid(derChildren(expectTag(derChildren(hash)[0], TAG.sequence))[0]));
}
