import { BullaError, isBullaError } from '../../errors.ts';
import { presentKeys, rekey, removeSigner, type StructureChange } from '../../trust/change/role-changes.ts';
import { trustVersions } from '../../trust/format/versions.ts';
import { NAMES_ROLE } from '../../trust/format/vocabulary.ts';
import { type Published, publishEdit, publishNames } from '../../trust/publish/publish.ts';
import { readCollection } from '../../trust/read/collection.ts';
import { WorkingCopy } from '../../trust/read/working-copy.ts';
import { Keyring } from '../../tuf/edit/demands.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import type { TufKey } from '../../tuf/keys.ts';
import { countSignatures } from '../../tuf/threshold.ts';
import { demandsOf } from '../change/offline.ts';
import { type ChangePlace, meetsAll } from '../change/place.ts';
import { openEarly } from '../sign/keys-at-hand.ts';
import { dockerKeysIn, writeDockerKeys } from './docker-keys.ts';
import { allTags, signerRoles } from './trust-info.ts';

/** A signer who is to be admitted. */
export interface NewDockerSigner {
  readonly name: string;
  readonly keys: readonly TufKey[];
  /** A discarded key: signs the empty first file if none of {@link keys} is available. */
  readonly starter: TufSigner;
}

/**
 * Admits a signer as docker does: a role of its own, and its keys among those of `names`, which is what
 * `targets/releases` was. A signer that is there gets further keys (spec/docker-trust.md, "Signers").
 * @returns undefined where it has all of these keys already
 * @throws BullaError threshold-not-met if the key of targets is not available; staged; conflict; usage,
 *   key-invalid; what reading and publishing throw
 */
export async function admitSigner(
  place: ChangePlace,
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
  /** Tags that only this signer has signed: they are no longer signed afterwards. */
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

/** How often a signer may sign while it is being removed. */
const ATTEMPTS = 3;

/**
 * Ends the trust in a signer: the tags that only it has signed are removed, then its role, and its keys in `names`.
 * In this order, a run that ends halfway has taken trust away, and given none.
 * @param onWithdrawn called with the removed tags, also if the rest fails
 * @throws BullaError as {@link admitSigner}; usage where no key of `names` would be left; conflict where the
 *   signer goes on signing
 */
export async function dismissSigner(
  place: ChangePlace,
  copy: WorkingCopy,
  name: string,
  onWithdrawn: (tags: readonly string[]) => void,
): Promise<void> {
  assertSomebodyLeft(copy, name);
  await assertMayRemove(place, copy);
  let base = copy;
  for (let attempt = 1; ; attempt++) {
    const tags = await soleTags(base, name);
    if (tags.length > 0) {
      await withdraw(place, base, tags);
      onWithdrawn(tags);
    }
    try {
      await publish(place, base, dismissal(name));
      return;
    } catch (error) {
      if (!isBullaError(error) || error.details['reason'] !== SIGNED_MEANWHILE || attempt === ATTEMPTS)
        throw error;
      base = await reread(place, base);
    }
  }
}

/** Takes tags out of `names`, with the keys that stay there. */
async function withdraw(place: ChangePlace, copy: WorkingCopy, tags: readonly string[]): Promise<void> {
  const keyring = new Keyring(copy.files);
  const demands = [NAMES_ROLE, 'snapshot', 'timestamp'].flatMap((role) => keyring.demandsOn(role));
  const options = { ...place.publish, signers: await place.keys.signersFor(demands) };
  const change = { role: NAMES_ROLE, unset: new Set(tags) };
  await publishNames(place.target, place.read, [change], options);
}

async function reread({ target, read }: ChangePlace, copy: WorkingCopy): Promise<WorkingCopy> {
  const collection = await readCollection(target, read);
  return collection === undefined ? copy : await WorkingCopy.open(collection);
}

const SIGNED_MEANWHILE = 'signed-meanwhile';

function dismissal(name: string): StructureChange {
  return async (edit, copy) => {
    // Signing names anew would vouch for them.
    const [tag] = await soleTags(copy, name);
    if (tag !== undefined) throw signedMeanwhile(copy, name, tag);
    const { releases, starters } = dockerKeysIn(copy);
    const leaving = leavingNames(copy, name);
    if (leaving.size > 0) {
      const { keys, threshold } = presentKeys(copy, NAMES_ROLE);
      await edit.rekeyNames({ keys: keys.filter(({ keyid }) => !leaving.has(keyid)), threshold });
    }
    await removeSigner(name)(edit, copy);
    const gone = dropStarters(edit, copy, starters, name);
    const own = new Set(presentKeys(copy, name).keys.map(({ keyid }) => keyid));
    writeDockerKeys(edit, {
      releases: new Set([...releases].filter((id) => !leaving.has(id))),
      starters: new Set([...starters].filter((id) => !gone.has(id) && !own.has(id))),
    });
  };
}

/** @throws BullaError usage */
function assertSomebodyLeft(copy: WorkingCopy, name: string): void {
  const leaving = leavingNames(copy, name);
  const { keys, threshold } = presentKeys(copy, NAMES_ROLE);
  if (keys.filter(({ keyid }) => !leaving.has(keyid)).length >= threshold) return;
  const { place } = copy.collection;
  throw new BullaError('usage', `without the keys of ${name}, too few could sign tags at ${place}`, {
    hint: `give the repository another key first: bulla rotate ${place} ${NAMES_ROLE} --keep --key NEW`,
  });
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
  { target, read, keys, publish: ports }: ChangePlace,
  copy: WorkingCopy,
  change: StructureChange,
  starter?: TufSigner,
): Promise<Published> {
  const versions = trustVersions((range) => ports.chance.below(range));
  const demands = await demandsOf(copy, change, { now: ports.clock.now(), versions });
  const signers = openEarly(await keys.signersFor(demands));
  const all = starter === undefined ? signers : [...signers, starter];
  return await publishEdit(target, read, change, { ...ports, signers: all });
}

/** Nothing is removed unless the rest can be done, too. @throws BullaError threshold-not-met */
async function assertMayRemove({ keys }: ChangePlace, copy: WorkingCopy): Promise<void> {
  for (const demand of new Keyring(copy.files).demandsOn('targets')) {
    const { keyids } = demand.role;
    if (meetsAll([demand], await keys.signersFor([demand]))) continue;
    throw new BullaError(
      'threshold-not-met',
      `signers are removed by the keys of targets, ${keyids.map((id) => id.slice(0, 12)).join(', ')}, which are not here`,
      {
        hint: `where the root key is, run this again, or in steps: bulla signer rm ${copy.collection.place} NAME --export-unsigned FILE`,
        details: { role: 'targets', keys: keyids },
      },
    );
  }
}

function signedMeanwhile(copy: WorkingCopy, name: string, tag: string): BullaError {
  return new BullaError('conflict', `${name} has signed ${tag} at ${copy.collection.place} meanwhile`, {
    hint: 'run the command again',
    details: { reason: SIGNED_MEANWHILE, tag },
  });
}
