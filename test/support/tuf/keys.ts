import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { AlgorithmId } from '../../../src/crypto/algorithm.ts';
import { algorithm } from '../../../src/crypto/algorithm.ts';
import { publicKeyOf } from '../../../src/crypto/public-key.ts';
import { ecdsaToDer } from '../../../src/crypto/signature.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import { hex } from '../../../src/encoding/bytes.ts';
import type { JsonObject } from '../../../src/encoding/json.ts';
import { type TufKey, tufKeyOf } from '../../../src/tuf/keys.ts';
import { signedMessage, type TufSignature } from '../../../src/tuf/metadata-file.ts';

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
  if (keyType === 'RSA') return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  if (keyType === 'Ed25519') return generateKeyPairSync('ed25519').privateKey;
  return generateKeyPairSync('ec', { namedCurve: keyType }).privateKey;
}

const pool: TestKey[] = [];

/** A P-256 key that is shared by the tests of one file: making keys is slow, and most tests only need some. */
export function poolKey(index: number): TestKey {
  for (let i = pool.length; i <= index; i++) pool.push(makeKey());
  return pool[index]!;
}

/** Signature of a key over signed content. */
export async function signContent(
  signed: JsonObject,
  { key, privateKey, algorithm: id }: TestKey,
): Promise<TufSignature> {
  const signer = createSigner(
    createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    algorithm(id),
  );
  const plain = await signer.sign(signedMessage(signed));
  const isEcdsa = algorithm(id).scalarBytes !== undefined;
  return { keyid: key.keyid, sig: hex(isEcdsa ? ecdsaToDer(plain) : plain) };
}
