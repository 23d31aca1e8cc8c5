import { BullaError, isBullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import { Keyring } from '../../tuf/edit/demands.ts';
import { versionOf, withFiles, writeRepositoryFiles } from '../../tuf/edit/repository.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { parseMetadataFile } from '../../tuf/metadata-file.ts';
import { metadataFileName } from '../../tuf/role-name.ts';
import { countSignatures } from '../../tuf/threshold.ts';
import { assembleStage } from '../format/assemble.ts';
import { MAX_LOG_BYTES } from '../format/log.ts';
import { fetchFile, type TrustObject } from '../format/object.ts';
import type { TrustTarget } from '../format/ports.ts';
import { pushObject } from '../format/push.ts';
import { roleFilesIn } from '../format/role-files.ts';
import { stageTag } from '../format/vocabulary.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import { type ChangeFile, MAX_CHANGE_BYTES } from './change-file.ts';
import { PendingChange } from './pending-change.ts';

/** Most files that a staged change of roles and keys may have. */
const MAX_FILES = 1000;
/** Most bytes of such changes that are read at a time if they have no valid signature. */
const MAX_UNSIGNED_BYTES = 32 * 1024 * 1024;

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
 * Puts a change of roles or keys beside the head, for other signatures or for a publisher with the online key.
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
 * signatures of several copies pooled. Other objects are left alone.
 * @param objects stages, as they were read or are yet to be
 * @throws BullaError what the target throws
 */
export async function readStagedChanges(
  target: TrustTarget,
  copy: WorkingCopy,
  objects: ReadonlyMap<Tag, TrustObject>,
  now: Date,
  options: StagedReadOptions = {},
): Promise<readonly StagedChange[]> {
  const found = new Map<string, { readonly tags: Tag[]; readonly change: PendingChange }>();
  const budget = { left: MAX_UNSIGNED_BYTES };
  for (const [tag, object] of objects) {
    const change = await readStagedChange(target, copy, tag, object, now, budget, options);
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

/** What may still be read of changes without a valid signature. */
interface Budget {
  left: number;
}

async function readStagedChange(
  target: TrustTarget,
  copy: WorkingCopy,
  tag: Tag,
  object: TrustObject,
  now: Date,
  budget: Budget,
  options: StagedReadOptions,
): Promise<PendingChange | undefined> {
  try {
    return PendingChange.open(await changeIn(target, copy, object, now, budget, options), now);
  } catch (error) {
    // Any account with push permission can put anything there.
    const isForeign = isBullaError(error, 'trust-invalid', 'trust-rollback', 'content-invalid', 'usage');
    if (!isForeign && !isBullaError(error, 'not-found', 'signature-mismatch', 'key-invalid')) throw error;
    options.onRefused?.(tag, error);
    return undefined;
  }
}

async function changeIn(
  target: TrustTarget,
  copy: WorkingCopy,
  object: TrustObject,
  now: Date,
  budget: Budget,
  options: CallOptions,
): Promise<ChangeFile> {
  if (object.files.size > MAX_FILES)
    throw new BullaError('content-invalid', `a staged change has ${object.files.size} files`, {
      hint: `no honest change of roles has more than ${MAX_FILES}`,
    });
  const parts = new Map<string, Descriptor>();
  for (const { role, descriptor } of roleFilesIn(object)) parts.set(role, descriptor);
  const files = new Map<string, Uint8Array>();
  const fetch = async (role: string, descriptor: Descriptor): Promise<void> => {
    files.set(role, await fetchFile(target, descriptor, DEFAULT_LIMITS.targetsBytes, options));
  };
  const first = [...parts].filter(([role]) => role === 'root' || role === 'targets');
  const logs = new Map([...object.logs].filter(([role]) => parts.has(role)));
  const size = (all: Iterable<Descriptor>): number => [...all].reduce((sum, part) => sum + part.size, 0);
  // Who may not sign must not make the others read very much.
  spend(budget, size(first.map(([, descriptor]) => descriptor)));
  for (const [role, descriptor] of first) await fetch(role, descriptor);
  const rest = size(parts.values()) + size(logs.values());
  if (!isBegun(copy, files)) spend(budget, rest);
  else if (rest > MAX_CHANGE_BYTES) throw tooMuch(rest);
  for (const [role, descriptor] of parts) if (!files.has(role)) await fetch(role, descriptor);
  const logBytes = new Map<string, Uint8Array>();
  for (const [role, descriptor] of logs)
    logBytes.set(role, await fetchFile(target, descriptor, MAX_LOG_BYTES, options));
  const { id, name, place } = copy.collection;
  const { roots, roles } = copy.files;
  const base = new Map([...roles].filter(([role]) => role === 'targets' || files.has(role)));
  return {
    ...{ collection: name, place, id, made: now, summary: [] },
    base: writeRepositoryFiles({ roots, roles: base }),
    ...{ files, logs: logBytes },
  };
}

/** Whether root and targets of a change each have a signature of a key that may sign them. */
function isBegun({ files }: WorkingCopy, parts: ReadonlyMap<string, Uint8Array>): boolean {
  const made = [...parts].map(([role, bytes]) => parseMetadataFile(bytes, role, DEFAULT_LIMITS.targetsBytes));
  const [before, after] = [new Keyring(files), new Keyring(withFiles(files, made))];
  return made.every((file) =>
    (file.role === 'root' ? before : after)
      .demandsOn(file.role)
      .some(({ keys, role }) => countSignatures(file, keys, role).valid.length > 0),
  );
}

function spend(budget: Budget, bytes: number): void {
  budget.left -= bytes;
  if (budget.left < 0) throw tooMuch(bytes);
}

function tooMuch(bytes: number): BullaError {
  return new BullaError('content-invalid', `a staged change of roles has ${bytes} bytes`, {
    hint: 'a large change must be signed before it is staged; if this is a flood, remove it with the registry',
    details: { reason: 'budget' },
  });
}
