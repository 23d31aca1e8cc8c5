import { constants, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { AlgorithmId } from '../../../src/crypto/algorithm.ts';
import { algorithm } from '../../../src/crypto/algorithm.ts';
import { publicKeyOf } from '../../../src/crypto/public-key.ts';
import { hex } from '../../../src/encoding/bytes.ts';
import type { JsonObject } from '../../../src/encoding/json.ts';
import { type TufKey, tufKeyOf } from '../../../src/tuf/keys.ts';
import { signedMessage, type TufSignature } from '../../../src/tuf/metadata-file.ts';
import { rsaKeys } from '../rsa-keys.ts';

/** A key of a test repository, private part included. */
export interface TestKey {
  readonly key: TufKey;
  readonly privateKey: KeyObject;
  readonly algorithm: AlgorithmId;
}

/** A new key; P-256 unless told otherwise. */
export function makeKey(id: AlgorithmId = 'ES256'): TestKey {
  const privateKey = generate(id);
  return { key: tufKeyOf(publicKeyOf(createPublicKey(privateKey)), id), privateKey, algorithm: id };
}

function generate(id: AlgorithmId): KeyObject {
  const { keyType } = algorithm(id);
  if (keyType === 'RSA') return rsaKeys(2048).privateKey;
  if (keyType === 'Ed25519') return generateKeyPairSync('ed25519').privateKey;
  return generateKeyPairSync('ec', { namedCurve: keyType }).privateKey;
}

const pool: TestKey[] = [];

/** A P-256 key that is shared by the tests of one file: making keys is slow, and most tests only need some. */
export function poolKey(index: number): TestKey {
  for (let i = pool.length; i <= index; i++) pool.push(makeKey());
  return pool[index]!;
}

/** Signature of a key over signed content, by OpenSSL: our own signer is not what is tested with it. */
export function signatureOf(signed: JsonObject, { key, privateKey, algorithm: id }: TestKey): TufSignature {
  const { hash, padding } = algorithm(id);
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
  const sig = sign(hash ?? null, signedMessage(signed), { key: privateKey, ...(padding === 'pss' && pss) });
  return { keyid: key.keyid, sig: hex(sig) };
}

/** {@link signatureOf} for callers who take any signer. */
export async function signContent(signed: JsonObject, key: TestKey): Promise<TufSignature> {
  return signatureOf(signed, key);
}
