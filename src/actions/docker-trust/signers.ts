import { BullaError } from '../../errors.ts';
import type { LogEntry } from '../../trust/log.ts';
import { type Published, publishEdit } from '../../trust/publish.ts';
import { presentKeys, rekey, removeSigner, type StructureChange } from '../../trust/structure.ts';
import { trustVersions } from '../../trust/versions.ts';
import { NAMES_ROLE } from '../../trust/vocabulary.ts';
import type { WorkingCopy } from '../../trust/working-copy.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import type { TufKey } from '../../tuf/keys.ts';
import { countSignatures } from '../../tuf/threshold.ts';
import { demandsOf } from '../offline.ts';
import { dockerKeysIn, writeDockerKeys } from './docker-keys.ts';
import type { TrustPlace } from './place.ts';
import { allTags, signerRoles } from './trust-info.ts';

/** A signer who is to be admitted. */
export interface NewDockerSigner {
  readonly name: string;
  readonly keys: readonly TufKey[];
  /** A key that nobody keeps: signs the empty first file where none of {@link keys} is at hand. */
  readonly starter: TufSigner;
}

/**
 * Admits a signer as docker does: a role of its own, and its keys among those of `names`, which is what
 * `targets/releases` was. A signer that is there gets further keys (spec/docker-trust.md, "Signers").
 * @returns undefined where it has all of these keys already
 * @throws BullaError threshold-not-met where the key of targets is not at hand; staged; conflict; usage,
 *   key-invalid; what reading and publishing throw
 */
export async function admitSigner(
  place: TrustPlace,
  copy: WorkingCopy,
  { name, keys, starter }: NewDockerSigner,
): Promise<Published | undefined> {
  const isKnown = signerRoles(copy).includes(name);
  if (isKnown && lacking(copy, name, keys).length === 0 && lacking(copy, NAMES_ROLE, keys).length === 0)
    return undefined;
  const own = await place.keys.signersFor([
    {
      delegator: 'targets',
      keys: new Map(keys.map((key) => [key.keyid, key])),
      role: { keyids: keys.map(({ keyid }) => keyid), threshold: 1 },
    },
  ]);
  const starting = isKnown || own.length > 0 ? undefined : starter;
  return await publish(place, copy, admission(name, keys, starting?.key), starting);
}

/** The change that admits a signer, or gives it further keys. */
function admission(name: string, keys: readonly TufKey[], starter: TufKey | undefined): StructureChange {
  return async (edit, copy) => {
    const { releases, starters } = dockerKeysIn(copy);
    const released = lacking(copy, NAMES_ROLE, keys);
    if (released.length > 0) {
      const names = presentKeys(copy, NAMES_ROLE);
      await edit.rekeyNames({ keys: [...names.keys, ...released], threshold: names.threshold });
    }
    const more = signerRoles(copy).includes(name) ? lacking(copy, name, keys) : undefined;
    if (more === undefined) {
      const first = starter === undefined ? keys : [...keys, starter];
      edit.addSigner({ name, keys: first, threshold: 1, paths: ['*'] });
    } else if (more.length > 0) await rekey(name, { add: more, drop: [], keep: true })(edit, copy);
    const gone = dropStarters(edit, copy, starters, name);
    writeDockerKeys(edit, {
      releases: new Set([...releases, ...released.map(({ keyid }) => keyid)]),
      starters: new Set(
        [...starters, ...(starter === undefined ? [] : [starter.keyid])].filter((id) => !gone.has(id)),
      ),
    });
  };
}

/** What the removal of a signer would do. */
export interface Dismissal {
  /** Tags that nobody else has signed: they stand for nothing afterwards. */
  readonly withdrawn: readonly string[];
  /** Whether no tag would be signed any more. */
  readonly isLast: boolean;
}

/**
 * What goes with a signer.
 * @throws BullaError usage where there is no such signer; trust-invalid, content-invalid; what the source throws
 */
export async function dismissalOf(copy: WorkingCopy, name: string): Promise<Dismissal> {
  if (!signerRoles(copy).includes(name))
    throw new BullaError('usage', `no signer ${name} for repository ${copy.collection.place}`, {
      hint: `its signers are: ${signerRoles(copy).join(', ') || 'none'}`,
      details: { signers: signerRoles(copy) },
    });
  const tags = await allTags(copy);
  const withdrawn = await soleTags(copy, name);
  return { withdrawn, isLast: withdrawn.length > 0 && withdrawn.length === tags.length };
}

/**
 * Ends the trust in a signer: its role goes, its keys leave `names`, and so do the tags that nobody else has
 * signed.
 * @throws BullaError as {@link admitSigner}; usage where no key of `names` would be left
 */
export async function dismissSigner(place: TrustPlace, copy: WorkingCopy, name: string): Promise<Published> {
  const id = place.chance.changeId();
  const at = new Date(Math.floor(place.clock.now().getTime() / 1000) * 1000);
  return await publish(place, copy, dismissal(name, { id, at }));
}

