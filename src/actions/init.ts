import { BullaError, isBullaError } from '../errors.ts';
import { streamOf } from '../oci/content.ts';
import { EMPTY_BYTES, EMPTY_DESCRIPTOR } from '../oci/descriptor.ts';
import { buildArtifact } from '../oci/manifest.ts';
import type { Tag } from '../oci/reference.ts';
import type { CallOptions, PushManifestOptions } from '../oci/target.ts';
import { type Assembly, assembleHead, assembleStage } from '../trust/assemble.ts';
import {
  beginCollection,
  type CollectionFiles,
  completeCollection,
  type NewCollection,
} from '../trust/create.ts';
import type { TrustTarget } from '../trust/ports.ts';
import { HEAD_TAG, stageTag } from '../trust/vocabulary.ts';
import { writeRepositoryFiles } from '../tuf/edit/repository.ts';
import type { TufSigner } from '../tuf/edit/signing.ts';

/** What a registry can't do of what a collection would like it to; none of it makes names unsafe. */
export interface RegistryLimits {
  /** A tag that is there can't be moved: a collection can be made, but never changed. */
  readonly immutableTags: boolean;
  /** Nothing can be removed: candidates and stages that are done with pile up. */
  readonly undeletable: boolean;
}

/** What {@link initCollection} is told. */
export interface InitOptions extends CallOptions {
  readonly collection: NewCollection;
  readonly signers: readonly TufSigner[];
  /** Whether one of the signers has an online key; else what needs none is staged for whoever does. */
  readonly hasOnlineKey: boolean;
}

/** A collection that was made, and where it is now. */
export interface MadeCollection {
  readonly made: CollectionFiles;
  /** Undefined where it is the head already. */
  readonly stage: Tag | undefined;
  readonly limits: RegistryLimits;
}

/**
 * Makes the collection of a place that has none. Without the online key it lies in a stage, and becomes a
 * head when `bulla resign` runs where that key is.
 * @throws BullaError conflict where there is a head already; threshold-not-met, usage, key-invalid; what the target throws
 */
export async function initCollection(target: TrustTarget, options: InitOptions): Promise<MadeCollection> {
  const { collection, signers, hasOnlineKey, signal } = options;
  if (await hasHead(target, { signal })) throw taken(target);
  const limits = await probeRegistry(target, { signal });
  const begun = await beginCollection(collection, signers);
  if (!hasOnlineKey) {
    const stage = assembleStage({ files: writeRepositoryFiles(begun.files), logs: begun.logs });
    const tag = stageTag(stage.top.descriptor.digest);
    await pushAssembly(target, stage, tag, { signal });
    return { made: begun, stage: tag, limits };
  }
  const made = await completeCollection(begun, collection, signers);
  // Nobody may have made one meanwhile; a registry without conditions can't be asked more than that.
  if (await hasHead(target, { signal })) throw taken(target);
  await pushAssembly(target, assembleHead(made), HEAD_TAG, { signal, expected: null });
  return { made, stage: undefined, limits };
}

async function hasHead(target: TrustTarget, options: CallOptions): Promise<boolean> {
  try {
    await target.fetchManifest(HEAD_TAG, options);
    return true;
  } catch (error) {
    if (isBullaError(error, 'not-found')) return false;
    throw error;
  }
}

async function pushAssembly(
  target: TrustTarget,
  { blobs, children, top }: Assembly,
  tag: Tag,
  options: PushManifestOptions,
): Promise<void> {
  for (const { descriptor, bytes } of blobs)
    await target.pushBlob(descriptor, async () => streamOf(bytes), { signal: options.signal });
  for (const child of children) await target.pushManifest(child, { signal: options.signal });
  await target.pushManifest(top, { ...options, tag });
}

function taken({ name }: TrustTarget): BullaError {
  return new BullaError('conflict', `${name} has a trust collection already`, {
    hint: 'look at it: bulla tree; to change who may sign in it: bulla signer, bulla rotate',
  });
}

const PROBE_TAG = '_trust.probe' as Tag;
const PROBE_TYPE = 'application/vnd.bulla.trust.probe.v1';

/**
 * Finds out whether tags can be moved and removed, with two manifests of a tag that nobody reads.
 * @throws BullaError what the target throws, but for its refusals to move and to remove
 */
export async function probeRegistry(target: TrustTarget, options: CallOptions = {}): Promise<RegistryLimits> {
  const [first, second] = ['1', '2'].map((number) =>
    buildArtifact({ artifactType: PROBE_TYPE, layers: [], annotations: { 'vnd.bulla.trust.probe': number } }),
  ) as [ReturnType<typeof buildArtifact>, ReturnType<typeof buildArtifact>];
  await target.pushBlob(EMPTY_DESCRIPTOR, async () => streamOf(EMPTY_BYTES), options);
  const isRefused = await refuses(() => target.pushManifest(first, { ...options, tag: PROBE_TAG }));
  const isFixed = await refuses(() => target.pushManifest(second, { ...options, tag: PROBE_TAG }));
  const isMoved =
    (await target.fetchManifest(PROBE_TAG, options)).descriptor.digest === second.descriptor.digest;
  let undeletable = false;
  for (const { descriptor } of [first, second])
    undeletable = (await refuses(() => target.deleteManifest(descriptor.digest, options))) || undeletable;
  return { immutableTags: isRefused || isFixed || !isMoved, undeletable };
}

/** Whether the other side says no; that it can't be reached or asks for other rights is another matter. */
async function refuses(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return false;
  } catch (error) {
    if (isBullaError(error, 'conflict', 'registry-error', 'forbidden', 'not-found')) return true;
    throw error;
  }
}
