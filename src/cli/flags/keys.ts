import { join } from 'node:path';
import type { KeySources, PassphraseSource } from '../../keystore/back-end.ts';
import type { KeySigner } from '../../keystore/key-of.ts';
import { Keystore } from '../../keystore/store.ts';
import type { Context } from '../shell/context.ts';
import { type PassphraseOptions, passphraseSource, typedPin } from '../shell/passphrase.ts';
import type { KeyFlags } from './key-flags.ts';

/** The person's key store: `keys` in the configuration directory. */
export function keystoreOf(context: Context): Keystore {
  return new Keystore(join(context.directories.config, 'keys'));
}

/** The options that passphrases are read with. */
export function passphraseOptions(context: Context, flags: KeyFlags): PassphraseOptions {
  return {
    passphraseFd: flags.passphraseFd,
    newPassphraseFd: flags.newPassphraseFd,
    anyMode: anyKeyMode(context, flags),
    passwordStdin: context.settings.passwordStdin,
    variables: flags.variables,
  };
}

/** Where the keys of a command come from. */
export function keySources(context: Context, flags: KeyFlags): KeySources {
  return {
    keystore: keystoreOf(context),
    passphrase: sharedPassphrases(context, flags),
    environment: (name) => context.io.env[name],
    variables: context.io.env,
    pin: (token) => typedPin(context.io, token),
    cwd: context.io.cwd,
    anyMode: anyKeyMode(context, flags),
  };
}

const shared = new WeakMap<Context, Map<string, PassphraseSource>>();
const entered = new WeakMap<Context, Uint8Array[]>();

/** Has a passphrase that was given for new keys open them too, in the same command: it is not asked for again. */
export function rememberPassphrase(context: Context, passphrase: Uint8Array): void {
  enteredIn(context).push(Uint8Array.from(passphrase));
}

function enteredIn(context: Context): Uint8Array[] {
  const secrets = entered.get(context) ?? [];
  entered.set(context, secrets);
  return secrets;
}

/** One command may open several keys, or one twice: a descriptor is read, and a person asked, only once. */
function sharedPassphrases(context: Context, flags: KeyFlags): PassphraseSource {
  const sources = shared.get(context) ?? new Map<string, PassphraseSource>();
  shared.set(context, sources);
  const options = passphraseOptions(context, flags);
  const which = `${options.passphraseFd ?? ''} ${options.anyMode} ${options.variables !== undefined}`;
  const source = sources.get(which) ?? passphraseSource(context.io, options, enteredIn(context));
  sources.set(which, source);
  return source;
}

const expected = new WeakMap<Context, Promise<KeySigner | undefined>>();

/**
 * Begins to open the key that a command will sign with, which takes 0.1 s of work, while images are read: a key of the
 * key store, of which the public half is known without asking. The user is not prompted yet.
 */
export function expectSigner(context: Context, flags: KeyFlags): void {
  const expecting = expectStored(context, flags);
  // Signing with it reports the failure.
  expecting.catch(() => undefined);
  expected.set(context, expecting);
}

async function expectStored(context: Context, flags: KeyFlags): Promise<KeySigner | undefined> {
  const [{ keyOf }, { isKeyName }] = await Promise.all([
    import('../../keystore/key-of.ts'),
    import('../../keystore/names.ts'),
  ]);
  const sources = keySources(context, flags);
  const { keystore } = sources;
  const name = flags.key ?? context.settings.defaultKey ?? (await keystore.defaultName());
  if (name === undefined || !isKeyName(name) || !(await keystore.has(name))) return undefined;
  if ((await keystore.get(name)).kept !== undefined) return undefined;
  const signer = await keyOf(name, sources);
  signer.open({ unattended: true, signal: context.signal }).catch(() => undefined);
  return signer;
}

/**
 * The key that a command signs with: `--key`, BULLA_KEY, `key` of config.yaml, the store's default. It is open.
 * @throws BullaError as {@link openKey} of keystore/
 */
export async function signerOf(context: Context, flags: KeyFlags): Promise<KeySigner> {
  const { openKey, opened } = await import('../../keystore/key-of.ts');
  const { signal } = context;
  const early = await expected.get(context)?.catch(() => undefined);
  if (early !== undefined) return await opened(early, { signal });
  return openKey(flags.key ?? context.settings.defaultKey, keySources(context, flags), { signal });
}

function anyKeyMode(context: Context, flags: KeyFlags): boolean {
  return flags.anyKeyMode === true || context.io.env['BULLA_ANY_KEY_MODE'] === '1';
}
