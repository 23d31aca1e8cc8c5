import crypto, { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
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

type Verify = (
  algorithm: string | null | undefined,
  message: NodeJS.ArrayBufferView,
  key: unknown,
  signature: NodeJS.ArrayBufferView,
) => boolean;

/** Messages that a signature was found to be over, by public key and signature. */
const verified = new Map<string, Buffer>();
const MAX_VERIFIED = 20_000;

/**
 * Has each valid signature verified once only, by node:crypto as ever: a schedule reads the same files over
 * and over, and verifying takes much of its time. Lasts as long as this process or test file.
 */
export function verifyOnce(): void {
  const verify = crypto.verify as Verify;
  if ('isRemembering' in verify) return;
  const remembering: Verify = (algorithm, message, key, signature) => {
    if (algorithm !== null || !('export' in (key as object)))
      return verify(algorithm, message, key, signature);
    const name = `${idOf(key as KeyObject)}${latin1(signature)}`;
    const bytes = bufferOf(message);
    if (verified.get(name)?.equals(bytes) === true) return true;
    if (!verify(algorithm, message, key, signature)) return false;
    if (verified.size >= MAX_VERIFIED) verified.clear();
    verified.set(name, Buffer.from(bytes));
    return true;
  };
  crypto.verify = Object.assign(remembering, { isRemembering: true }) as unknown as typeof crypto.verify;
  syncBuiltinESMExports();
}

function bufferOf({ buffer, byteOffset, byteLength }: NodeJS.ArrayBufferView): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function latin1(bytes: NodeJS.ArrayBufferView): string {
  return bufferOf(bytes).toString('latin1');
}

const ids = new WeakMap<KeyObject, string>();

function idOf(key: KeyObject): string {
  let id = ids.get(key);
  if (id === undefined) {
    id = latin1(key.export({ type: 'spki', format: 'der' }));
    ids.set(key, id);
  }
  return id;
}

/** Content of an image that exists in name only. */
export function contentOf(text: string): { readonly length: number; readonly sha256: string } {
  const bytes = utf8(text);
  return { length: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') };
}
