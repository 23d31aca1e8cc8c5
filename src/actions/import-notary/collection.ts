import type { JsonObject } from '../../encoding/json.ts';
import { isJsonObject } from '../../encoding/json.ts';
import { formatTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { type Digest, hexOf } from '../../oci/digest.ts';
import { MemoryStore } from '../../oci/memory.ts';
import type { Tag } from '../../oci/reference.ts';
import type { Target } from '../../oci/target.ts';
import type { CollectionEdit } from '../../trust/change/collection-edit.ts';
import type { NewCollection } from '../../trust/change/create.ts';
import { presentKeys, type StructureChange } from '../../trust/change/role-changes.ts';
import type { Assembly } from '../../trust/format/assemble.ts';
import { BINDING, type CollectionId, collectionIdOf } from '../../trust/format/binding.ts';
import type { NamedContent } from '../../trust/format/log.ts';
import { NAMES_ROLE } from '../../trust/format/vocabulary.ts';
import { versionsOf } from '../../trust/publish/make-head.ts';
import { probeTags, shortcomings } from '../../trust/publish/probe.ts';
import { type NameChange, publishEdit, publishNames } from '../../trust/publish/publish.ts';
import type { PublishOptions } from '../../trust/publish/publish-options.ts';
import { ProcessSignerState, withUsed } from '../../trust/publish/signer-state.ts';
import { type Collection, type ReadOptions, readCollection } from '../../trust/read/collection.ts';
import { ProcessMemory } from '../../trust/read/memory.ts';
import { WorkingCopy } from '../../trust/read/working-copy.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import { initCollection } from '../change/init.ts';
import { copyCollection } from '../copy/collection.ts';
import { dockerKeysIn, writeDockerKeys } from '../docker-trust/docker-keys.ts';
import { type NotaryOrigin, pushEvidence } from './evidence.ts';
import type { ImportPlan, PlannedSigner } from './plan.ts';

/** A signer of the plan, with what can sign its first file. */
export interface ReadySigner {
  readonly planned: PlannedSigner;
  /** The signer's own available keys. */
  readonly own: readonly TufSigner[];
  /** Discarded keys that sign the first file if fewer of {@link own} are available than must sign. */
  readonly starters: readonly TufSigner[];
}

/** What {@link importCollection} is told. */
export interface ImportOptions {
  readonly target: Target;
  readonly read: ReadOptions;
  readonly collection: NewCollection;
  readonly publish: PublishOptions;
  readonly plan: ImportPlan;
  readonly contents: ReadonlyMap<Tag, NamedContent>;
  readonly signers: readonly ReadySigner[];
  readonly origin: NotaryOrigin;
  readonly evidence: Assembly;
  readonly concurrency: number;
}

/** A collection that holds what was imported. */
export interface ImportedCollection {
  readonly id: CollectionId;
  readonly head: Digest;
  readonly evidence: Digest;
  readonly collection: Collection;
  /** What is not available at that place, as sentences. */
  readonly shortcomings: readonly string[];
}

/**
 * Makes the collection of a repository that has none, whole: it is put together in memory, and then becomes
 * visible by the one write of its head. Whatever ends it before leaves no collection behind.
 * @throws BullaError conflict where there is a head, or tags cannot be moved; threshold-not-met where keys are
 *   missing; usage, key-invalid; what the target throws
 */
export async function importCollection(options: ImportOptions): Promise<ImportedCollection> {
  const { target, read, collection, plan, contents, signers, origin, evidence, concurrency } = options;
  const { signal } = options.publish;
  const store = new MemoryStore(target.name);
  const publish: PublishOptions = {
    ...options.publish,
    state: new ProcessSignerState(true),
    wait: 0,
    cleanUp: false,
    signers: [...options.publish.signers, ...signers.flatMap(({ own, starters }) => [...own, ...starters])],
  };
  const begun = await initCollection(store, { ...publish, collection, hasOnlineKey: true });
  const initialRoot = (begun.made.files.roots[0] as { bytes: Uint8Array }).bytes;
  const id = collectionIdOf(initialRoot);
  const anchor = async (): Promise<{ id: CollectionId; initialRoot: Uint8Array }> => ({ id, initialRoot });
  const within: ReadOptions = {
    ...read,
    cache: undefined,
    memory: new ProcessMemory(),
    anchor,
    isPinned: true,
    isDemanded: true,
  };
  const link = { ...origin, evidence: evidence.top.descriptor.digest };
  await publishEdit(store, within, admission(plan, signers, link), publish);
  const changes = nameChanges(contents, signers, `${origin.place} ${origin.gun}`);
  if (changes.length > 0) await publishNames(store, within, changes, publish);
  const abilities = await probeTags(target, options.publish, { signal });
  const kept = await pushEvidence(target, evidence, { signal });
  const copied = await copyCollection({ source: store, destination: target, concurrency, signal });
  if (copied.outcome !== 'copied' || copied.head === undefined) throw taken(target);
  const made = await readCollection(target, { ...read, anchor, isPinned: true, isDemanded: true });
  if (made === undefined) throw taken(target);
  const { files } = await WorkingCopy.open(made, { signal });
  await options.publish.state.update(id, (record) => withUsed(record, versionsOf(files)));
  return {
    id,
    head: copied.head,
    evidence: kept,
    collection: made,
    shortcomings: shortcomings(abilities),
  };
}

/** Signers, the keys that may release, and where all of it is from: one change of targets. */
export function admission(
  plan: Pick<ImportPlan, 'releases'>,
  signers: readonly ReadySigner[],
  origin: SignedOrigin,
): StructureChange {
  return async (edit, copy) => {
    const { releases, starters } = dockerKeysIn(copy);
    const names = presentKeys(copy, NAMES_ROLE);
    const added = plan.releases
      .map(({ key }) => key)
      .filter((key) => !names.keys.some(({ fingerprint }) => fingerprint === key.fingerprint));
    if (added.length > 0)
      await edit.rekeyNames({ keys: [...names.keys, ...added], threshold: names.threshold });
    for (const { planned, starters: temporary } of signers)
      edit.addSigner({
        name: planned.name,
        keys: [...planned.keys.map(({ key }) => key), ...temporary.map(({ key }) => key)],
        threshold: planned.threshold,
        paths: planned.paths,
      });
    writeDockerKeys(edit, {
      releases: new Set([...releases, ...added.map(({ keyid }) => keyid)]),
      starters: new Set([
        ...starters,
        ...signers.flatMap((signer) => signer.starters.map(({ key }) => key.keyid)),
      ]),
    });
    writeOrigin(edit, origin);
  };
}

/** Names of `names`, and those of each signer whose own keys suffice. */
function nameChanges(
  contents: ReadonlyMap<Tag, NamedContent>,
  signers: readonly ReadySigner[],
  origin: string,
): readonly NameChange[] {
  const known = new Map([...contents].map(([, content]) => [content.sha256, content]));
  const own = signers.filter(({ planned, own: keys }) => keys.length >= planned.threshold);
  return [
    { set: contents, origin },
    ...own.map(({ planned }) => ({
      role: planned.name,
      origin,
      set: new Map(
        [...planned.names].flatMap(([tag, { digest }]) => {
          const content = known.get(hexOf(digest));
          return content === undefined ? [] : [[tag, content] as const];
        }),
      ),
    })),
  ].filter(({ set }) => set.size > 0);
}

/** What targets sign about where a collection is from (spec/notary.md, "In targets"). */
export interface SignedOrigin extends Pick<NotaryOrigin, 'gun' | 'asOf'> {
  readonly evidence: Digest;
}

const MEMBER = 'notary';

/** Writes it into the targets of a change. */
export function writeOrigin(edit: CollectionEdit, { gun, evidence, asOf }: SignedOrigin): void {
  const { json } = edit.edit.targets('targets');
  json[BINDING] = {
    ...(json[BINDING] as JsonObject | undefined),
    [MEMBER]: { gun, evidence: hexOf(evidence), ...(asOf !== undefined && { asOf: formatTime(asOf) }) },
  };
}

/** What the targets of a verified collection say; undefined where nothing was imported. */
export function originIn(copy: WorkingCopy): { readonly gun: string; readonly evidence: Digest } | undefined {
  const binding = copy.files.roles.get('targets')?.signed[BINDING];
  const member = isJsonObject(binding) ? binding[MEMBER] : undefined;
  const { gun, evidence } = isJsonObject(member) ? member : {};
  return typeof gun === 'string' && typeof evidence === 'string' && /^[0-9a-f]{64}$/.test(evidence)
    ? { gun, evidence: `sha256:${evidence}` as Digest }
    : undefined;
}

function taken({ name }: Target): BullaError {
  return new BullaError('conflict', `${name} got a trust collection meanwhile`, {
    hint: 'look at it with bulla tree; bulla import notary --check compares it with the old trust data',
  });
}
