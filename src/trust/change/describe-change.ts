import { compareCodePoints } from '../../encoding/canonical.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../../encoding/json.ts';
import { formatTime } from '../../encoding/time.ts';
import { formatVersion } from '../../tuf/edit/policy.ts';
import { assertReadable, versionOf } from '../../tuf/edit/repository.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';
import { isTopLevelRole } from '../../tuf/role-name.ts';
import { parseSigned, SPEC_VERSION } from '../../tuf/signed.ts';
import { BINDING, type CollectionId } from '../format/binding.ts';
import { isBinName } from '../format/bins.ts';
import { certificateText } from './describe-certificates.ts';
import { delegationChanges, keyListChanges, rootRoleChanges } from './describe-keys.ts';
import { absent, isSame, jsonText, memberChange, objectOf, pathText, quoted } from './describe-values.ts';

/** What a new file of a role changes, in sentences, by what matters most to the person who is to sign it. */
export interface ToldChange {
  /** Role, versions and expiry. */
  readonly head: string;
  /** Who may sign, for how long, and whatever else there is. */
  readonly other: readonly string[];
  /** Names with another digest than before. */
  readonly moved: readonly string[];
  /** Names that are removed. */
  readonly removed: readonly string[];
  readonly added: readonly string[];
}

/** Most new names that are told one by one where not all are asked for. */
const MAX_NEW = 100;
/** From so many names on, they are counted first. */
const COUNTED = 10;

/**
 * What a new file of a role changes, for the person who is to sign it, worked out from the files alone
 * (spec/trust-roles.md, "What is shown"). It is total over the format: every member that differs is told, so that
 * beside one present file no two new ones read the same.
 * @param before the role's present file; left out for a role that begins
 * @param id of the collection, where the file's binding to it was checked, so that it need not be told
 * @throws BullaError content-invalid if it is not a file of its role
 */
export function tellChange(
  before: MetadataFile | undefined,
  after: MetadataFile,
  id?: CollectionId,
): ToldChange {
  assertReadable(after);
  const names = nameChanges(before, after);
  const other = [...otherChanges(before, after, id)];
  const isNothing = other.length + names.moved.length + names.removed.length + names.added.length === 0;
  const isWithoutNames = before === undefined && after.role !== 'root' && names.added.length === 0;
  return {
    head: headOf(before, after),
    other: [
      ...(isWithoutNames ? ['begins, without a name'] : []),
      ...(isNothing && before !== undefined ? ['same content'] : []),
      ...other,
    ],
    ...names,
  };
}

/** All of {@link tellChange} as lines, or, where not everything is asked for, all but very many new names. */
export function linesOf(told: ToldChange, isShort = false): readonly string[] {
  const { head, other, moved, removed, added } = told;
  const shown = isShort ? added.slice(0, MAX_NEW) : added;
  const left = added.length - shown.length;
  const count = moved.length + removed.length + added.length;
  const lines = [
    ...other,
    ...(count >= COUNTED
      ? [
          `${moved.length} names move to another digest, ${removed.length} are removed, ${added.length} are new`,
        ]
      : []),
    ...moved,
    ...removed,
    ...shown,
    ...(left > 0 ? [`and ${left} more new names, which are not shown here: --all shows them`] : []),
  ];
  return [head, ...lines.map((line) => `  ${line}`)];
}

/** {@link tellChange} as lines, complete. */
export function describeChange(
  before: MetadataFile | undefined,
  after: MetadataFile,
  id?: CollectionId,
): readonly string[] {
  return linesOf(tellChange(before, after, id));
}

function headOf(before: MetadataFile | undefined, after: MetadataFile): string {
  const { role } = after;
  const type = role === 'root' || role === 'snapshot' || role === 'timestamp' ? role : 'targets';
  const { expires } = parseSigned(after, type).signed;
  const versions = [before, after].flatMap((file) =>
    file === undefined ? [] : [formatVersion(versionOf(file))],
  );
  const written = after.signed['expires'];
  const until = written === formatTime(expires) ? written : jsonText(written ?? null);
  return `${quoted(role)} ${versions.join(' → ')}, until ${until}`;
}

/** Members that {@link headOf} and {@link nameChanges} tell. */
const TOLD_ELSEWHERE: ReadonlySet<string> = new Set(['_type', 'expires', 'targets', 'version']);

function* otherChanges(
  before: MetadataFile | undefined,
  after: MetadataFile,
  id: CollectionId | undefined,
): Generator<string> {
  const [old, next] = [before?.signed ?? absent(), after.signed];
  for (const member of membersOf(old, next)) {
    if (TOLD_ELSEWHERE.has(member) && !(member === 'targets' && after.role === 'root')) continue;
    const isUsual = member === 'spec_version' && before === undefined && next[member] === SPEC_VERSION;
    if (!isUsual) yield* oneChange(member, before, after, id);
  }
}

function* oneChange(
  member: string,
  before: MetadataFile | undefined,
  after: MetadataFile,
  id: CollectionId | undefined,
): Generator<string> {
  const [old, next] = [before?.signed ?? absent(), after.signed];
  const [from, to] = [old[member], next[member]];
  if (member === BINDING && to === undefined) return yield `${BINDING} is missing`;
  const key = isJsonObject(to) ? `${after.role === 'root' ? 'root' : 'role'} ${member}` : '';
  switch (key) {
    case 'root roles':
      return yield* rootRoleChanges(old, next);
    case 'root keys':
      return yield* keyListChanges(old, next, rolesIn(old), rolesIn(next));
    case 'role delegations':
      return yield* delegationChanges(isJsonObject(from) ? from : undefined, to as JsonObject);
    case `root ${BINDING}`:
    case `role ${BINDING}`:
      return yield* bindingChanges(before, after, id, objectOf(from), to as JsonObject);
    default:
      return yield* memberChange(pathText(member), from, to);
  }
}