function dismissal(name: string, made: Pick<LogEntry, 'id' | 'at'>): StructureChange {
  return async (edit, copy) => {
    const withdrawn = await soleTags(copy, name);
    const { releases, starters } = dockerKeysIn(copy);
    const leaving = leavingNames(copy, name);
    if (leaving.size > 0) {
      const names = presentKeys(copy, NAMES_ROLE);
      const keys = names.keys.filter(({ keyid }) => !leaving.has(keyid));
      if (keys.length < names.threshold) throw nobodyLeft(copy, name);
      await edit.rekeyNames({ keys, threshold: names.threshold });
    }
    await removeSigner(name)(edit, copy);
    if (withdrawn.length > 0) {
      const { since } = await edit.log(NAMES_ROLE);
      const at = made.at < since ? since : made.at;
      await edit.apply(NAMES_ROLE, [{ id: made.id, at, unset: new Set(withdrawn) }]);
    }
    const gone = dropStarters(edit, copy, starters, name);
    const own = new Set(presentKeys(copy, name).keys.map(({ keyid }) => keyid));
    writeDockerKeys(edit, {
      releases: new Set([...releases].filter((id) => !leaving.has(id))),
      starters: new Set([...starters].filter((id) => !gone.has(id) && !own.has(id))),
    });
  };
}

/** Keys of `names` that are there for the sake of this signer alone. */
function leavingNames(copy: WorkingCopy, name: string): ReadonlySet<string> {
  const { releases } = dockerKeysIn(copy);
  const others = signerRoles(copy)
    .filter((role) => role !== name)
    .flatMap((role) => presentKeys(copy, role).keys.map(({ keyid }) => keyid));
  const own = presentKeys(copy, name).keys.map(({ keyid }) => keyid);
  return new Set(own.filter((id) => releases.has(id) && !others.includes(id)));
}

/**
 * Tags that `names` holds on the word of this signer alone: no other signer names the same digest, and no
 * key that stays in `names` is in the log as having set it.
 */
async function soleTags(copy: WorkingCopy, name: string): Promise<readonly string[]> {
  const leaving = leavingNames(copy, name);
  if (leaving.size === 0) return [];
  const tags = (await allTags(copy)).filter(({ signers }) => signers.length === 1 && signers[0] === name);
  if (tags.length === 0) return [];
  const { entries } = await copy.log(NAMES_ROLE);
  const vouched = new Set(
    entries.flatMap(({ by, set }) =>
      by === undefined || leaving.has(by) || set === undefined
        ? []
        : [...set].map(([tag, { sha256 }]) => `${tag} ${sha256}`),
    ),
  );
  return tags.filter(({ tag, digest }) => !vouched.has(`${tag} ${digest}`)).map(({ tag }) => tag);
}

/** Takes starters out of roles whose file has been signed by a key of their own since. */
function dropStarters(
  edit: Parameters<StructureChange>[0],
  copy: WorkingCopy,
  starters: ReadonlySet<string>,
  untouched: string,
): ReadonlySet<string> {
  const gone = new Set<string>();
  for (const { name: role, keyids, threshold } of copy.delegations.roles) {
    const ids = keyids.filter((id) => starters.has(id));
    const file = copy.files.roles.get(role);
    if (ids.length === 0 || role === untouched || file === undefined) continue;
    const own = keyids.filter((id) => !starters.has(id));
    if (!countSignatures(file, copy.delegations.keys, { keyids: own, threshold }).isMet) continue;
    const keys = own.flatMap((id) => copy.delegations.keys.get(id) ?? []);
    edit.edit.targets('targets').setDelegationKeys(role, { keys, threshold });
    for (const id of ids) gone.add(id);
  }
  return gone;
}

/** Those of the keys that a role does not list, by their material. */
function lacking(copy: WorkingCopy, role: string, keys: readonly TufKey[]): readonly TufKey[] {
  const present = new Set(presentKeys(copy, role).keys.map(({ fingerprint }) => fingerprint));
  return keys.filter(({ fingerprint }) => !present.has(fingerprint));
}

async function publish(
  { target, read, keys, clock, chance, publishOptions }: TrustPlace,
  copy: WorkingCopy,
  change: StructureChange,
  starter?: TufSigner,
): Promise<Published> {
  const versions = trustVersions((range) => chance.below(range));
  const demands = await demandsOf(copy, change, { now: clock.now(), versions });
  const signers = await keys.signersFor(demands);
  const options = await publishOptions(starter === undefined ? signers : [...signers, starter]);
  return await publishEdit(target, read, change, options);
}

function nobodyLeft(copy: WorkingCopy, name: string): BullaError {
  const { place } = copy.collection;
  return new BullaError('usage', `without the keys of ${name}, too few could sign tags at ${place}`, {
    hint: `give the repository another key first: bulla rotate ${place} ${NAMES_ROLE} --keep --key NEW`,
  });
}
