import { resolve } from 'node:path';
import { isMlDsa, type MlDsaType, mlDsa } from '../../../crypto/ml-dsa-keys.ts';
import { type GeneratedKeyType, generatePrivateKey, sealPrivateKey } from '../../../crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../../crypto/public-key.ts';
import { discard, writeFileAtomic } from '../../../disk/atomic.ts';
import { utf8 } from '../../../encoding/bytes.ts';
import { BullaError } from '../../../errors.ts';
import { generateKept, lookAtKept } from '../../../keystore/kept.ts';
import { checkKeyName } from '../../../keystore/names.ts';
import { unlockKey } from '../../../keystore/unlock.ts';
import type { KeyFlags } from '../../flags/key-flags.ts';
import { keySources, keystoreOf, passphraseOptions } from '../../flags/keys.ts';
import type { Context } from '../../shell/context.ts';
import { newPassphrase } from '../../shell/passphrase.ts';
import { describeKey, nameOrDefault } from './look.ts';

export interface GenerateFlags extends KeyFlags {
  readonly type?: string;
  readonly outputKeyPrefix?: string;
  readonly force?: boolean;
  /** `--at`: where it is made and kept. */
  readonly at?: string;
}

const TYPES: ReadonlyMap<string, GeneratedKeyType | MlDsaType> = new Map<
  string,
  GeneratedKeyType | MlDsaType
>([
  ['p256', 'P-256'],
  ['p384', 'P-384'],
  ['p521', 'P-521'],
  ['ed25519', 'Ed25519'],
  // Only with BULLA_EXPERIMENTAL=ml-dsa.
  ['mldsa-44', 'ML-DSA-44'],
  ['mldsa-65', 'ML-DSA-65'],
  ['mldsa-87', 'ML-DSA-87'],
]);

/** `bulla key generate` */
export async function generate(
  context: Context,
  given: string | undefined,
  flags: GenerateFlags,
): Promise<void> {
  const type = TYPES.get((flags.type ?? 'p256').toLowerCase().replace('-', ''));
  if (type === undefined) {
    throw new BullaError('usage', `keys of type ${JSON.stringify(flags.type)} are not made`, {
      hint: `choose one of ${[...TYPES.keys()].join(', ')}; RSA keys can be imported`,
    });
  }
  if (isMlDsa(type)) mlDsa();
  if (flags.outputKeyPrefix !== undefined && flags.at !== undefined)
    throw new BullaError('usage', '--at and --output-key-prefix exclude each other', {
      hint: 'leave one of them out',
    });
  if (flags.outputKeyPrefix !== undefined)
    return generateFiles(context, given, type, flags.outputKeyPrefix, flags);
  const name = checkKeyName(given ?? 'default');
  if (flags.at !== undefined && isMlDsa(type))
    throw new BullaError('usage', `keys of type ${type} are made here only`, {
      hint: 'leave out --at, or choose another --type',
    });
  if (flags.at !== undefined && !isMlDsa(type))
    return generateElsewhere(context, name, type, flags.at, flags);
  const keystore = keystoreOf(context);
  const replace = flags.force === true;
  // Asked before the passphrase is, so that it is not typed in vain. put() asks again, under the lock.
  if (!replace && (await keystore.has(name))) throw taken(name);
  const passphrase = await newPassphrase(context.io, passphraseOptions(context, flags), name);
  warnIfEmpty(context, passphrase, name);
  await keystore.put(name, generatePrivateKey(type), passphrase, { replace });
  passphrase.fill(0);
  const stored = await keystore.get(name);
  context.output.result(describeKey(stored).text, describeKey(stored).json);
  context.output.info(
    `stored as ${name} in ${keystore.directory}; keep a copy where a fire does not reach it`,
  );
  if (stored.isDefault) context.output.info('this is the default key: `bulla sign` uses it');
}

/** Makes a key in a device or service, and takes its name into the key store. */
async function generateElsewhere(
  context: Context,
  name: string,
  type: GeneratedKeyType,
  uri: string,
  flags: GenerateFlags,
): Promise<void> {
  const sources = keySources(context, flags);
  const replace = flags.force === true;
  if (!replace && (await sources.keystore.has(name))) throw taken(name);
  await generateKept(uri, type, sources);
  const { publicKey, kept } = await lookAtKept(uri, sources);
  await sources.keystore.putKept(name, publicKey, kept, { replace });
  const stored = await sources.keystore.get(name);
  context.output.result(describeKey(stored).text, describeKey(stored).json);
  context.output.info(`the private key was made at ${uri} and stays there; ${name} is its name here`);
  if (stored.isDefault) context.output.info('this is the default key: `bulla sign` uses it');
}

