import { generatePrivateKey } from '../../crypto/private-key.ts';
import { createSigner } from '../../crypto/signer.ts';
import { BullaError } from '../../errors.ts';
import type { NotaryRepository } from '../../notary/repository.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { Source, Target } from '../../oci/target.ts';
import { presentKeys } from '../../trust/change/role-changes.ts';
import type { NamedContent } from '../../trust/format/log.ts';
import { type DisplayedCollection, readForDisplay } from '../../trust/read/read-for-display.ts';
import { WorkingCopy } from '../../trust/read/working-copy.ts';
import { Keyring } from '../../tuf/edit/demands.ts';
import { type TufSigner, tufSigner } from '../../tuf/edit/signing.ts';
import { type InitWish, type PreparedCollection, prepareCollection } from '../change/init.ts';
import type { ChangePlace, CollectionPlace, KeySource, SignerSource } from '../change/place.ts';
import { type ImportedCollection, importCollection, originIn, type ReadySigner } from './collection.ts';
import { type ComparedName, collectionNames, compareNames } from './compare.ts';
import { assembleEvidence } from './evidence.ts';
import { lookUpNames, nothingThere } from './look-up.ts';
import type { ImportPlan, NotCarried } from './plan.ts';
import { applyUpdate, findUpdate, type ImportUpdate } from './update.ts';
import type { VerifiedNotary } from './verify-source.ts';

/** Available old private keys, by role: what the key source calls them. */
export interface OldKeys {
  readonly root: readonly { readonly name: string }[];
  readonly targets: readonly { readonly name: string }[];
}

/** Where a Notary repository is imported to, and with what. */
export interface ImportPlace extends Omit<ChangePlace, 'keys'> {
  readonly target: Target;
  /** The images of the names. */
  images(): Promise<Source>;
  /** The collection there, read with these root keys as a pin. */
  pinned(rootKeyIds: readonly string[]): Promise<Pick<CollectionPlace, 'target' | 'read'>>;
  /** Brings old private keys to where {@link keys} finds them; undefined where none are given. */
  oldKeys(plan: ImportPlan): Promise<OldKeys | undefined>;
  /** The available keys, those that are given explicitly first. @param hasOld whether old keys are among them */
  keys(specs: readonly string[], hasOld: boolean): KeySource;
  /** Makes the keys of the new collection that neither the user names nor the key source has. */
  makeMissing?(specs: InitWish['keys'], hasOld: boolean): Promise<void>;
  /** Keys by role that the user names. */
  readonly named: InitWish['keys'];
  /** Requests at once. */
  readonly concurrency: number;
}

export interface ImportChoice {
  readonly mode: 'import' | 'update' | 'check';
  readonly dryRun?: boolean | undefined;
}

type Contents = ReadonlyMap<Tag, NamedContent>;

/** What became of an import. */
export type NotaryImport =
  /** All that would be made. */
  | { readonly outcome: 'planned'; readonly contents: Contents; readonly notCarried: readonly NotCarried[] }
  | {
      readonly outcome: 'imported';
      readonly imported: ImportedCollection;
      readonly contents: Contents;
      readonly notCarried: readonly NotCarried[];
      readonly signers: readonly ReadySigner[];
      readonly old: OldKeys | undefined;
      readonly chosen: PreparedCollection['chosen'];
    }
  /** The collection that is there was compared; `present` where an import found that nothing is left to do. */
  | { readonly outcome: 'compared' | 'present'; readonly names: readonly ComparedName[] }
  | {
      readonly outcome: 'updated';
      readonly found: ImportUpdate;
      readonly contents: Contents;
      readonly notCarried: readonly NotCarried[];
      /** Undefined where nothing was published. */
      readonly head: Digest | undefined;
    };

/**
 * Carries a verified Notary repository over into a collection, brings one that was imported up to date, or compares
 * the two (spec/notary.md).
 * @throws BullaError conflict where there is another collection; not-found where one is needed; threshold-not-met,
 *   usage, key-invalid; what reading and publishing throw
 */
export async function importNotary(
  place: ImportPlace,
  verified: VerifiedNotary,
  { mode, dryRun }: ImportChoice,
): Promise<NotaryImport> {
  const copy = await present(place, verified);
  if (mode === 'import')
    return copy === undefined
      ? await make(place, verified, dryRun === true)
      : await assertImported(place, verified, copy);
  if (copy === undefined)
    throw new BullaError('not-found', `${place.place} has no trust collection`, {
      hint: 'make it: the same command without --check and --update',
    });
  if (mode === 'update') return await update(place, verified, copy, dryRun === true);
  const names = await collectionNames(copy, { signal: place.publish.signal });
  return { outcome: 'compared', names: compareNames(verified.plan.names, names) };
}