/** Roles first, because they say of whom a key is. */
function membersOf(old: JsonObject, next: JsonObject): readonly string[] {
  const all = [...new Set([...Object.keys(old), ...Object.keys(next), BINDING])];
  const place = (member: string): number => (member === 'roles' ? 0 : member === 'keys' ? 1 : 2);
  return all.sort((a, b) => place(a) - place(b) || compareCodePoints(a, b));
}

function rolesIn({ roles }: JsonObject): readonly JsonObject[] {
  return Object.values(objectOf(roles)).filter((role) => isJsonObject(role));
}

function* bindingChanges(
  before: MetadataFile | undefined,
  after: MetadataFile,
  id: CollectionId | undefined,
  old: JsonObject,
  next: JsonObject,
): Generator<string> {
  const expected = expectedMembers(before, after, id);
  const members = new Set([...Object.keys(old), ...Object.keys(next), ...expected.keys()]);
  for (const member of [...members].sort(compareCodePoints)) {
    const [from, to] = [old[member], next[member]];
    const path = pathText(BINDING, member);
    if (expected.has(member)) {
      // What could be nothing else is not told, and whatever it is instead always is.
      if (to !== expected.get(member))
        yield to === undefined ? `${path} is missing` : `${path} is ${jsonText(to)}`;
    } else if (member === 'certificates') yield* byName(path, from, to, certificateText);
    else if (member === 'lifetimes') yield* byName(path, from, to, lifetimeText);
    else if (member === 'log') yield* logChange(path, from, to);
    else yield* memberChange(path, from, to);
  }
}

/** What a file says of itself that follows from the rest. */
function expectedMembers(
  before: MetadataFile | undefined,
  { role, signed }: MetadataFile,
  id: CollectionId | undefined,
): ReadonlyMap<string, JsonValue> {
  const expected = new Map<string, JsonValue>();
  // The first root cannot hold its own hash.
  if (id !== undefined && (role !== 'root' || before !== undefined)) expected.set('root', id);
  if (role === 'root') return expected;
  expected.set('role', role);
  // On which version of itself targets was made.
  if (role === 'targets' && before !== undefined) expected.set('after', versionOf(before));
  const isNaming = !isTopLevelRole(role) && !isBinName(role);
  if (isNaming && objectOf(signed['delegations'])['succinct_roles'] === undefined)
    expected.set('names', Object.keys(objectOf(signed['targets'])).length);
  return expected;
}

/** Members of an object that is only a list by external names; shown whole if it is not one. */
function* byName(
  path: string,
  from: JsonValue | undefined,
  to: JsonValue | undefined,
  text: (name: string, value: JsonValue | undefined) => string,
): Generator<string> {
  const [old, next] = [objectOf(from), objectOf(to)];
  if (to !== undefined && (!isJsonObject(to) || Object.keys(to).length === 0))
    yield* memberChange(path, undefined, to);
  for (const name of new Set([...Object.keys(old), ...Object.keys(next)]))
    if (!isSame(old[name], next[name])) yield text(name, next[name]);
}

function lifetimeText(role: string, value: JsonValue | undefined): string {
  const time =
    value === undefined
      ? 'as long as by default'
      : `for ${typeof value === 'number' ? `${value} s` : jsonText(value)}`;
  return `files of ${quoted(role)} are signed ${time}`;
}

function* logChange(path: string, from: JsonValue | undefined, to: JsonValue | undefined): Generator<string> {
  if (isSame(from, to)) return;
  const { sha256, length, ...rest } = objectOf(to);
  const isPlain =
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256) &&
    typeof length === 'number' &&
    Object.keys(rest).length === 0;
  if (isPlain) yield `its list of changes is sha256:${sha256} (${length} bytes)`;
  else yield* memberChange(path, from, to);
}

function nameChanges(
  before: MetadataFile | undefined,
  after: MetadataFile,
): Pick<ToldChange, 'moved' | 'removed' | 'added'> {
  const [old, next] = [objectOf(before?.signed['targets']), objectOf(after.signed['targets'])];
  const [moved, removed, added]: [string[], string[], string[]] = [[], [], []];
  for (const name of [...new Set([...Object.keys(old), ...Object.keys(next)])].sort(compareCodePoints)) {
    const [from, to] = [old[name], next[name]];
    if (isSame(from, to)) continue;
    if (to === undefined)
      removed.push(`${quoted(name)} is removed (it was ${contentText(from as JsonValue)})`);
    else if (from === undefined) added.push(`${quoted(name)} is ${contentText(to)}`);
    else moved.push(`${quoted(name)} is ${contentText(to)}, before ${contentText(from)}`);
  }
  return { moved, removed, added };
}

/** All that is signed about a name: its digest in the OCI's spelling, and whatever else there is. */
function contentText(entry: JsonValue): string {
  const { hashes, length, ...rest } = objectOf(entry);
  const { sha256, ...others } = objectOf(hashes);
  const isDigest = typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256);
  if (!isDigest || typeof length !== 'number' || Object.keys(others).length > 0) return jsonText(entry);
  const more = Object.keys(rest).length === 0 ? '' : ` ${jsonText(rest)}`;
  return `sha256:${sha256} (${length} bytes)${more}`;
}
