import { type BullaError, isBullaError } from '../../errors.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import { delegationOf } from '../../tuf/delegations.ts';
import { publishedVersion, versionOf } from '../../tuf/edit/repository.ts';
import type { StagedChange } from '../approve/stage-change.ts';
import type { FoundSiblings, RefusedSibling, Sibling } from '../candidates/siblings.ts';
import { type FoldConflict, planFold } from '../change/fold.ts';
import type { LogEntry } from '../format/log.ts';
import { assertSignableFile } from '../format/signable.ts';
import { NAMES_ROLE } from '../format/vocabulary.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import { type ExpiryState, expiryState } from './expiry.ts';
import { readBins } from './listing.ts';
import { type CollectionOverview, overviewOf } from './overview.ts';

/** How long a role still counts. */
export interface RoleStatus {
  readonly role: string;
  /** Of a role with bins, of that which expires first, where the bins were read. */
  readonly expires: Date;
  readonly state: ExpiryState;
}

/** A fact about a collection that users should know, or act on. */
export type StatusFinding =
  | { readonly kind: 'expiry'; readonly role: RoleStatus }
  /** A finished change that lies beside the head, and is not in it yet. */
  | { readonly kind: 'waiting'; readonly role: string; readonly entry: LogEntry; readonly tag: Tag }
  /** A change that lacks signatures. */
  | {
      readonly kind: 'unsigned';
      readonly role: string;
      readonly entries: readonly LogEntry[];
      readonly tag: Tag;
      readonly signatures: number;
      readonly threshold: number;
    }
  /** A change of roles or keys that waits for signatures, or for the online key. */
  | { readonly kind: 'structure'; readonly staged: StagedChange; readonly isSigned: boolean }
  | { readonly kind: 'conflict'; readonly role: string; readonly conflict: FoldConflict; readonly tag: Tag }
  /** A candidate newer than the head: its publisher is at work, has died, or was overtaken. */
  | { readonly kind: 'newer'; readonly tag: Tag; readonly created: Date | undefined }
  /** A log of the head that cannot be read, so that its role cannot be changed. */
  | { readonly kind: 'broken'; readonly role: string; readonly problem: BullaError }
  /** A file of the head that must not be signed again unchanged. */
  | { readonly kind: 'unsignable'; readonly role: string; readonly problem: BullaError }
  /** Something at a tag of the collection that is nothing of it. */
  | { readonly kind: 'foreign'; readonly refused: RefusedSibling };

export interface CollectionStatus {
  readonly overview: CollectionOverview;
  readonly roles: readonly RoleStatus[];
  readonly findings: readonly StatusFinding[];
  /** Whether all that lies beside the head was looked at. */
  readonly isComplete: boolean;
}

/** What lies beside a head. */
export interface Beside {
  readonly found: FoundSiblings;
  /** Changes of roles and keys among the stages. */
  readonly staged: readonly StagedChange[];
}

export interface StatusOptions extends CallOptions {
  readonly now: Date;
  /** Milliseconds before its expiry from which on a role is reported; by default as `warningTime` says. */
  readonly warnBefore?: number | undefined;
  /** Read every bin, to know which expires first. */
  readonly bins: boolean;
}

/**
 * What is to be known about a collection: what expires, what waits, what is in conflict.
 * @param beside what lies beside the head; left out where it could not be listed
 * @throws BullaError trust-invalid, content-invalid; what the source throws
 */