/** The collection that is there already, if there is one. */
async function present(place: ImportPlace, verified: VerifiedNotary): Promise<WorkingCopy | undefined> {
  const { target, read, publish } = place;
  const looked = await readForDisplay(target, read);
  if (looked === undefined) return undefined;
  if (looked.unpinned !== undefined) return await madeHere(place, verified, looked);
  if (looked.expired !== undefined) publish.onWarning?.(looked.expired.message);
  return await WorkingCopy.open(looked.collection, { signal: publish.signal });
}

/**
 * The collection that an import on this machine made that was killed before it could remember it: one of the
 * available key of its root proves as much as a pin on that key.
 * @throws BullaError trust-unpinned where it is another collection
 */
async function madeHere(
  place: ImportPlace,
  { gun }: VerifiedNotary,
  { collection, unpinned }: DisplayedCollection,
): Promise<WorkingCopy> {
  const { signal } = place.publish;
  const copy = await WorkingCopy.open(collection, { signal });
  const keys = place.keys(place.named.root ?? [], false);
  const own: string[] = [];
  for (const key of presentKeys(copy, 'root').keys)
    if ((await keys.nameOf(key)) !== undefined) own.push(key.keyid);
  if (own.length === 0 || originIn(copy)?.gun !== gun) throw unpinned;
  const { target, read } = await place.pinned(own);
  const pinned = await readForDisplay(target, read);
  if (pinned === undefined || pinned.unpinned !== undefined) throw unpinned;
  return await WorkingCopy.open(pinned.collection, { signal });
}

/** The import was made before, or there is another collection. @throws BullaError conflict */
async function assertImported(
  place: ImportPlace,
  verified: VerifiedNotary,
  copy: WorkingCopy,
): Promise<NotaryImport> {
  const { contents } = await lookUp(place, verified.plan.names);
  const names = await collectionNames(copy, { signal: place.publish.signal });
  const expected = new Map([...verified.plan.names].filter(([tag]) => contents.has(tag)));
  const compared = compareNames(expected, names);
  const others = compared.filter(({ state }) => state !== 'same');
  if (others.length === 0) return { outcome: 'present', names: compared };
  throw new BullaError(
    'conflict',
    `${place.place} has a trust collection already, and ${others.length} names differ from those of ${verified.gun}`,
    {
      hint: 'compare them: --check; take over what changed on the old server since an import: --update',
      details: { place: place.place, gun: verified.gun, names: others.length },
    },
  );
}

async function lookUp(
  place: ImportPlace,
  names: Parameters<typeof lookUpNames>[1],
): ReturnType<typeof lookUpNames> {
  const { concurrency, publish } = place;
  return await lookUpNames(await place.images(), names, { concurrency, signal: publish.signal });
}

async function make(place: ImportPlace, verified: VerifiedNotary, dryRun: boolean): Promise<NotaryImport> {
  const { plan, repository, origin, gun } = verified;
  const { contents, notCarried } = await lookUp(place, plan.names);
  if (plan.names.size > 0 && contents.size === 0) throw nothingThere(gun, place.repository);
  const missing = [...plan.notCarried, ...notCarried];
  if (dryRun) return { outcome: 'planned', contents, notCarried: missing };
  const old = await place.oldKeys(plan);
  const wish = wishOf(place.named, plan, old);
  const { root = ['root'], names = ['publisher'], online = ['online'] } = wish.keys;
  const keys = place.keys([...new Set([...root, ...names, ...online])], old !== undefined);
  await place.makeMissing?.(wish.keys, old !== undefined);
  const prepared = await prepareCollection(place.name, wish, keys, place.publish);
  if (!prepared.hasOnlineKey)
    throw new BullaError('usage', 'an import requires the private key of snapshot and timestamp', {
      hint: 'import with a key of this machine, then hand over: bulla rotate REPOSITORY online --key PUBLIC',
    });
  const signers = await readySigners(keys, plan);
  const imported = await importCollection({
    target: place.target,
    read: place.read,
    collection: { ...prepared.collection, certificates: certificatesOf(repository, plan, prepared) },
    publish: { ...place.publish, signers: prepared.signers },
    plan,
    contents,
    signers,
    origin,
    evidence: assembleEvidence(repository, origin),
    concurrency: place.concurrency,
  });
  const { chosen } = prepared;
  return { outcome: 'imported', imported, contents, notCarried: missing, signers, old, chosen };
}

