import { importCollection, originIn, type ReadySigner } from '../../../actions/import-notary/collection.ts';
import { collectionNames, compareNames } from '../../../actions/import-notary/compare.ts';
import { assembleEvidence } from '../../../actions/import-notary/evidence.ts';
import { lookUpNames, nothingThere } from '../../../actions/import-notary/look-up.ts';
import {
  assertImportable,
  type ImportPlan,
  type NotCarried,
  planImport,
} from '../../../actions/import-notary/plan.ts';
import { applyUpdate, findUpdate } from '../../../actions/import-notary/update.ts';
import type { KeysAtHand } from '../../../actions/sign/keys-at-hand.ts';
import { noTrustData } from '../../../actions/verify/notary.ts';
import { generatePrivateKey } from '../../../crypto/private-key.ts';
import { createSigner } from '../../../crypto/signer.ts';
import { BullaError } from '../../../errors.ts';
import { type NotaryRepository, verifyNotaryRepository } from '../../../notary/repository.ts';
import type { NotarySource } from '../../../notary/source.ts';
import type { RegistryReference, Tag } from '../../../oci/reference.ts';
import { presentKeys } from '../../../trust/change/role-changes.ts';
import type { NamedContent } from '../../../trust/format/log.ts';
import { type LookedAt, lookAtCollection } from '../../../trust/read/read-for-display.ts';
import { WorkingCopy } from '../../../trust/read/working-copy.ts';
import { Keyring } from '../../../tuf/edit/demands.ts';
import { type TufSigner, tufSigner } from '../../../tuf/edit/signing.ts';
import { DockerPassphrases } from '../../docker-trust/passphrases.ts';
import { type OpenedCollection, openCollection } from '../../flags/collection-flags.ts';
import type { KeyFlags } from '../../flags/key-flags.ts';
import {
  gunOf,
  type NotaryFlags,
  notaryTrust,
  openNotarySource,
  parseGun,
} from '../../flags/notary-flags.ts';
import { publishOptionsOf } from '../../flags/publish-flags.ts';
import { keysAtHand } from '../../flags/trust-keys.ts';
import type { Context } from '../../shell/context.ts';
import { prepareCollection } from '../init/make.ts';
import { type LoadedKeys, loadDockerKeys } from './docker-keys.ts';
import { comparisonResult, importResult, planResult, updateResult, type Verified } from './notary-text.ts';

/** Flags of `bulla import notary`. */
export interface ImportFlags extends Omit<NotaryFlags, 'notary' | 'collection'>, Omit<KeyFlags, 'key'> {
  readonly server?: string;
  readonly from?: string;
  readonly gun?: string;
  readonly at?: string;
  readonly collection?: string;
  readonly keys?: string;
  readonly rootKey?: readonly string[];
  readonly publisherKey?: readonly string[];
  readonly onlineKey?: readonly string[];
  readonly allowExpired?: true;
  readonly check?: true;
  readonly update?: true;
  readonly dryRun?: true;
}

/** `bulla import notary` */
export async function importNotary(context: Context, text: string, flags: ImportFlags): Promise<void> {
  refuseTogether(flags);
  const verified = await verify(context, text, flags);
  const opened = await openCollection(context, verified.reference, placeFlags(flags), {
    write: flags.check !== true && flags.dryRun !== true,
  });
  const copy = await present(context, verified, opened, flags);
  if (flags.check === true) return await check(context, verified, opened, demanded(copy, opened));
  if (flags.update === true) return await update(context, verified, opened, demanded(copy, opened), flags);
  if (copy !== undefined) return await assertImported(context, verified, opened, copy);
  return await make(context, verified, opened, flags);
}

