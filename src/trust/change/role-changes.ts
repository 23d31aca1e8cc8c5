import type { JsonObject } from '../../encoding/json.ts';
import { BullaError } from '../../errors.ts';
import { distinctKeys, type RoleKeys } from '../../tuf/delegation-keys.ts';
import type { KeyChoice } from '../../tuf/edit/key-list.ts';
import { publishedVersion } from '../../tuf/edit/repository.ts';
import { binNames } from '../../tuf/hash-bins.ts';
import type { TufKey } from '../../tuf/keys.ts';
import { composeMetadataFile } from '../../tuf/metadata-file.ts';
import { parseRoot, topLevelKeys } from '../../tuf/root.ts';
import { assertPlainDelegation } from '../format/plain-text.ts';
import { FAST_FORWARDED } from '../format/versions.ts';
import { NAMES_ROLE } from '../format/vocabulary.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import type { CollectionEdit } from './collection-edit.ts';

/**
 * A change of who may sign what. It is made anew on each state that it is to be published on, so it
 * asks the state and remembers nothing.
 */
export interface StructureChange {
  (edit: CollectionEdit, copy: WorkingCopy): Promise<void>;
  /** Whether what can be folded goes into the same head, because nothing can be signed before it. */
  readonly isRepair?: boolean;
}

/** Roles whose keys are changed together: `online` is snapshot and timestamp. */
export const ONLINE_ROLE = 'online';

/** Which keys a role is to have. */
export interface KeyWish {
  readonly add: readonly TufKey[];
  /** Ids, or beginnings of ids, of keys that are to go. */
  readonly drop: readonly string[];
  /** The other keys stay; else those in `add` replace them all, unless some are named in `drop`. */
  readonly keep: boolean;
  /** The present one where it is left out. */
  readonly threshold?: number | undefined;
  /** Of the online role: begin versions anew, because a thief of a key that goes pushed them up. */
  readonly restart?: boolean | undefined;
}

export interface NewSigner extends KeyChoice {
  readonly name: string;
  readonly paths: readonly string[];
  /** In milliseconds; a year where it is left out. */
  readonly lifetime?: number | undefined;
}

/** Delegates to a new signer, whose role begins without a name. */
export function addSigner({ name, paths, lifetime, ...choice }: NewSigner): StructureChange {
  return async (edit) => {
    assertPlainDelegation({ name, paths });
    edit.addSigner({ ...choice, name, paths });
    if (lifetime !== undefined) edit.setLifetime(name, lifetime);
  };
}

/** Ends the trust in a signer: what it has named is no longer its word from the next head on. */
export function removeSigner(name: string): StructureChange {
  return async (edit, copy) => {
    if (name === NAMES_ROLE)
      throw new BullaError('usage', `${NAMES_ROLE} is not a signer: without it a collection has no names`, {
        hint: `give it other keys: bulla rotate ${copy.collection.place} ${NAMES_ROLE} --key NEW`,
      });
    assertSigner(copy, name);
    edit.edit.targets('targets').removeDelegation(name);
    edit.setLifetime(name, undefined);
  };
}

/**
 * Gives a role other keys. Those of root are those of targets too, as long as both have the same.
 * @param role root, targets, `online`, `names` or a signer
 */
export function rekey(role: string, wish: KeyWish): StructureChange {
  return async (edit, copy) => {
    const choice = chosenKeys(role, presentKeys(copy, role), wish);
    const top = topLevelOf(copy, role);
    if (wish.restart === true && top.length === 0) throw nothingForgotten();
    if (role === NAMES_ROLE) return await edit.rekeyNames(choice);
    if (top.length === 0) edit.edit.targets('targets').setDelegationKeys(role, choice);
    for (const name of top) edit.root().setKeys(name, choice);
    const isForgotten = top.length > 0 && losesOnlineKey(copy, edit.root().json);
    if (wish.restart === true && !isForgotten) throw nothingForgotten();
    if (isForgotten) await restartVersions(edit, copy, wish.restart === true);
  };
}