async function update(
  place: ImportPlace,
  verified: VerifiedNotary,
  copy: WorkingCopy,
  dryRun: boolean,
): Promise<NotaryImport> {
  const { plan, origin, repository } = verified;
  const { target, read, publish, named } = place;
  const found = await findUpdate(target, copy, verified, { now: read.now, signal: publish.signal });
  const { contents, notCarried } = await lookUp(place, found.set);
  if (found.isNothing || dryRun) return { outcome: 'updated', found, contents, notCarried, head: undefined };
  const old = await place.oldKeys(plan);
  const specs = [...(named.root ?? []), ...(named.names ?? []), ...(named.online ?? [])];
  const keys = place.keys(specs, old !== undefined);
  const keyring = new Keyring(copy.files);
  const demands = ['targets', 'names', 'snapshot', 'timestamp'].flatMap((role) => keyring.demandsOn(role));
  const changed = { ...plan, signers: found.newSigners, releases: found.newReleases };
  const signers = await readySigners(keys, changed);
  const { head } = await applyUpdate({
    target,
    read,
    publish: { ...publish, signers: await keys.signersFor(demands) },
    update: found,
    contents,
    plan: changed,
    signers,
    origin,
    repository,
  });
  return { outcome: 'updated', found, contents, notCarried, head };
}

/**
 * The old keys, if they are available and no others are given, with as many of them as must sign.
 * @throws BullaError threshold-not-met if some of the old keys are available, but too few
 */
function wishOf(named: InitWish['keys'], plan: ImportPlan, old: OldKeys | undefined): InitWish {
  const thresholds = new Map<string, number>();
  const oldOf = (
    role: 'root' | 'targets',
    flag: string,
    to: 'root' | 'names',
  ): readonly string[] | undefined => {
    const names = [...new Set(old?.[role].map(({ name }) => name) ?? [])];
    if (names.length === 0) return undefined;
    const { threshold } = plan[role];
    if (names.length < threshold) throw tooFewOld(role, flag, threshold, names.length);
    thresholds.set(to, threshold);
    return names;
  };
  const root = named.root ?? oldOf('root', '--root-key', 'root');
  const names = named.names ?? oldOf('targets', '--publisher-key', 'names');
  return {
    keys: {
      ...named,
      ...(root !== undefined && { root }),
      ...(names !== undefined && { names }),
    },
    thresholds,
  };
}

function tooFewOld(role: string, flag: string, threshold: number, count: number): BullaError {
  return new BullaError(
    'threshold-not-met',
    `${threshold} of the old keys of ${role} must sign, and ${count} of them ${count === 1 ? 'is' : 'are'} in the directory of --keys`,
    {
      hint: `add the other keys to the directory, or name other keys: ${flag} NAME`,
      details: { role, threshold, keys: count },
    },
  );
}

/** A signer whose own keys are available signs its first file; otherwise discarded keys sign an empty one. */
async function readySigners(
  keys: SignerSource,
  plan: Pick<ImportPlan, 'signers'>,
): Promise<readonly ReadySigner[]> {
  const ready: ReadySigner[] = [];
  for (const planned of plan.signers) {
    const own = await keys.signersFor([
      {
        delegator: 'targets',
        keys: new Map(planned.keys.map(({ key }) => [key.keyid, key])),
        role: { keyids: planned.keys.map(({ key }) => key.keyid), threshold: planned.threshold },
      },
    ]);
    const lacking = Math.max(0, planned.threshold - own.length);
    const starters: TufSigner[] = Array.from({ length: lacking }, () =>
      tufSigner(createSigner(generatePrivateKey('P-256'))),
    );
    ready.push({ planned, own, starters });
  }
  return ready;
}

/** Certificates of old root keys that stay root keys, so that readers who pinned their authority go on. */
function certificatesOf(
  { root }: NotaryRepository,
  plan: ImportPlan,
  { collection, chosen }: PreparedCollection,
): NonNullable<typeof collection.certificates> {
  const certificates = new Map(collection.certificates);
  const own = new Set(chosen.root.keys.map(({ keyid }) => keyid));
  const listed = [...root.content.keys.values()].flatMap(({ key }) => key ?? []);
  for (const { notaryId, key } of plan.root.keys) {
    const chain = listed.find(({ keystoreId }) => keystoreId === notaryId)?.certificates ?? [];
    if (own.has(key.keyid) && chain.length > 0 && !certificates.has(key.keyid))
      certificates.set(key.keyid, chain);
  }
  return certificates;
}
