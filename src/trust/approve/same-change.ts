import { decodeUtf8 } from '../../encoding/bytes.ts';
import { canonicalOlpc } from '../../encoding/canonical.ts';
import { isJsonObject, type JsonObject } from '../../encoding/json.ts';
import { parseTime } from '../../encoding/time.ts';
import { publishedVersion, versionOf } from '../../tuf/edit/repository.ts';
import { SKEW_MS, targetsMade } from '../change/log-start.ts';
import { BINDING } from '../format/binding.ts';
import { lifetimeIn } from '../format/lifetimes.ts';
import { LOG_KEPT_MS, parseLog } from '../format/log.ts';
import { leavesVersions } from '../format/versions.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import type { PendingChange } from './pending-change.ts';
import type { StagedChange } from './stage-change.ts';
import type { StagedNames } from './staged-names.ts';

/** How long ago what is joined may have been signed first, in milliseconds: stages stay as long. */
const JOINED_AGE_MS: number = 30 * LOG_KEPT_MS;
/** By how much the time of a file and that of its log may differ for rounding, in milliseconds. */
const ROUNDING_MS = 2000;

/**
 * The waiting change that says the same as one's own, made on the same state; of several the one that has most
 * signatures. Versions are drawn and times pass, so that two people who give the same command never sign the same
 * bytes: the second signs what waits instead.
 */
export function findSameChange(
  staged: readonly StagedChange[],
  own: PendingChange,
  now: Date,
): StagedChange | undefined {
  const signatures = ({ change }: StagedChange): number =>
    change.progress().reduce((sum, { valid }) => sum + valid.length, 0);
  return staged
    .filter(({ change }) => isSameChange(change, own, now))
    .toSorted((a, b) => signatures(b) - signatures(a) || (a.id < b.id ? -1 : 1))[0];
}

/**
 * Whether signing a waiting change means what signing one's own means (spec/trust-roles.md, "The same change twice").
 * Both must be verified, and made on one state. All is compared but what differs whenever a change is made
 * again: the version, which was checked for its height, the expiry, and the beginning of a new log; those must be
 * what the same command would have made at some time since the state was published, 30 days ago at most.
 */
export function isSameChange(waiting: PendingChange, own: PendingChange, now: Date): boolean {
  if (waiting.change.id !== own.change.id || waiting.roles.length !== own.roles.length) return false;
  const earliest = Math.max(targetsMade(own.base).getTime() - SKEW_MS, now.getTime() - JOINED_AGE_MS);
  return own.roles.every((role) => {
    if (!waiting.roles.includes(role)) return false;
    const [file, ownFile] = [waiting.after(role), own.after(role)];
    if (essenceOf(role, file.signed) !== essenceOf(role, ownFile.signed)) return false;
    const signed = waiting.signedAtOf(role).getTime();
    if (signed < earliest || signed > now.getTime() + SKEW_MS) return false;
    return isSameLog(waiting, own, role);
  });
}

/**
 * Whether a waiting change of names is what an honest publisher would have made in the last 30 days, whatever it
 * changes: then a publisher who wants the same may sign it unseen (spec/trust-publishing.md, "The same change twice").
 * That its files say what its log says was verified when it was read.
 */
export function isJoinable(
  { entries, files, isCurrent }: StagedNames,
  copy: WorkingCopy,
  now: Date,
): boolean {
  const [earliest, latest] = [now.getTime() - JOINED_AGE_MS, now.getTime() + SKEW_MS];
  const isTimely = (time: number): boolean => time >= earliest && time <= latest;
  const [root, targets] = [copy.files.roots.at(-1)?.signed, copy.files.roles.get('targets')?.signed];
  const signers = new Set(files[0].progress().flatMap(({ valid }) => valid));
  return (
    isCurrent &&
    files.every(({ role, signed, file }) => {
      const expires = parseTime(String(signed['expires']))?.getTime() ?? 0;
      const published = publishedVersion(copy.files, role);
      return (
        isTimely(expires - lifetimeIn(role, root, targets)) && leavesVersions(versionOf(file), published)
      );
    }) &&
    // Its author must have signed it: a name is not put into the log of a key that knows nothing of it.
    entries.every(({ at, by }) => isTimely(at.getTime()) && (by === undefined || signers.has(by)))
  );
}

/** What a file says, but for what differs each time it is made; which log a role that is there has, was verified. */
function essenceOf(role: string, signed: JsonObject): string {
  const { version, expires: _, [BINDING]: binding, ...rest } = signed;
  const { log: __, ...bound } = isJsonObject(binding) ? binding : {};
  return decodeUtf8(canonicalOlpc({ ...rest, ...(role === 'root' && { version }), [BINDING]: bound }), role);
}

/** Only new roles bring a log: it begins as long after the signing as one's own does. */
function isSameLog(waiting: PendingChange, own: PendingChange, role: string): boolean {
  const offsets = [waiting, own].map((change) => {
    const log = change.change.logs.get(role);
    return log && parseLog(log, role).since.getTime() - change.signedAtOf(role).getTime();
  });
  const [first, second] = offsets;
  if (first === undefined || second === undefined) return first === second;
  return Math.abs(first - second) <= ROUNDING_MS;
}