export async function statusOf(
  copy: WorkingCopy,
  beside: Beside | undefined,
  options: StatusOptions,
): Promise<CollectionStatus> {
  const { found, staged = [] } = beside ?? {};
  const overview = overviewOf(copy);
  const earliestBin = options.bins ? await firstExpiryOfBins(copy, options) : undefined;
  const roles = overview.roles.map(({ role, expires }): RoleStatus => {
    const first =
      role === NAMES_ROLE && earliestBin !== undefined && earliestBin < expires ? earliestBin : expires;
    return { role, expires: first, state: expiryState(role, first, options.now, options.warnBefore) };
  });
  const findings: StatusFinding[] = roles
    .filter(({ state }) => state !== 'fine')
    .map((role) => ({ kind: 'expiry', role }));
  for (const { name: role } of copy.delegations.roles) {
    const log = await copy.readableLog(role);
    if (!('entries' in log)) findings.push({ kind: 'broken', role, problem: log });
  }
  findings.push(...unsignableFiles(copy));
  for (const { name } of copy.delegations.roles)
    findings.push(...(await roleFindings(copy, found?.siblings ?? [], name)));
  for (const one of staged)
    findings.push({ kind: 'structure', staged: one, isSigned: one.change.missing().length === 0 });
  findings.push(...newerCandidates(copy, found?.siblings ?? []));
  const known = new Set(staged.flatMap(({ tags }) => tags));
  for (const refused of found?.refused ?? [])
    if (!known.has(refused.tag)) findings.push({ kind: 'foreign', refused });
  return { overview, roles, findings, isComplete: found?.isComplete ?? false };
}

function unsignableFiles({ files }: WorkingCopy): readonly StatusFinding[] {
  return [...files.roots.slice(-1), ...files.roles.values()].flatMap((file): readonly StatusFinding[] => {
    try {
      assertSignableFile(file);
      return [];
    } catch (problem) {
      if (!isBullaError(problem, 'trust-invalid')) throw problem;
      return [{ kind: 'unsignable', role: file.role, problem }];
    }
  });
}

async function firstExpiryOfBins(copy: WorkingCopy, options: CallOptions): Promise<Date | undefined> {
  let first: Date | undefined;
  for await (const [, { content }] of readBins(copy, options))
    if (first === undefined || content.expires < first) first = content.expires;
  return first;
}

/** What siblings say about a role that its head does not; each change once. */
async function roleFindings(
  copy: WorkingCopy,
  siblings: readonly Sibling[],
  role: string,
): Promise<readonly StatusFinding[]> {
  const offering = siblings.filter(({ roles, partial }) => roles.has(role) || partial.has(role));
  if (offering.length === 0) return [];
  const log = await copy.readableLog(role);
  if (!('entries' in log)) return [];
  const waiting = new Map<string, StatusFinding>();
  const conflicts = new Map<string, StatusFinding>();
  const unsigned: StatusFinding[] = [];
  for (const { roles, partial, tag } of offering) {
    const offered = roles.get(role);
    if (offered !== undefined) {
      const { apply, conflicts: against } = planFold(log, offered.log);
      for (const entry of apply) waiting.set(entry.id, { kind: 'waiting', role, entry, tag });
      for (const conflict of against)
        conflicts.set(conflict.entry.id, { kind: 'conflict', role, conflict, tag });
    }
    const lacking = partial.get(role);
    if (lacking === undefined) continue;
    const known = new Set(log.entries.map(({ id }) => id));
    const entries = lacking.log.entries.filter(({ id }) => !known.has(id));
    // What the head has needs no signature any more; a renewal, which changes no name, is newer.
    if (entries.length === 0 && versionOf(lacking.file) <= publishedVersion(copy.files, role)) continue;
    unsigned.push({
      kind: 'unsigned',
      role,
      entries,
      tag,
      signatures: lacking.valid.length,
      threshold: delegationOf(copy.delegations, role)?.threshold ?? 1,
    });
  }
  // What one sibling can be folded from need not be told as another's conflict.
  for (const id of waiting.keys()) conflicts.delete(id);
  return [...waiting.values(), ...conflicts.values(), ...unsigned];
}

function newerCandidates(copy: WorkingCopy, siblings: readonly Sibling[]): readonly StatusFinding[] {
  const { version } = copy.collection.client.trusted.timestamp.content;
  return siblings.flatMap(({ tag, timestamp }) =>
    timestamp !== undefined && timestamp.version > version
      ? [{ kind: 'newer', tag, created: timestamp.created } as const]
      : [],
  );
}
