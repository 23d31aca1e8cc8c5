import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { generatePrivateKey } from '../../../crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../../crypto/public-key.ts';
import { isErrno, storageError, writeFileAtomic } from '../../../disk/atomic.ts';
import { utf8 } from '../../../encoding/bytes.ts';
import { BullaError, isBullaError } from '../../../errors.ts';
import { type FoundKey, findKey } from '../../../keystore/key-file.ts';
import { checkDockerKeyName } from '../../docker-trust/names.ts';
import { DockerPassphrases } from '../../docker-trust/passphrases.ts';
import { wrapped } from '../../docker-trust/public-keys.ts';
import type { KeyFlags } from '../../flags/key-flags.ts';
import { keySources, keystoreOf, passphraseOptions } from '../../flags/keys.ts';
import type { Context } from '../../shell/context.ts';
import { newPassphrase } from '../../shell/passphrase.ts';
import { warnIfEmpty } from '../key/make.ts';
import { openToStore } from '../key/move.ts';

export interface GenerateFlags extends KeyFlags {
  readonly dir?: string;
}

/** Names under which `bulla init` looks for the keys of a collection. */
const ADMINISTRATIVE: ReadonlySet<string> = new Set(['root', 'publisher', 'online']);

/** `bulla docker-trust key generate` */
export async function generate(context: Context, name: string, flags: GenerateFlags): Promise<void> {
  checkDockerKeyName(name);
  if (ADMINISTRATIVE.has(name))
    throw new BullaError('usage', `${name} is the name of a key of whole repositories, not of a signer`, {
      hint: 'choose the name of the signer, such as alice; signer add generates that key if needed',
    });
  const directory = context.path(flags.dir ?? '.');
  if (!(await exists(directory)))
    throw new BullaError('not-found', `public key path does not exist: ${JSON.stringify(directory)}`, {
      hint: 'make the directory first, or give another with --dir',
    });
  const path = join(directory, `${name}.pub`);
  if (await exists(path))
    throw new BullaError('conflict', `public key file already exists: ${JSON.stringify(path)}`, {
      hint: 'give another directory with --dir, or another name',
    });
  const keystore = keystoreOf(context);
  if (await keystore.has(name)) throw taken(name, 'choose another name');
  const { output } = context;
  output.text(`Generating key for ${name}...\n`);
  const options = passphraseOptions(context, { ...flags, variables: new DockerPassphrases().variables });
  const passphrase = await newPassphrase(context.io, options, name);
  warnIfEmpty(context, passphrase, name);
  const key = generatePrivateKey('P-256');
  await keystore.put(name, key, passphrase);
  passphrase.fill(0);
  const pem = publicKeyPem(publicKeyOf(key));
  await writeFileAtomic(path, utf8(pem), { exclusive: true });
  output.text(`Successfully generated and loaded private key. Corresponding public key available: ${path}\n`);
  output.result([], { name, fingerprint: publicKeyOf(key).fingerprint, file: path });
}

export interface LoadFlags extends KeyFlags {
  readonly name?: string;
}

/** `bulla docker-trust key load` */
export async function load(context: Context, file: string, flags: LoadFlags): Promise<void> {
  if (flags.name !== undefined) checkDockerKeyName(flags.name);
  const { output } = context;
  const withVariables = { ...flags, variables: new DockerPassphrases().variables };
  const sources = keySources(context, withVariables);
  output.text(`Loading key from ${JSON.stringify(file)}...\n`);
  const found = await findKey(context.path(file), sources).catch((cause: unknown) => {
    throw notLoaded(file, cause);
  });
  const name = flags.name ?? nameFor(found);
  const { key, passphrase } = await openToStore(
    context,
    name,
    name,
    found.file,
    sources,
    withVariables,
  ).catch((cause: unknown) => {
    throw wrapped(`error importing key from ${file}`, cause);
  });
  const { fingerprint } = publicKeyOf(key);
  const present = (await sources.keystore.has(name)) ? await sources.keystore.get(name) : undefined;
  if (present !== undefined && present.publicKey.fingerprint !== fingerprint)
    throw taken(name, `give another name: --name ${name}-2`);
  if (present === undefined) {
    warnIfEmpty(context, passphrase, name);
    await sources.keystore.put(name, key, passphrase);
  }
  passphrase.fill(0);
  output.text(`Successfully imported key from ${file}\n`);
  output.info(present === undefined ? `stored as ${name}` : `it was there already, as ${name}`);
  output.result([], { name, fingerprint });
}

/** Docker's own name for it, but for what the file says it is for. */
function nameFor({ file: { role } }: FoundKey): string {
  if (role === 'root') return role;
  const isSigner = role !== undefined && /^[a-z0-9][a-z0-9_-]{0,63}$/.test(role);
  return isSigner && !['targets', 'snapshot', 'timestamp'].includes(role) ? role : 'signer';
}

function notLoaded(file: string, cause: unknown): unknown {
  const isOther = isBullaError(cause, 'key-invalid') && cause.details['mode'] === undefined;
  if (!isOther) return wrapped(`refusing to load key from ${file}`, cause);
  return new BullaError(
    'key-invalid',
    `error importing key from ${file}: provided file ${file} is not a supported private key - to add a signer's public key use docker trust signer add`,
    { cause, hint: cause.message },
  );
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return false;
    throw storageError(`cannot look at ${path}`, error);
  }
}

function taken(name: string, hint: string): BullaError {
  return new BullaError('conflict', `there is another key named ${name} in the key store`, { hint });
}