/**
 * Whether clients forget the versions of snapshot and timestamp with the next root, because a key of theirs goes
 * (TUF 1.0.34 §5.3.11).
 * @param root signed part of the next root
 */
export function losesOnlineKey(copy: WorkingCopy, root: JsonObject): boolean {
  const next = parseRoot(composeMetadataFile('root', root, []));
  const stays = (role: 'snapshot' | 'timestamp') => distinctKeys(next.keys, topLevelKeys(next, role).keyids);
  return (['snapshot', 'timestamp'] as const).some((role) =>
    presentKeys(copy, role).keys.some(({ keyid, fingerprint = keyid }) => !stays(role).has(fingerprint)),
  );
}

/**
 * Lets versions begin anew that a thief of an online key pushed up; only where {@link losesOnlineKey}.
 * Files of other roles are signed anew then, by the keys that they have: no version could follow those.
 * @param always also if no versions seem to have been raised
 * @param fixed roles whose new files are there already
 */
export async function restartVersions(
  edit: CollectionEdit,
  copy: WorkingCopy,
  always: boolean,
  fixed: readonly string[] = [],
): Promise<void> {
  for (const name of ['snapshot', 'timestamp'] as const) {
    const top = Math.max(publishedVersion(copy.files, name), edit.edit.options.tops?.get(name) ?? 0);
    if (always || top >= FAST_FORWARDED) edit.edit.restart(name);
  }
  // Clients forget what the snapshot listed, too, and only now.
  const bins = copy.bins === undefined ? [] : [...binNames(copy.bins)];
  const delegated = copy.delegations.roles.map(({ name }) => name);
  const pushedUp = ['targets', ...delegated, ...bins].filter(
    (name) => publishedVersion(copy.files, name) >= FAST_FORWARDED && !fixed.includes(name),
  );
  if (pushedUp.some((name) => bins.includes(name))) await copy.loadBins();
  for (const name of pushedUp) {
    edit.edit.restart(name);
    edit.edit.renew(name);
  }
}

/** Gives the files of a role a new version and expiry, with the same content; with root those of targets, where both have the same keys. */
export function renew(role: string): StructureChange {
  return async (edit, copy) => {
    const top = topLevelOf(copy, role);
    if (role === 'root') edit.root();
    if (role === 'targets' || (role === 'root' && top.includes('targets'))) edit.edit.renew('targets');
    // Snapshot and timestamp are signed anew with every change.
    if (top.length > 0) return;
    copy.contentOf(role);
    edit.edit.renew(role);
    if (role !== NAMES_ROLE || copy.bins === undefined) return;
    await copy.loadBins();
    for (const bin of copy.files.roles.keys()) if (isBinOf(copy, bin)) edit.edit.renew(bin);
  };
}

/**
 * Gives a role whose log cannot be read a new one. Targets are signed anew with it: the keys that say who may
 * sign names agree to it, and no others can.
 */
export function repairLog(role: string): StructureChange {
  return async (edit, copy) => {
    if (topLevelOf(copy, role).length > 0)
      throw new BullaError('usage', `${role} has no log that could be repaired`, {
        hint: `it is for ${copy.delegations.roles.map(({ name }) => name).join(', ')}`,
        details: { role },
      });
    await edit.restartLog(role);
    edit.edit.renew('targets');
  };
}

/** Fixes for how long files of a role are signed, and signs them anew. */
export function renewFor(role: string, milliseconds: number | undefined): StructureChange {
  return async (edit, copy) => {
    if (milliseconds !== undefined)
      for (const name of role === ONLINE_ROLE ? ['snapshot', 'timestamp'] : [role])
        edit.setLifetime(name, milliseconds);
    await renew(role)(edit, copy);
  };
}

/** Removes from the files of a role what must not be signed, so that they can be signed again. */
export function dropUnknown(role: string): StructureChange {
  const change = async (edit: CollectionEdit, copy: WorkingCopy): Promise<void> => {
    if (role === ONLINE_ROLE) return;
    const top = topLevelOf(copy, role);
    if (top.length === 0) copy.contentOf(role);
    for (const name of top.length > 0 ? top : [role]) edit.dropUnknown(name);
    if (role !== NAMES_ROLE || copy.bins === undefined) return;
    await copy.loadBins();
    for (const bin of copy.files.roles.keys()) if (isBinOf(copy, bin)) edit.dropUnknown(bin);
  };
  return Object.assign(change, { isRepair: true });
}