async function generateFiles(
  context: Context,
  name: string | undefined,
  type: GeneratedKeyType | MlDsaType,
  prefix: string,
  flags: GenerateFlags,
): Promise<void> {
  if (name !== undefined) {
    throw new BullaError('usage', 'a name in the key store and --output-key-prefix exclude each other', {
      hint: 'leave one of them out',
    });
  }
  const at = (ending: string): string => resolve(context.io.cwd, `${prefix}.${ending}`);
  const files = { privateKey: at('key'), publicKey: at('pub') };
  const passphrase = await newPassphrase(context.io, passphraseOptions(context, flags), `${prefix}.key`);
  warnIfEmpty(context, passphrase, `${prefix}.key`);
  const key = generatePrivateKey(type);
  const publicKey = publicKeyOf(key);
  const sealed = await sealPrivateKey(key, passphrase);
  passphrase.fill(0);
  const exclusive = flags.force !== true;
  await writeFileAtomic(files.privateKey, utf8(sealed), { mode: 0o600, exclusive });
  try {
    await writeFileAtomic(files.publicKey, utf8(publicKeyPem(publicKey)), { exclusive });
  } catch (error) {
    // Half a pair is worse than none; with --force the old one is gone already, and the new one is kept.
    if (exclusive) await discard(files.privateKey);
    throw error;
  }
  context.output.result(`${prefix}.key  ${publicKey.type}  ${publicKey.fingerprint}`, {
    type: publicKey.type,
    fingerprint: publicKey.fingerprint,
    publicKey: publicKeyPem(publicKey),
    files,
  });
}

/** `bulla key passwd` */
export async function passwd(context: Context, given: string | undefined, flags: KeyFlags): Promise<void> {
  const sources = keySources(context, flags);
  const { keystore } = sources;
  const name = await nameOrDefault(keystore, given);
  const file = await keystore.privateKey(name, sources);
  const key = await unlockKey(name, file, sources.passphrase);
  const passphrase = await newPassphrase(context.io, passphraseOptions(context, flags), name, true);
  warnIfEmpty(context, passphrase, name);
  await keystore.reseal(name, key, passphrase);
  passphrase.fill(0);
  context.output.result(`${name} has a new passphrase`, { name });
  context.output.info('earlier copies of the key can still be decrypted with the old passphrase');
}

/** `bulla key default` */
export async function makeDefault(context: Context, name: string | undefined): Promise<void> {
  const keystore = keystoreOf(context);
  if (name !== undefined) await keystore.setDefault(name);
  const now = await nameOrDefault(keystore, undefined);
  context.output.result(now, { name: now });
  const { defaultKey } = context.settings;
  if (defaultKey !== undefined && defaultKey !== now)
    context.output.warn(`BULLA_KEY or \`key\` of config.yaml says ${defaultKey}, and goes before this`);
}

/** `bulla key rm` */
export async function remove(
  context: Context,
  names: readonly string[],
  flags: { readonly force?: boolean },
): Promise<void> {
  const keystore = keystoreOf(context);
  // All are looked up before one is removed, so that a typing error removes nothing.
  for (const name of names) await keystore.mustHave(name);
  if (flags.force !== true) {
    throw new BullaError('usage', `${names.join(', ')} would be gone for good`, {
      hint: 'keep a copy if it may still be needed (bulla key export), then say --force',
    });
  }
  for (const name of names) await keystore.remove(name);
  context.output.result(
    names.map((name) => `${name} removed`),
    { removed: names },
  );
}

/** @throws BullaError conflict */
export function taken(name: string): BullaError {
  return new BullaError('conflict', `there is a key named ${name} already`, {
    hint: 'choose another name; --force replaces it, and then nothing can be signed with the old one any more',
  });
}

/** Says so where a key is about to lie on the disk unprotected. */
export function warnIfEmpty(context: Context, passphrase: Uint8Array, name: string): void {
  if (passphrase.byteLength === 0)
    context.output.warn(`${name} has an empty passphrase: anyone who can read the file can sign with it`);
}