async function verify(context: Context, text: string, flags: ImportFlags): Promise<Verified> {
  const reference = parseGun(text);
  const gun = gunOf(reference, flags.gun);
  const source = await sourceOf(context, reference, gun, flags);
  const trust = await notaryTrust(context, gun, source, trustFlags(flags));
  const repository = await verifyNotaryRepository(source, {
    ...trust,
    allowExpired: flags.allowExpired,
    badDelegation: 'report',
  });
  if (repository === undefined) throw noTrustData(gun, source.place);
  assertImportable(repository);
  for (const warning of repository.warnings) context.output.warn(warning);
  const asOf = repository.expired.length > 0 ? repository.expires : undefined;
  if (asOf !== undefined)
    context.output.warn(
      `${repository.expired.map(({ role }) => role).join(', ')} of ${gun} expired: this is the state as of ${asOf.toISOString()}, and a newer one may have existed`,
    );
  const place = flags.from === undefined ? source.place : 'saved trust data';
  return { reference, gun, repository, plan: planImport(repository), origin: { gun, place, asOf } };
}

async function sourceOf(
  context: Context,
  reference: RegistryReference,
  gun: string,
  { from, server }: ImportFlags,
): Promise<NotarySource> {
  if (from === undefined) return await openNotarySource(context, reference, gun, server ?? 'auto');
  const { findNotaryDirectory } = await import('../../../notary-client/directory.ts');
  return findNotaryDirectory(context.path(from), gun);
}

function trustFlags({ root, rootKeyId, rootCa, notaryRootKey, tofu }: ImportFlags): NotaryFlags {
  return {
    ...(root !== undefined && { root }),
    ...(rootKeyId !== undefined && { rootKeyId }),
    ...(rootCa !== undefined && { rootCa }),
    ...(notaryRootKey !== undefined && { notaryRootKey }),
    ...(tofu !== undefined && { tofu }),
  };
}

function placeFlags({ at, collection }: ImportFlags): { at?: string; collection?: string } {
  return { ...(at !== undefined && { at }), ...(collection !== undefined && { collection }) };
}

/** The collection that is there already, if there is one. */
async function present(
  context: Context,
  verified: Verified,
  opened: OpenedCollection,
  flags: ImportFlags,
): Promise<WorkingCopy | undefined> {
  const looked = await lookAtCollection(opened.target, opened.read);
  if (looked === undefined) return undefined;
  if (looked.unpinned !== undefined) return await madeHere(context, verified, looked, flags);
  if (looked.expired !== undefined) context.output.warn(looked.expired.message);
  return await WorkingCopy.open(looked.collection, { signal: context.signal });
}

/**
 * The collection that an import on this machine made that was killed before it could remember it: one of the
 * keys of its root is in the key store here, which says as much as a pin on that key.
 * @throws BullaError trust-unpinned where it is another collection
 */
async function madeHere(
  context: Context,
  { reference, gun }: Verified,
  { collection, unpinned }: LookedAt,
  flags: ImportFlags,
): Promise<WorkingCopy> {
  const copy = await WorkingCopy.open(collection, { signal: context.signal });
  const keys = keysAtHand(context, { ...flags, key: flags.rootKey ?? [] });
  const own: string[] = [];
  for (const key of presentKeys(copy, 'root').keys)
    if ((await keys.nameOf(key)) !== undefined) own.push(key.keyid);
  if (own.length === 0 || originIn(copy)?.gun !== gun) throw unpinned;
  const opened = await openCollection(context, reference, { ...placeFlags(flags), rootKeyId: own });
  const pinned = await lookAtCollection(opened.target, opened.read);
  if (pinned === undefined || pinned.unpinned !== undefined) throw unpinned;
  return await WorkingCopy.open(pinned.collection, { signal: context.signal });
}

function demanded(copy: WorkingCopy | undefined, { place }: OpenedCollection): WorkingCopy {
  if (copy !== undefined) return copy;
  throw new BullaError('not-found', `${place} has no trust collection`, {
    hint: 'make it: the same command without --check and --update',
  });
}

