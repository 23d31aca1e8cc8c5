import { BullaError, isBullaError } from '../errors.ts';
import type { Tag } from '../oci/reference.ts';
import type { CallOptions } from '../oci/target.ts';
import { publishedVersion, versionOf, writeRepositoryFiles } from '../tuf/edit/repository.ts';
import { DEFAULT_LIMITS } from '../tuf/limits.ts';
import { decodeRoleName, metadataFileName } from '../tuf/role-name.ts';
import { pushObject } from './announce.ts';
import { assembleStage } from './assemble.ts';
import type { ChangeFile } from './change-file.ts';
import { MAX_LOG_BYTES } from './log.ts';
import { fetchFile, openTrustObject, type TrustObject } from './object.ts';
import { PendingChange } from './pending-change.ts';
import type { TrustTarget } from './ports.ts';
import { kindOfTag, stageTag } from './vocabulary.ts';
import type { WorkingCopy } from './working-copy.ts';

/** Most files that a staged change of roles and keys may have. */
const MAX_FILES = 1000;
const FILE_NAME = /^([1-9][0-9]{0,15})\.([^/]+)\.json$/;

/** A change of roles or keys that waits beside the head. */
export interface StagedChange {
  /** {@link PendingChange.digest} */
  readonly id: string;
  readonly tags: readonly Tag[];
  readonly change: PendingChange;
}

export interface StagedReadOptions extends CallOptions {
  /** Told why a stage that changes roles or keys is left aside. */
  readonly onRefused?: (tag: Tag, why: BullaError) => void;
}

/**
 * Puts a change of roles or keys beside the head, for other signatures or for whoever has the online key.
 * @returns the tag @throws BullaError what the target throws
 */
export async function stageChange(
  target: TrustTarget,
  change: PendingChange,
  options: CallOptions = {},
): Promise<Tag> {
  const files = new Map(
    change.roles.map((role) => {
      const file = change.after(role);
      return [metadataFileName(role, versionOf(file)), file.bytes] as const;
    }),
  );
  const assembly = assembleStage({ files, logs: change.change.logs });
  const tag = stageTag(assembly.top.descriptor.digest);
  await pushObject(target, assembly, tag, new Set(), options);
  return tag;
}

/**
 * Changes of roles and keys among the stages beside a head, made for exactly that head's root and targets,
 * signatures of several copies pooled. What is no such change is left aside.
 * @param tags of stages, as they were listed
 * @throws BullaError what the target throws
 */
export async function readStagedChanges(
  target: TrustTarget,
  copy: WorkingCopy,
  tags: Iterable<Tag>,
  now: Date,
  options: StagedReadOptions = {},
): Promise<readonly StagedChange[]> {
  const found = new Map<string, { readonly tags: Tag[]; readonly change: PendingChange }>();
  for (const tag of tags) {
    if (kindOfTag(tag) !== 'stage') continue;
    const change = await readStagedChange(target, copy, tag, now, options);
    if (change === undefined) continue;
    const id = change.digest;
    const known = found.get(id);
    if (known === undefined) found.set(id, { tags: [tag], change });
    else {
      known.change.pool(change.toFile());
      known.tags.push(tag);
    }
  }
  return [...found].map(([id, { tags: of, change }]) => ({ id, tags: of, change }));
}

async function readStagedChange(
  target: TrustTarget,
  copy: WorkingCopy,
  tag: Tag,
  now: Date,
  options: StagedReadOptions,
): Promise<PendingChange | undefined> {
  try {
    const content = await target.fetchManifest(tag, options);
    const object = await openTrustObject(target, content, options);
    if (object.kind !== 'stage' || !isStructural(object, copy)) return undefined;
    return PendingChange.open(await changeIn(target, copy, object, now, options), now);
  } catch (error) {
    // Anybody who may push can put anything there.
    const isForeign = isBullaError(error, 'trust-invalid', 'trust-rollback', 'content-invalid', 'usage');
    if (!isForeign && !isBullaError(error, 'not-found', 'signature-mismatch', 'key-invalid')) throw error;
    options.onRefused?.(tag, error);
    return undefined;
  }
}

/** Whether it holds a root or targets that the head has not. */
export function isStructural(object: TrustObject, { files }: WorkingCopy): boolean {
  return [...object.files.keys()].some((name) => {
    const [, version, role] = FILE_NAME.exec(name) ?? [];
    return (role === 'root' || role === 'targets') && Number(version) > publishedVersion(files, role);
  });
}

async function changeIn(
  target: TrustTarget,
  copy: WorkingCopy,
  object: TrustObject,
  now: Date,
  options: CallOptions,
): Promise<ChangeFile> {
  if (object.files.size > MAX_FILES)
    throw new BullaError('content-invalid', `a staged change has ${object.files.size} files`, {
      hint: `no honest change of roles has more than ${MAX_FILES}`,
    });
  const [files, logs] = [new Map<string, Uint8Array>(), new Map<string, Uint8Array>()];
  for (const [name, descriptor] of object.files) {
    const role = decodeRoleName(FILE_NAME.exec(name)?.[2] ?? '');
    if (role !== undefined)
      files.set(role, await fetchFile(target, descriptor, DEFAULT_LIMITS.targetsBytes, options));
  }
  for (const [role, descriptor] of object.logs)
    if (files.has(role)) logs.set(role, await fetchFile(target, descriptor, MAX_LOG_BYTES, options));
  const { id, name, place } = copy.collection;
  const { roots, roles } = copy.files;
  const base = new Map([...roles].filter(([role]) => role === 'targets' || files.has(role)));
  return {
    ...{ collection: name, place, id, made: now, summary: [] },
    base: writeRepositoryFiles({ roots, roles: base }),
    ...{ files, logs },
  };
}
