import type { MlDsaType } from './ml-dsa-keys.ts';

/** What kind of key a public key is; the sizes of RSA keys are separate. ML-DSA is an experiment (decision 0532). */
export type KeyType = 'P-256' | 'P-384' | 'P-521' | 'Ed25519' | 'RSA' | MlDsaType;

/**
 * One way to sign: a type of key, a hash, a padding. The names are those of JOSE (RFC 7518, RFC 8037)
 * where it has one; P-384 and P-521 with SHA-256 have none and are what Notary v1 does (cosign the former).
 */
export type AlgorithmId =
  | 'ES256'
  | 'ES384'
  | 'ES512'
  | 'ES384-SHA256'
  | 'ES512-SHA256'
  | 'PS256'
  | 'PS384'
  | 'PS512'
  | 'RS256'
  | 'RS384'
  | 'RS512'
  | 'Ed25519'
  | 'Ed25519ph'
  | MlDsaType;

export interface Algorithm {
  readonly id: AlgorithmId;
  readonly keyType: KeyType;
  /** Undefined for Ed25519 and ML-DSA, which hash for themselves. */
  readonly hash?: 'sha256' | 'sha384' | 'sha512';
  readonly padding?: 'pss' | 'pkcs1';
  /** Bytes of r and of s (RFC 7518 §3.4). */
  readonly scalarBytes?: number;
}

const ROWS: readonly Algorithm[] = [
  { id: 'ES256', keyType: 'P-256', hash: 'sha256', scalarBytes: 32 },
  { id: 'ES384', keyType: 'P-384', hash: 'sha384', scalarBytes: 48 },
  { id: 'ES512', keyType: 'P-521', hash: 'sha512', scalarBytes: 66 },
  { id: 'ES384-SHA256', keyType: 'P-384', hash: 'sha256', scalarBytes: 48 },
  { id: 'ES512-SHA256', keyType: 'P-521', hash: 'sha256', scalarBytes: 66 },
  { id: 'PS256', keyType: 'RSA', hash: 'sha256', padding: 'pss' },
  { id: 'PS384', keyType: 'RSA', hash: 'sha384', padding: 'pss' },
  { id: 'PS512', keyType: 'RSA', hash: 'sha512', padding: 'pss' },
  { id: 'RS256', keyType: 'RSA', hash: 'sha256', padding: 'pkcs1' },
  { id: 'RS384', keyType: 'RSA', hash: 'sha384', padding: 'pkcs1' },
  { id: 'RS512', keyType: 'RSA', hash: 'sha512', padding: 'pkcs1' },
  { id: 'Ed25519', keyType: 'Ed25519' },
  // RFC 8032 §5.1, with the SHA-512 of the message: verified by crypto/ed25519ph.ts alone.
  { id: 'Ed25519ph', keyType: 'Ed25519' },
  // Pure, with an empty context (FIPS 204 §5.2).
  { id: 'ML-DSA-44', keyType: 'ML-DSA-44' },
  { id: 'ML-DSA-65', keyType: 'ML-DSA-65' },
  { id: 'ML-DSA-87', keyType: 'ML-DSA-87' },
];

const BY_ID: ReadonlyMap<string, Algorithm> = new Map(ROWS.map((row) => [row.id, row]));

/** Whether a text names an algorithm. */
export function isAlgorithmId(text: unknown): text is AlgorithmId {
  return typeof text === 'string' && BY_ID.has(text);
}

/** The one table of algorithms. */
export function algorithm(id: AlgorithmId): Algorithm {
  return BY_ID.get(id) as Algorithm;
}

/**
 * The algorithm that a key signs with unless a format says otherwise: the hash of the curve's size;
 * for RSA, PSS with the hash that Notation prescribes for the modulus (2048, 3072, 4096 bits).
 */
export function defaultAlgorithm(keyType: KeyType, modulusBits?: number): Algorithm {
  switch (keyType) {
    case 'P-256':
      return algorithm('ES256');
    case 'P-384':
      return algorithm('ES384');
    case 'P-521':
      return algorithm('ES512');
    case 'Ed25519':
    case 'ML-DSA-44':
    case 'ML-DSA-65':
    case 'ML-DSA-87':
      return algorithm(keyType);
    case 'RSA':
      return algorithm(
        (modulusBits ?? 2048) >= 4096 ? 'PS512' : (modulusBits ?? 2048) >= 3072 ? 'PS384' : 'PS256',
      );
  }
}