/** `--check`: differences fail, so that a script can wait for none. */
async function check(
  context: Context,
  verified: Verified,
  opened: OpenedCollection,
  copy: WorkingCopy,
): Promise<void> {
  const names = await collectionNames(copy, { signal: context.signal });
  comparisonResult(context.output, verified, opened.place, compareNames(verified.plan.names, names));
}

/** The command was run before, or there is something else. */
async function assertImported(
  context: Context,
  verified: Verified,
  { place }: OpenedCollection,
  copy: WorkingCopy,
): Promise<void> {
  const { contents } = await lookUp(context, verified);
  const names = await collectionNames(copy, { signal: context.signal });
  const expected = new Map([...verified.plan.names].filter(([tag]) => contents.has(tag)));
  const others = compareNames(expected, names).filter(({ state }) => state !== 'same');
  if (others.length > 0)
    throw new BullaError(
      'conflict',
      `${place} has a trust collection already, and ${others.length} names differ from those of ${verified.gun}`,
      {
        hint: 'compare them: --check; take over what changed on the old server since an import: --update',
        details: { place, gun: verified.gun, names: others.length },
      },
    );
  context.output.info(`${place} holds all of it already: nothing was changed`);
  comparisonResult(context.output, verified, place, compareNames(expected, names));
}

async function lookUp(
  context: Context,
  { reference, plan }: Verified,
  names: ReadonlyMap<Tag, { digest: ImportedDigest; length: number }> = plan.names,
): Promise<{ contents: ReadonlyMap<Tag, NamedContent>; notCarried: readonly NotCarried[] }> {
  const images = await context.openSource(reference);
  const { concurrency } = context.settings;
  return await lookUpNames(images, names, { concurrency, signal: context.signal });
}

type ImportedDigest = NonNullable<ReturnType<ImportPlan['names']['get']>>['digest'];

async function make(
  context: Context,
  verified: Verified,
  opened: OpenedCollection,
  flags: ImportFlags,
): Promise<void> {
  const { plan, repository, origin, gun } = verified;
  const { contents, notCarried } = await lookUp(context, verified);
  if (plan.names.size > 0 && contents.size === 0) throw nothingThere(gun, opened.repository);
  const missing = [...plan.notCarried, ...notCarried];
  if (flags.dryRun === true) return planResult(context.output, verified, opened.place, contents, missing);
  const loaded = await dockerKeys(context, plan, flags);
  const prepared = await prepareCollection(context, opened.name, keyFlags(flags, plan, loaded));
  if (!prepared.hasOnlineKey)
    throw new BullaError('usage', 'the private key of snapshot and timestamp must be at hand for an import', {
      hint: 'import with a key of this machine, then hand over: bulla rotate REPOSITORY online --key PUBLIC',
    });
  const signers = await readySigners(prepared.keys.keys, plan);
  const collection = { ...prepared.collection, certificates: certificatesOf(repository, plan, prepared) };
  const imported = await importCollection({
    target: opened.target,
    read: opened.read,
    collection,
    publish: await publishOptionsOf(context, prepared.signers, {}),
    plan,
    contents,
    signers,
    origin,
    evidence: assembleEvidence(repository, origin),
    concurrency: context.settings.concurrency,
  });
  importResult(context.output, verified, opened.place, {
    imported,
    contents,
    notCarried: missing,
    signers,
    loaded,
    chosen: prepared.keys.chosen,
  });
}

