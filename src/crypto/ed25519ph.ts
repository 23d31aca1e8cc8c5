import { type PublicKey, rawEd25519 } from './public-key.ts';

/**
 * Whether `signature` is `key`'s over the SHA-512 of `message` (Ed25519ph of RFC 8032 §5.1, empty context). Node cannot
 * verify it. The library that can is loaded by the first call, because few signatures need it (spec/decisions/0361).
 */
export async function verifyEd25519ph(
  key: PublicKey,
  message: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  if (key.type !== 'Ed25519' || signature.byteLength !== 64) return false;
  const { ed25519ph } = await import('@noble/curves/ed25519.js');
  // Strict as RFC 8032 is, not as loose as ZIP 215.
  return ed25519ph.verify(signature, message, rawEd25519(key), { zip215: false });
}
