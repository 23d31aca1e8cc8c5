import { createHash, createPublicKey, verify as nodeVerify } from 'node:crypto';
import { ml_dsa44, ml_dsa65, ml_dsa87 } from '@noble/post-quantum/ml-dsa.js';
import { ML_DSA, type MlDsa, type MlDsaType } from './ml-dsa-keys.ts';

/** Signatures that were valid lately: verifying takes long here, and a command verifies one several times. */
const VERIFIED = new Set<string>();
const MAX_VERIFIED = 256;

const PARAMETER_SETS = { 'ML-DSA-44': ml_dsa44, 'ML-DSA-65': ml_dsa65, 'ML-DSA-87': ml_dsa87 } as const;

/**
 * ML-DSA (FIPS 204), pure and with an empty context: OpenSSL verifies where it can (3.5, Node 24), which takes a
 * hundredth of the time, @noble/post-quantum elsewhere. Signing is hedged, as FIPS 204 §3.4 recommends.
 */
export const NOBLE_ML_DSA: MlDsa = {
  verify: (type, spki, message, signature) => {
    if (signature.byteLength !== ML_DSA.get(type)?.signatureBytes) return false;
    const key = opensslKey(spki);
    if (key !== undefined) return nodeVerify(null, message, key, signature);
    const name = createHash('sha256').update(spki).update(signature).update(message).digest('hex');
    if (VERIFIED.has(name)) return true;
    if (!PARAMETER_SETS[type].verify(signature, message, rawOf(type, spki))) return false;
    if (VERIFIED.size >= MAX_VERIFIED) VERIFIED.clear();
    VERIFIED.add(name);
    return true;
  },
  sign: (type, seed, message) => {
    const { secretKey } = PARAMETER_SETS[type].keygen(seed);
    try {
      return PARAMETER_SETS[type].sign(message, secretKey);
    } finally {
      secretKey.fill(0);
    }
  },
  expand: (type, seed) => PARAMETER_SETS[type].keygen(seed),
};

function rawOf(type: MlDsaType, spki: Uint8Array): Uint8Array {
  return spki.subarray(spki.byteLength - (ML_DSA.get(type)?.publicBytes ?? 0));
}

function opensslKey(spki: Uint8Array): ReturnType<typeof createPublicKey> | undefined {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch {
    return undefined;
  }
}