/** Keys and threshold that a role has now. @throws BullaError usage where there is no such role */
export function presentKeys(copy: WorkingCopy, role: string): KeyChoice {
  const root = copy.collection.client.trusted.root.content;
  const [top] = topLevelOf(copy, role);
  if (top !== undefined) return choiceOf(root.keys, topLevelKeys(root, top));
  const { keys, roles } = copy.delegations;
  const delegated = roles.find(({ name }) => name === role);
  if (delegated === undefined) throw unknownRole(copy, role);
  return choiceOf(keys, delegated);
}

function choiceOf(keys: ReadonlyMap<string, TufKey>, { keyids, threshold }: RoleKeys): KeyChoice {
  return { keys: keyids.flatMap((keyid) => keys.get(keyid) ?? []), threshold };
}

function chosenKeys(role: string, present: KeyChoice, wish: KeyWish): KeyChoice {
  const { add, drop, keep } = wish;
  const dropped = new Set(drop.map((text) => keyNamed(role, present, text)));
  const stays = keep || drop.length > 0 ? present.keys.filter(({ keyid }) => !dropped.has(keyid)) : [];
  const added = add.filter((key) => !stays.some(({ fingerprint }) => fingerprint === key.fingerprint));
  const keys = [...stays, ...added];
  const threshold = wish.threshold ?? present.threshold;
  if (keys.length >= threshold && keys.length > 0) return { keys, threshold };
  throw new BullaError(
    'usage',
    `${role} would have ${keys.length} keys, of which ${threshold} have to sign together`,
    { hint: 'give more keys (--key, --keep), or say how many have to sign: --threshold', details: { role } },
  );
}

function keyNamed(role: string, present: KeyChoice, text: string): string {
  const found = present.keys.filter(({ keyid }) => text.length >= 8 && keyid.startsWith(text));
  const [only, another] = found;
  if (only !== undefined && another === undefined) return only.keyid;
  throw new BullaError('usage', `${JSON.stringify(text.slice(0, 80))} is the id of no key of ${role}`, {
    hint: `its keys are ${present.keys.map(({ keyid }) => keyid.slice(0, 12)).join(', ')}: give at least 8 digits`,
    details: { role },
  });
}

/** The top-level roles that are changed together under this name. */
function topLevelOf(
  copy: WorkingCopy,
  role: string,
): readonly ('root' | 'targets' | 'snapshot' | 'timestamp')[] {
  if (role === ONLINE_ROLE) return ['snapshot', 'timestamp'];
  if (role === 'targets' || role === 'snapshot' || role === 'timestamp') return [role];
  if (role !== 'root') return [];
  const root = copy.collection.client.trusted.root.content;
  const ids = (name: 'root' | 'targets') => [...topLevelKeys(root, name).keyids].sort().join();
  return ids('root') === ids('targets') ? ['root', 'targets'] : ['root'];
}

function isBinOf(copy: WorkingCopy, role: string): boolean {
  return role !== 'targets' && !copy.delegations.roles.some(({ name }) => name === role);
}

function assertSigner(copy: WorkingCopy, name: string): void {
  if (!copy.delegations.roles.some((delegated) => delegated.name === name)) throw unknownRole(copy, name);
}

function nothingForgotten(): BullaError {
  return new BullaError('usage', 'versions begin anew only where a key of snapshot or timestamp goes', {
    hint: 'replace the key that was stolen: bulla rotate REPOSITORY online --key NEW --restart',
  });
}

function unknownRole(copy: WorkingCopy, role: string): BullaError {
  const names = copy.delegations.roles.map(({ name }) => name);
  return new BullaError('usage', `${copy.collection.place} has no role ${JSON.stringify(role)}`, {
    hint: `it has root, targets, ${ONLINE_ROLE}, ${names.join(', ')}`,
    details: { role },
  });
}
