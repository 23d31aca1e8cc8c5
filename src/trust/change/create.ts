import type { Certificate } from '../../crypto/certificate.ts';
import { formatTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { type EditOptions, RepositoryEdit } from '../../tuf/edit/edit.ts';
import type { KeyChoice } from '../../tuf/edit/key-list.ts';
import type { EditPolicy } from '../../tuf/edit/policy.ts';
import type { PreparedEdit } from '../../tuf/edit/prepared-edit.ts';
import { EMPTY_REPOSITORY, type RepositoryFiles, withFiles } from '../../tuf/edit/repository.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';
import { isTopLevelRole } from '../../tuf/role-name.ts';
import {
  BINDING,
  type CollectionId,
  certifiedBinding,
  collectionIdOf,
  roleBinding,
  rootBinding,
} from '../format/binding.ts';
import { foldedBinding } from '../format/folded.ts';
import { lifetimesBinding, lifetimesOf } from '../format/lifetimes.ts';
import { emptyLog, encodeLog, logBinding } from '../format/log.ts';
import { assertSignable } from '../format/signable.ts';
import { NAMES_ROLE } from '../format/vocabulary.ts';

/** All loaded files of a collection, and the logs of its roles. */
export interface CollectionFiles {
  readonly id: CollectionId;
  readonly files: RepositoryFiles;
  readonly logs: ReadonlyMap<string, Uint8Array>;
}

/** What a collection is to begin with. */
export interface NewCollection {
  /** `HOST/REPOSITORY` that it is for. */
  readonly name: string;
  /** Of root and of targets, which only says who may. */
  readonly root: KeyChoice;
  /** Of `names`. */
  readonly names: KeyChoice;
  /** Of snapshot and timestamp. */
  readonly online: KeyChoice;
  readonly now: Date;
  readonly policy?: Partial<EditPolicy>;
  /** By role, in milliseconds, where they are to differ from the defaults; written into root and targets. */
  readonly lifetimes?: ReadonlyMap<string, number>;
  /** Of root keys, by key id, the key's own first: for readers who pin an authority. */
  readonly certificates?: ReadonlyMap<string, readonly Certificate[]>;
}

/**
 * Makes the files of a collection without a name in it (spec/trust.md, "Roles").
 * @throws BullaError threshold-not-met (details.missing) where signers are missing; usage, key-invalid
 */
export async function createCollection(
  collection: NewCollection,
  signers: readonly TufSigner[],
): Promise<CollectionFiles> {
  return await completeCollection(await beginCollection(collection, signers), collection, signers);
}

/**
 * All of a new collection that needs no online key: root, targets and `names`. The owner of the online
 * key makes the first head of it: {@link completeCollection}.
 * @throws BullaError threshold-not-met (details.missing) where signers are missing; usage, key-invalid
 */
export async function beginCollection(
  collection: NewCollection,
  signers: readonly TufSigner[],
): Promise<CollectionFiles> {
  const base = await prepareRoot(collection).publish(signers);
  const root = base.roots[0] as MetadataFile;
  const { prepared, log } = prepareRoles(collection, root);
  const missing = await prepared.sign(signers);
  if (missing.length > 0) throw unsigned(missing.map(({ role }) => role));
  const made = prepared.pending().map((file) => file.seal());
  const id = collectionIdOf(root.bytes);
  return { id, files: withFiles(base, made), logs: new Map([[NAMES_ROLE, log]]) };
}

/** The first root of a new collection. The same wish makes the same content. @throws BullaError usage, key-invalid */
export function prepareRoot(collection: NewCollection): PreparedEdit {
  const { name, root, online, certificates = new Map() } = collection;
  const first = new RepositoryEdit(EMPTY_REPOSITORY, optionsOf(collection));
  first.createRoot({ root, targets: root, snapshot: online, timestamp: online });
  const { json } = first.root();
  json[BINDING] = lifetimesBinding(lifetimesWhere(collection, isTopLevelRole), rootBinding(name));
  json[BINDING] = certifiedBinding(json, certificates);
  return first.prepare();
}

/**
 * Targets and `names` of a new collection, with the log of `names`. They hold the hash of the first root, so that one
 * must have all of its signatures. The same wish and root make the same content.
 * @throws BullaError usage, key-invalid
 */
export function prepareRoles(
  collection: NewCollection,
  root: MetadataFile,
): { readonly prepared: PreparedEdit; readonly log: Uint8Array } {
  const { names, now } = collection;
  const id = collectionIdOf(root.bytes);
  const edit = new RepositoryEdit({ roots: [root], roles: new Map() }, optionsOf(collection));
  edit.targets('targets').delegate({ ...names, name: NAMES_ROLE, paths: ['*'] });
  const delegated = lifetimesWhere(collection, (role) => !isTopLevelRole(role));
  edit.extend('targets', { [BINDING]: lifetimesBinding(delegated, roleBinding(id, 'targets')) });
  const log = encodeLog(emptyLog(now));
  edit.extend(NAMES_ROLE, { [BINDING]: roleBinding(id, NAMES_ROLE, logBinding(log)) });
  return { prepared: edit.prepare(), log };
}

function optionsOf({ now, policy, lifetimes = new Map() }: NewCollection): EditOptions {
  const lifetime = policy?.lifetime ?? lifetimesFrom(lifetimes);
  return { now, policy: { ...policy, lifetime, check: assertSignable } };
}

function lifetimesWhere(
  { lifetimes = new Map() }: NewCollection,
  isMeant: (role: string) => boolean,
): ReadonlyMap<string, number> {
  return new Map([...lifetimes].filter(([role]) => isMeant(role)));
}

/**
 * Adds snapshot and timestamp to what {@link beginCollection} made, and goes through the client workflow
 * with the result.
 * @throws BullaError threshold-not-met; what clients would say about the result
 */
export async function completeCollection(
  { id, files, logs }: CollectionFiles,
  { now, policy }: Pick<NewCollection, 'now' | 'policy'>,
  signers: readonly TufSigner[],
): Promise<CollectionFiles> {
  const edit = new RepositoryEdit(
    { roots: files.roots, roles: new Map() },
    { now, policy: { lifetime: lifetimesOf(files), ...policy, check: assertSignable } },
  );
  for (const [role, { bytes }] of files.roles) edit.adopt(role, bytes);
  bindOnline(edit, id, now);
  return { id, files: await edit.prepare().publish(signers), logs };
}

/**
 * What snapshot and timestamp say about where they belong, and the timestamp about when it was made.
 * @param folded the list of what the head holds
 */
export function bindOnline(edit: RepositoryEdit, id: CollectionId, now: Date, folded?: Uint8Array): void {
  edit.extend('snapshot', { [BINDING]: roleBinding(id, 'snapshot', foldedBinding(folded)) });
  edit.extend('timestamp', { [BINDING]: roleBinding(id, 'timestamp', { created: formatTime(now) }) });
}

function lifetimesFrom(lifetimes: ReadonlyMap<string, number>): EditPolicy['lifetime'] {
  const otherwise = lifetimesOf(EMPTY_REPOSITORY);
  return (role) => lifetimes.get(role) ?? otherwise(role);
}

/** The given keys do not meet the threshold of these roles. */
export function unsigned(roles: readonly string[]): BullaError {
  return new BullaError(
    'threshold-not-met',
    `the keys here cannot sign the first files of ${roles.join(', ')}`,
    {
      hint: 'give the private keys of root and publisher: the first root is created with them',
      details: { missing: roles },
    },
  );
}
