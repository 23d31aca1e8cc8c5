import { isBullaError } from '../../errors.ts';
import { publishedVersion, versionOf } from '../../tuf/edit/repository.ts';
import { metadataFileName } from '../../tuf/role-name.ts';
import type { FoldedList } from '../format/folded.ts';
import type { ChangeLog } from '../format/log.ts';
import { hasNewerTrust, roleFilesIn } from '../format/role-files.ts';
import { HIGHEST_FOLLOWED } from '../format/versions.ts';
import { isOwnTag } from '../format/vocabulary.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import type { FoundSiblings, Sibling } from './siblings.ts';

/** A head that is being made. */
export interface HeadInTheMaking {
  /** What it is made from. */
  readonly copy: WorkingCopy;
  /** Roles whose files are signed anew, with versions above all that siblings have. */
  readonly signed: ReadonlySet<string>;
  /** The log of a role as the new head will have it. */
  log(role: string): Promise<ChangeLog>;
}

/** When an object was made, by what is signed in it: a candidate's timestamp, the newest change of a stage. */
export function madeAt({ kind, timestamp, roles, partial }: Sibling): Date | undefined {
  if (kind === 'candidate') return timestamp?.created;
  const times = [...roles.values(), ...partial.values()].flatMap(({ log }) =>
    log.entries.map(({ at }) => at),
  );
  return times.length === 0 ? undefined : new Date(Math.max(...times.map((at) => at.getTime())));
}

/**
 * Whether logs hold every change of a sibling, and it has no root or delegations that the head lacks: those
 * that never came into a head are for people to look at.
 */
export async function isHeld(
  copy: WorkingCopy,
  { roles, partial, object }: Sibling,
  logOf: (role: string) => Promise<ChangeLog> = (role) => copy.log(role),
): Promise<boolean> {
  for (const { role, log } of [...roles.values(), ...partial.values()]) {
    const present = await readable(logOf(role));
    if (present === undefined) return false;
    const held = new Set(present.entries.map(({ id }) => id));
    if (log.entries.some(({ id }) => !held.has(id))) return false;
  }
  return !hasNewerTrust(object, copy.files);
}

/** Undefined where the head's log cannot be read: then nothing is known to be held. */
async function readable(reading: Promise<ChangeLog>): Promise<ChangeLog | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (isBullaError(error, 'content-invalid', 'trust-invalid', 'not-found')) return undefined;
    throw error;
  }
}

/**
 * What need not be read again beside a new head (spec/trust-publishing.md, "What was folded"): what its base
 * says already, as far as it is still listed, and siblings that bring nothing more.
 */
export async function listFolded(
  made: HeadInTheMaking,
  found: FoundSiblings,
  now: Date,
): Promise<FoldedList> {
  const list = new Map(found.folded);
  for (const sibling of found.siblings) {
    // A stage without changes of names does not say when it was made.
    const at = madeAt(sibling) ?? (sibling.kind === 'stage' ? now : undefined);
    // A borrowed tag may lead to another object tomorrow, which would then not be read.
    if (!isOwnTag(sibling.tag, sibling.digest)) continue;
    if (at !== undefined && (await bringsNothing(made, sibling))) list.set(sibling.tag, at);
  }
  return list;
}

/** Also nothing that must be known for other reasons than changes: higher versions, another root of one version. */
async function bringsNothing(made: HeadInTheMaking, sibling: Sibling): Promise<boolean> {
  const { isWhole, isTakenIn, timestamp, roles, object } = sibling;
  if (isTakenIn === true) return true;
  const { files, collection } = made.copy;
  if (!isWhole || (timestamp?.version ?? 0) > HIGHEST_FOLLOWED) return false;
  for (const [role, { file }] of roles)
    if (versionOf(file) > publishedVersion(files, role) && !made.signed.has(role)) return false;
  for (const { role, version, descriptor } of roleFilesIn(object)) {
    const isTold = role === 'root' || (role === 'targets' && version === publishedVersion(files, 'targets'));
    const present = collection.object.files.get(metadataFileName(role, version))?.digest;
    if (isTold && descriptor.digest !== present) return false;
  }
  return await isHeld(made.copy, sibling, (role) => made.log(role));
}
