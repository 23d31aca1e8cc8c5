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

const verdicts = new Map<string, boolean>();
const MAX_VERDICTS = 50_000;

type Verify = (
  algorithm: string | null | undefined,
  message: NodeJS.ArrayBufferView,
  key: unknown,
  signature: NodeJS.ArrayBufferView,
) => boolean;

/**
 * Has each signature verified once only, by node:crypto as ever: a schedule reads the same files over and
 * over, and verifying takes most of its time. Lasts as long as this process or test file.
 */
export function verifyOnce(): void {
  const verify = crypto.verify as Verify;
  if ('isRemembering' in verify) return;
  const remembering = (...args: Parameters<Verify>): boolean => {
    const [algorithm, message, key, signature] = args;
    if (algorithm !== null || !('export' in (key as object))) return verify(...args);
    const digest = createHash('sha256')
      .update(message as Uint8Array)
      .digest('base64');
    const name = `${idOf(key as KeyObject)} ${Buffer.from(signature as Uint8Array).toString('base64')} ${digest}`;
    let verdict = verdicts.get(name);
    if (verdict === undefined) {
      verdict = verify(algorithm, message, key, signature);
      if (verdicts.size >= MAX_VERDICTS) verdicts.clear();
      verdicts.set(name, verdict);
    }
    return verdict;
  };
  crypto.verify = Object.assign(remembering, { isRemembering: true }) as unknown as typeof crypto.verify;
  syncBuiltinESMExports();
}

const ids = new WeakMap<KeyObject, string>();

function idOf(key: KeyObject): string {
  let id = ids.get(key);
  if (id === undefined) {
    id = key.export({ type: 'spki', format: 'der' }).toString('base64');
    ids.set(key, id);
  }
  return id;
}

/** Content of an image that exists in name only. */
export function contentOf(text: string): { readonly length: number; readonly sha256: string } {
  const bytes = utf8(text);
  return { length: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') };
}
