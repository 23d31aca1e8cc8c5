import { lstat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Certificate } from '../crypto/certificate.ts';
import { looksLikeDer, pemTextOf } from '../crypto/key-text.ts';
import { type PublicKey, readPublicKeys } from '../crypto/public-key.ts';
import { utf8 } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import type { KeySources } from './back-end.ts';
import { backEndOf } from './back-ends/registry.ts';
import { storedHandle } from './key-file.ts';
import { type KeySigner, keyOf, signerOf } from './key-of.ts';
import { isKeyName } from './names.ts';
import { readPublicFile } from './read.ts';
import type { BrokenKey } from './store.ts';

/** An available key: its public half, and what signs with it. */
export interface KnownKey {
  /** What people know it by. */
  readonly name: string;
  readonly publicKey: PublicKey;
  /** From the key's own to the root. Only those of the key store are looked for. */
  readonly certificates: readonly Certificate[];
  /** Undefined where only the public key is here. */
  readonly signer?: KeySigner;
}

/**
 * The key that a text names: NAME of the key store, PATH of a public or private key, `env://VARIABLE` with either,
 * or the URI of a back end. Of a private key in a file, opened to know which key it is; of any other, nothing is opened.
 * @throws BullaError usage, not-found, key-invalid, storage-error
 */
export async function findKnownKey(spec: string, sources: KeySources): Promise<KnownKey> {
  const { keystore } = sources;
  if (isKeyName(spec) && (await keystore.has(spec))) {
    const key = { ...(await keystore.get(spec)), certificates: [] };
    const { name, publicKey, certificates } = key;
    return { name, publicKey, certificates, signer: signerOf(storedHandle(key, sources)) };
  }
  const publicKey = await readPublic(spec, sources);
  if (publicKey !== undefined) return { name: spec, publicKey, certificates: [] };
  const signer = await keyOf(spec, sources);
  return { name: spec, publicKey: signer.publicKey, certificates: [], signer };
}

/** Every key of the key store, closed. @param onBroken called for keys that cannot be read @throws BullaError config-invalid, storage-error */
export async function storedKeys(
  sources: KeySources,
  onBroken: (key: BrokenKey) => void,
): Promise<readonly KnownKey[]> {
  const known: KnownKey[] = [];
  for (const key of await sources.keystore.list()) {
    if ('problem' in key) onBroken(key);
    else known.push({ ...key, signer: signerOf(storedHandle(key, sources)) });
  }
  return known;
}

/** The public key in a file or variable; undefined where there is none, but perhaps a private one. */
async function readPublic(spec: string, sources: KeySources): Promise<PublicKey | undefined> {
  const variable = /^env:\/\/([A-Za-z_][A-Za-z0-9_]*)$/.exec(spec)?.[1];
  let bytes: Uint8Array | undefined;
  if (variable !== undefined) bytes = utf8(sources.environment(variable) ?? '');
  else if (backEndOf(spec, sources) === undefined && !spec.includes('://'))
    bytes = await readRegular(resolve(sources.cwd, spec));
  if (bytes === undefined || !(looksLikeDer(bytes) || holdsPublicKey(pemTextOf(bytes, spec))))
    return undefined;
  const keys = readPublicKeys(bytes, spec);
  if (keys.length === 1) return keys[0];
  throw new BullaError('key-invalid', `${spec} holds ${keys.length} public keys, and one was expected`, {
    hint: 'give one file for each key',
  });
}

/** A pipe is left alone: it can be read only once, and then it is a private key's. */
async function readRegular(path: string): Promise<Uint8Array | undefined> {
  const isFile = await lstat(path).then(
    (stats) => stats.isFile() || stats.isSymbolicLink(),
    () => false,
  );
  return isFile ? await readPublicFile(path) : undefined;
}

function holdsPublicKey(text: string): boolean {
  return !/-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/.test(text) && text.includes('-----BEGIN PUBLIC KEY-----');
}
