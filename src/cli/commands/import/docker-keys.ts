import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImportPlan, PlannedKey } from '../../../actions/import-notary/plan.ts';
import { tufKey } from '../../../actions/sign/keys-at-hand.ts';
import { publicKeyOf } from '../../../crypto/public-key.ts';
import { isErrno, storageError } from '../../../disk/atomic.ts';
import { utf8 } from '../../../encoding/bytes.ts';
import { BullaError } from '../../../errors.ts';
import { findKey } from '../../../keystore/key-file.ts';
import { isKeyName } from '../../../keystore/names.ts';
import type { TufKey } from '../../../tuf/keys.ts';
import { DockerPassphrases } from '../../docker-trust/passphrases.ts';
import type { KeyFlags } from '../../flags/key-flags.ts';
import { keySources, keystoreOf, passphraseOptions } from '../../flags/keys.ts';
import type { Context } from '../../shell/context.ts';
import { givenPassphrase, otherVariable } from '../../shell/passphrase.ts';
import { openToStore } from '../key/move.ts';

/** A private key of docker that is in the key store now. */
export interface LoadedKey {
  readonly name: string;
  readonly keyid: string;
  /** Its id in Notary, which is the name of its file. */
  readonly notaryId: string;
  /** What its file says that it is for. */
  readonly role: string | undefined;
  readonly gun: string | undefined;
}

/** Keys of docker by what they are for. */
export interface LoadedKeys {
  readonly root: readonly LoadedKey[];
  readonly targets: readonly LoadedKey[];
  readonly signers: readonly LoadedKey[];
}

const FILE = /^([0-9a-f]{64})\.key$/;

/**
 * Puts the private keys of docker that the old roles list into the key store, sealed with the passphrase that is
 * given for all keys, else with their own; keys of other repositories are left alone.
 * @throws BullaError not-found where the directory is not there; key-invalid, usage, storage-error
 */
export async function loadDockerKeys(
  context: Context,
  directory: string,
  plan: ImportPlan,
  flags: KeyFlags,
): Promise<LoadedKeys> {
  const files = await privateKeys(context.path(directory));
  const passphrases = new DockerPassphrases();
  const loaded = new Map<string, LoadedKey>();
  const load = async (keys: readonly PlannedKey[], called: string): Promise<readonly LoadedKey[]> => {
    const found: LoadedKey[] = [];
    for (const { notaryId, key } of keys) {
      const path = files.get(notaryId);
      if (path === undefined) continue;
      const one =
        loaded.get(notaryId) ?? (await loadKey(context, { path, notaryId, key, called }, passphrases, flags));
      loaded.set(notaryId, one);
      found.push(one);
    }
    return found;
  };
  const root = await load(plan.root.keys, 'root');
  const targets = await load(plan.targets.keys, 'publisher');
  const signers = [
    ...(await inTurn(plan.signers, ({ keys, name }) => load(keys, name))),
    ...(await load(plan.releases, 'publisher')),
  ];
  return { root, targets, signers };
}

async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<readonly R[]>): Promise<R[]> {
  const all: R[] = [];
  for (const item of items) all.push(...(await work(item)));
  return all;
}

/** Files by the id that they are called by; docker keeps them below `private`. */
async function privateKeys(directory: string): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  let isThere = false;
  for (const place of [directory, join(directory, 'private')]) {
    const names = await readdir(place).catch((error: unknown) => {
      if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return undefined;
      throw storageError(`cannot list ${place}`, error);
    });
    isThere ||= names !== undefined;
    for (const name of names ?? []) {
      const id = FILE.exec(name)?.[1];
      if (id !== undefined) files.set(id, join(place, name));
    }
  }
  if (isThere) return files;
  throw new BullaError('not-found', `there is no directory ${directory}`, {
    hint: 'docker keeps private keys in ~/.docker/trust/private',
  });
}

/** A file of docker's directory, and the key that must be in it. */
interface DockerKeyFile {
  readonly path: string;
  readonly notaryId: string;
  readonly key: TufKey;
  /** Name that it gets in the key store, if that is free. */
  readonly called: string;
}

async function loadKey(
  context: Context,
  { path, notaryId, key: expected, called }: DockerKeyFile,
  passphrases: DockerPassphrases,
  flags: KeyFlags,
): Promise<LoadedKey> {
  const keystore = keystoreOf(context);
  if (called === 'root') passphrases.addRoot(notaryId);
  const withVariables = { ...flags, variables: passphrases.variables };
  const sources = keySources(context, withVariables);
  const { file } = await findKey(path, sources);
  const options = passphraseOptions(context, withVariables);
  // Docker's variable is the passphrase of docker's file, whatever bulla's own keys have.
  const own = otherVariable(context.io, options, notaryId);
  const passphrase = own === undefined ? sources.passphrase : async () => utf8(own);
  const { key, passphrase: opened } = await openToStore(
    context,
    notaryId,
    notaryId,
    file,
    { ...sources, passphrase },
    withVariables,
  );
  const publicKey = publicKeyOf(key);
  if (publicKey.fingerprint !== expected.fingerprint) {
    opened.fill(0);
    throw new BullaError('key-invalid', `${path} holds another key than its name says`, {
      hint: 'restore it from a backup, or leave it out of the directory',
    });
  }
  const present = (await keystore.list()).find(
    (stored) => 'publicKey' in stored && stored.publicKey.fingerprint === publicKey.fingerprint,
  );
  const short = `${called}-${notaryId.slice(0, 8)}`;
  const name = present?.name ?? (isKeyName(called) && !(await keystore.has(called)) ? called : short);
  const given = flags.passphraseFd === undefined ? await givenPassphrase(context.io, options) : undefined;
  if (present === undefined) await keystore.put(name, key, given ?? opened);
  opened.fill(0);
  given?.fill(0);
  return { name, keyid: tufKey(publicKey).keyid, notaryId, role: file.role, gun: file.gun };
}