async function update(
  context: Context,
  verified: Verified,
  opened: OpenedCollection,
  copy: WorkingCopy,
  flags: ImportFlags,
): Promise<void> {
  const { plan, origin, repository } = verified;
  const { target, read, place } = opened;
  const found = await findUpdate(target, copy, verified, { now: read.now, signal: context.signal });
  const { contents, notCarried } = await lookUp(context, verified, found.set);
  if (found.isNothing || flags.dryRun === true)
    return updateResult(context.output, verified, place, { found, contents, notCarried, head: undefined });
  const loaded = await dockerKeys(context, plan, flags);
  const keys = keysAtHand(context, {
    ...flags,
    key: [...(flags.rootKey ?? []), ...(flags.publisherKey ?? []), ...(flags.onlineKey ?? [])],
    ...(loaded !== undefined && { variables: new DockerPassphrases().variables }),
  });
  const keyring = new Keyring(copy.files);
  const demands = ['targets', 'names', 'snapshot', 'timestamp'].flatMap((role) => keyring.demandsOn(role));
  const changed = { ...plan, signers: found.newSigners, releases: found.newReleases };
  const signers = await readySigners(keys, changed);
  const { head } = await applyUpdate({
    target,
    read,
    publish: await publishOptionsOf(context, await keys.signersFor(demands), {}),
    update: found,
    contents,
    plan: changed,
    signers,
    origin,
    repository,
  });
  updateResult(context.output, verified, place, { found, contents, notCarried, head });
}

async function dockerKeys(
  context: Context,
  plan: ImportPlan,
  flags: ImportFlags,
): Promise<LoadedKeys | undefined> {
  const { keys, ...rest } = flags;
  return keys === undefined ? undefined : await loadDockerKeys(context, keys, plan, rest);
}

/**
 * The old keys where they are at hand and the flags name no others, with as many of them that must sign.
 * @throws BullaError threshold-not-met where some of the old keys are at hand, and too few
 */
function keyFlags(
  flags: ImportFlags,
  plan: ImportPlan,
  loaded: LoadedKeys | undefined,
): Parameters<typeof prepareCollection>[2] {
  const { rootKey, publisherKey, onlineKey } = flags;
  const thresholds: string[] = [];
  const old = (role: 'root' | 'targets', flag: string, to: string): readonly string[] | undefined => {
    const names = [...new Set(loaded?.[role].map(({ name }) => name) ?? [])];
    if (names.length === 0) return undefined;
    const { threshold } = plan[role];
    if (names.length < threshold) throw tooFewOld(role, flag, threshold, names.length);
    thresholds.push(`${to}=${threshold}`);
    return names;
  };
  const root = rootKey ?? old('root', '--root-key', 'root');
  const publisher = publisherKey ?? old('targets', '--publisher-key', 'names');
  return {
    ...flags,
    ...(thresholds.length > 0 && { threshold: thresholds }),
    ...(root !== undefined && { rootKey: root }),
    ...(publisher !== undefined && { publisherKey: publisher }),
    ...(onlineKey !== undefined && { onlineKey }),
    ...(loaded !== undefined && { variables: new DockerPassphrases().variables }),
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

/** Whose own keys are at hand signs for itself; else keys that nobody keeps sign an empty first file. */
async function readySigners(
  keys: KeysAtHand,
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
  { collection, keys }: Awaited<ReturnType<typeof prepareCollection>>,
): NonNullable<typeof collection.certificates> {
  const certificates = new Map(collection.certificates);
  const own = new Set(keys.chosen.root.keys.map(({ keyid }) => keyid));
  const listed = [...root.content.keys.values()].flatMap(({ key }) => key ?? []);
  for (const { notaryId, key } of plan.root.keys) {
    const chain = listed.find(({ keystoreId }) => keystoreId === notaryId)?.certificates ?? [];
    if (own.has(key.keyid) && chain.length > 0 && !certificates.has(key.keyid))
      certificates.set(key.keyid, chain);
  }
  return certificates;
}

function refuseTogether({ check, update, dryRun, from, server }: ImportFlags): void {
  if (check === true && (update === true || dryRun === true))
    throw new BullaError('usage', '--check goes with neither --update nor --dry-run', {
      hint: 'it changes nothing; run it after the others',
    });
  if (from !== undefined && server !== undefined)
    throw new BullaError('usage', '--from and --server exclude each other', {
      hint: 'give the directory, or the server',
    });
}
