import { BullaError, isBullaError } from '../../errors.ts';
import type { Tag } from '../../oci/reference.ts';
import { type RepositoryFiles, readRepositoryFiles } from '../../tuf/edit/repository.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { metadataFileName } from '../../tuf/role-name.ts';
import { listSiblings } from '../candidates/siblings.ts';
import { type CollectionFiles, completeCollection } from '../change/create.ts';
import { bindingCheck } from '../format/binding.ts';
import { logDescriptorOf, MAX_LOG_BYTES } from '../format/log.ts';
import { fetchFile, openTrustObject, type TrustObject } from '../format/object.ts';
import type { TrustTarget } from '../format/ports.ts';
import { roleFilesIn } from '../format/role-files.ts';
import { assertSignableFile } from '../format/signable.ts';
import { trustVersions } from '../format/versions.ts';
import { NAMES_ROLE } from '../format/vocabulary.ts';
import type { ReadOptions } from '../read/collection.ts';
import { rootsOf } from '../read/root-chain.ts';
import { type CreatedAt, type CreateOptions, createAt } from './create-at.ts';
import type { PublishOptions } from './publish-options.ts';

/** Most stages that are looked at. */
const MAX_STAGES = 256;

/**
 * Makes the first head of a collection that was begun without its online key, where a pin says which
 * (spec/trust-roles.md, "Creating a collection without the online key"). Call it only if it is known that there has been no
 * head yet: a stage of the creation is an old state that can be pushed again.
 * @throws BullaError trust-unpinned without a pin; not-found where no such stage is there; conflict where
 *   there is a head; threshold-not-met without the online key; what the target throws
 */
export async function completeStaged(
  target: TrustTarget,
  read: ReadOptions,
  options: PublishOptions & Pick<CreateOptions, 'replaces'>,
): Promise<CreatedAt & { readonly made: CollectionFiles }> {
  const { signal, clock, chance, signers } = options;
  const { staged, refused } = await searchBeginning(target, { ...read, signal });
  if (staged !== undefined) {
    const policy = { versions: trustVersions((range) => chance.below(range)) };
    const made = await completeCollection(staged.files, { now: clock.now(), policy }, signers);
    return { ...(await createAt(target, made, options)), made };
  }
  throw new BullaError('not-found', `no stage at ${read.place} is the beginning of the pinned collection`, {
    hint: 'run bulla init where the root key is, with the public online key; bulla tree shows an existing head',
    details: { place: read.place, refused },
  });
}

/**
 * The stage that begins the pinned collection of a place without a head, if there is one. Nothing tells it from one that
 * is pushed again later, so it is completed only by someone who knows that there was no head.
 * @throws BullaError trust-unpinned without a pin; what the target throws
 */
export async function findBeginning(target: TrustTarget, read: ReadOptions): Promise<Tag | undefined> {
  return (await searchBeginning(target, read)).staged?.tag;
}

async function searchBeginning(
  target: TrustTarget,
  read: ReadOptions,
): Promise<{
  readonly staged?: { readonly tag: Tag; readonly files: CollectionFiles } | undefined;
  readonly refused: readonly string[];
}> {
  const refused: string[] = [];
  const { tags } = await listSiblings(target, { signal: read.signal }, null);
  for (const tag of tags.slice(0, MAX_STAGES)) {
    try {
      const files = await readBeginning(target, tag, read);
      if (files !== undefined) return { staged: { tag, files }, refused };
    } catch (error) {
      const isForeign = isBullaError(error, 'trust-invalid', 'content-invalid', 'not-found');
      if (!isForeign) throw error;
      refused.push(`${tag}: ${error.message}`);
    }
  }
  return { refused };
}

/** @returns undefined where the stage is of another kind */
async function readBeginning(
  target: TrustTarget,
  tag: Tag,
  read: ReadOptions,
): Promise<CollectionFiles | undefined> {
  const object = await openTrustObject(target, await target.fetchManifest(tag, read), read);
  if (object.kind !== 'stage' || !object.files.has('1.root.json')) return undefined;
  const { id } = await read.anchor(rootsOf(target, object, read));
  const files = await readFiles(target, object, read);
  const check = bindingCheck(id, read.isNamed);
  for (const file of [...files.roots, ...files.roles.values()]) {
    check(file);
    assertSignableFile(file);
  }
  const names = files.roles.get(NAMES_ROLE);
  if (names === undefined || files.roots.length !== 1) return undefined;
  const log = await fetchFile(target, logDescriptorOf(names), MAX_LOG_BYTES, read);
  return { id, files, logs: new Map([[NAMES_ROLE, log]]) };
}

async function readFiles(
  target: TrustTarget,
  object: TrustObject,
  read: ReadOptions,
): Promise<RepositoryFiles> {
  const files = new Map<string, Uint8Array>();
  for (const { role, version, descriptor } of roleFilesIn(object)) {
    const isOfBeginning = role === 'root' ? version === 1 : role === 'targets' || role === NAMES_ROLE;
    if (!isOfBeginning) continue;
    const bytes = await fetchFile(target, descriptor, DEFAULT_LIMITS.targetsBytes, read);
    files.set(metadataFileName(role, version), bytes);
  }
  return readRepositoryFiles(files);
}
