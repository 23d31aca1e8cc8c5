import { type Algorithm, algorithm } from '../crypto/algorithm.ts';
import type { PublicKey } from '../crypto/public-key.ts';

/**
 * The algorithms that cosign uses a key with: PKCS #1 v1.5 for RSA. With P-384 it signs over SHA-384 and
 * verifies over SHA-256 (3.1.3), so both are read; with P-521 it signs what it does not verify. With
 * Ed25519 it signs by Ed25519ph and verifies Ed25519, so both are read here too.
 */
export function sigstoreAlgorithms(key: PublicKey): readonly Algorithm[] {
  switch (key.type) {
    case 'P-256':
      return [algorithm('ES256')];
    case 'P-384':
      return [algorithm('ES384'), algorithm('ES384-SHA256')];
    case 'P-521':
      return [algorithm('ES512')];
    case 'Ed25519':
      return [algorithm('Ed25519'), algorithm('Ed25519ph')];
    case 'RSA':
      return [algorithm('RS256')];
    default:
      return [];
  }
}
