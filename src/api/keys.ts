import { homedir } from 'node:os';
import { join } from 'node:path';
import { type KeyAtHand, KeysAtHand } from '../actions/sign/keys-at-hand.ts';
import type { Signer } from '../crypto/signer.ts';
import type { KeyBackEnd, KeySources, PassphraseSource } from '../keystore/back-end.ts';
import { type KeySigner, openKey } from '../keystore/key-of.ts';
import { findKnownKey, storedKeys } from '../keystore/known-keys.ts';
import { environmentPassphrases } from '../keystore/passphrase.ts';
import { Keystore } from '../keystore/store.ts';
import { type Directories, directories } from '../state/directories.ts';

/** Where the private keys of a call are, and what opens them. Everything may be left out. */
export interface KeyOptions {
  /**
   * Passphrases of encrypted keys: one for all, or what gives them. If left out, those of the environment:
   * BULLA_PASSPHRASE, BULLA_PASSPHRASE_FILE, COSIGN_PASSWORD.
   */
  readonly passphrase?: string | PassphraseSource | undefined;
  /** Take private key files that others may read, too. */
  readonly anyKeyMode?: boolean | undefined;
  /** Further back ends by how their URIs begin: `my-kms://`, `token:`. */
  readonly backEnds?: ReadonlyMap<string, () => Promise<KeyBackEnd>> | undefined;
  /** Where the key store is (`keys` below `config`); that of the user if left out. */
  readonly directories?: Partial<Directories> | undefined;
}

/**
 * Opens a private key: NAME of the key store, PATH of a file, `env://VARIABLE`, or a URI such as `pkcs11:` or
 * `openbao://` (spec/keys.md). What it returns
 * signs with {@link sign} and everything else that takes a `Signer`, and stays open.
 * @param uri the default key of the key store if left out
 * @throws BullaError usage, not-found, key-invalid, certificate-invalid, storage-error
 * @example
 * ```ts
 * import { generateKeyPairSync } from 'node:crypto';
 * import { keyOf, sign } from 'bulla';
 *
 * const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
 * process.env['RELEASE_KEY'] = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
 * // Opened once, for any number of calls.
 * const key = await keyOf('env://RELEASE_KEY');
 * await sign('registry.example.com/team/app:v1', { key });
 * console.log(`signed with ${key.name}: ${key.algorithm.id}, ${key.keyId}`);
 * ```
 */
export async function keyOf(uri?: string, options: KeyOptions = {}): Promise<KeySigner> {
  return await openKey(uri, keySources(options));
}

/** Where keys come from, by the options of a call. */
export function keySources({
  passphrase,
  anyKeyMode = false,
  backEnds,
  directories: given,
}: KeyOptions): KeySources {
  const { config } = { ...directories({ env: process.env, home: homedir() }), ...given };
  const places = {
    environment: (name: string) => process.env[name],
    variables: process.env,
    cwd: process.cwd(),
    anyMode: anyKeyMode,
  };
  return {
    ...places,
    keystore: new Keystore(join(config, 'keys')),
    passphrase: passphraseOf(passphrase) ?? environmentPassphrases(places),
    backEnds,
  };
}

function passphraseOf(given: KeyOptions['passphrase']): PassphraseSource | undefined {
  return typeof given === 'string' ? async () => new TextEncoder().encode(given) : given;
}

/**
 * The keys that sign for roles of a collection: first those that are given, then those of the key store.
 * @param given names, paths and URIs, or signers
 */
export function keysFor(
  given: readonly (string | Signer)[],
  sources: KeySources,
  onWarning?: (message: string) => void,
): KeysAtHand {
  const signers = new Map<string, KeyAtHand>(
    given.flatMap((key) => (typeof key === 'string' ? [] : [[`key ${key.keyId}`, atHand(key)]])),
  );
  return new KeysAtHand(
    {
      find: async (spec) => signers.get(spec) ?? (await findKnownKey(spec, sources)),
      all: () =>
        storedKeys(sources, ({ name, problem }) =>
          onWarning?.(`the key ${name} cannot be read: ${problem.message}`),
        ),
    },
    given.map((key) => (typeof key === 'string' ? key : `key ${key.keyId}`)),
  );
}

function atHand(signer: Signer): KeyAtHand {
  const { publicKey, certificates = [] } = signer;
  return { name: `key ${signer.keyId.slice(0, 12)}`, publicKey, certificates, signer };
}
