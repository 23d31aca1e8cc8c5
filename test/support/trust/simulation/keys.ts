import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { publicKeyOf } from '../../../../src/crypto/public-key.ts';
import { utf8 } from '../../../../src/encoding/bytes.ts';
import type { TufSigner } from '../../../../src/tuf/edit/signing.ts';
import { type TufKey, tufKeyOf } from '../../../../src/tuf/keys.ts';

/** A key that is the same in each run, so that all digests of a schedule follow from its seed. */
export interface SimulatedKey {
  readonly key: TufKey;
  readonly privateKey: KeyObject;
}

const PKCS8_PREFIX = '302e020100300506032b657004220420';

function keyCalled(name: string): SimulatedKey {
  const secret = createHash('sha256').update(`simulation ${name}`).digest();
  const privateKey = createPrivateKey({
    key: Buffer.concat([Buffer.from(PKCS8_PREFIX, 'hex'), secret]),
    format: 'der',
    type: 'pkcs8',
  });
  return { privateKey, key: tufKeyOf(publicKeyOf(createPublicKey(privateKey)), 'Ed25519') };
}

/** Keys of the simulated collection, by what they sign. */
export const KEYS: Readonly<Record<'root' | 'names' | 'online' | 'ci', SimulatedKey>> = {
  root: keyCalled('root'),
  names: keyCalled('names'),
  online: keyCalled('online'),
  ci: keyCalled('ci'),
};

/** Signer of a key, which notes what it was made to sign: all else is a forgery. */
export function signerOf({ key, privateKey }: SimulatedKey, signedTexts: Set<string>): TufSigner {
  return {
    key,
    sign: async (message) => {
      signedTexts.add(Buffer.from(message).toString());
      return new Uint8Array(sign(null, message, privateKey));
    },
  };
}

/** Content of an image that exists in name only. */
export function contentOf(text: string): { readonly length: number; readonly sha256: string } {
  const bytes = utf8(text);
  return { length: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') };
}
