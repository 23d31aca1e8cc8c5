import { subjectOf } from '../crypto/certificate.ts';
import { canonicalOlpc } from '../encoding/canonical.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../encoding/json.ts';
import { formatTime } from '../encoding/time.ts';
import { isBullaError } from '../errors.ts';
import type { RoleKeys } from '../tuf/delegation-keys.ts';
import { parseDelegations } from '../tuf/delegations.ts';
import { formatVersion } from '../tuf/edit/policy.ts';
import { versionOf } from '../tuf/edit/repository.ts';
import { Fields } from '../tuf/fields.ts';
import type { MetadataFile } from '../tuf/metadata-file.ts';
import { parseRoot } from '../tuf/root.ts';
import { parseSigned } from '../tuf/signed.ts';
import { BINDING } from './binding.ts';
import { certificatesOf } from './certified-root.ts';

/** Most names that are told one by one. */
const MAX_NAMES = 50;

/**
 * What a new file of a role changes, in sentences for whoever is to sign it; worked out from the files
 * alone. Nothing that differs is left out: what has no words of its own is named by its member.
 * @param before the role's present file; left out for a role that begins
 */
export function describeChange(before: MetadataFile | undefined, after: MetadataFile): readonly string[] {
  const { role } = after;
  const type = role === 'root' || role === 'snapshot' || role === 'timestamp' ? role : 'targets';
  const { expires } = parseSigned(after, type).signed;
  const versions = [before, after].flatMap((file) =>
    file === undefined ? [] : [formatVersion(versionOf(file))],
  );
  const head = `${role} ${versions.join(' → ')}, until ${formatTime(expires)}`;
  const changes = [...changesOf(before, after)];
  const nothing = before === undefined ? 'begins, without a name' : 'same content';
  return [head, ...(changes.length === 0 ? [nothing] : changes).map((line) => `  ${line}`)];
}

function* changesOf(before: MetadataFile | undefined, after: MetadataFile): Generator<string> {
  if (after.role === 'root') yield* rootChanges(before, after);
  else {
    yield* delegationChanges(before, after);
    yield* nameChanges(before, after);
  }
  yield* certificateChanges(before, after);
  yield* lifetimeChanges(before, after);
  yield* otherChanges(before, after);
}

function* rootChanges(before: MetadataFile | undefined, after: MetadataFile): Generator<string> {
  const [old, next] = [before && parseRoot(before), parseRoot(after)];
  for (const [role, keys] of next.roles) yield* keyChanges(role, old?.roles.get(role), keys);
  if (old?.consistentSnapshot !== next.consistentSnapshot)
    yield `consistent_snapshot: ${next.consistentSnapshot}`;
}

function* delegationChanges(before: MetadataFile | undefined, after: MetadataFile): Generator<string> {
  const [old, next] = [delegationsOf(before), delegationsOf(after)];
  const known = new Map(old?.roles.map((role) => [role.name, role]));
  for (const role of next?.roles ?? []) {
    const present = known.get(role.name);
    known.delete(role.name);
    const trust = (of: typeof role | undefined): string =>
      of === undefined
        ? ''
        : `${[...(of.paths ?? of.pathHashPrefixes ?? [])].join(', ') || 'nothing'}${of.terminating ? ', terminating' : ''}`;
    if (present === undefined) yield `${quote(role.name)} is new, trusted with ${trust(role)}`;
    else if (trust(present) !== trust(role))
      yield `${quote(role.name)} is trusted with ${trust(role)}, before with ${trust(present)}`;
    yield* keyChanges(role.name, present, role);
  }
  for (const name of known.keys()) yield `${quote(name)} is trusted no longer`;
  const order = (roles: typeof next): string =>
    (roles?.roles ?? []).map(({ name }) => quote(name)).join(', ');
  const kept = (old?.roles ?? []).filter(({ name }) => next?.roles.some((role) => role.name === name));
  const left = (next?.roles ?? []).filter(({ name }) => kept.some((role) => role.name === name));
  if (kept.map(({ name }) => name).join('\n') !== left.map(({ name }) => name).join('\n'))
    yield `they are asked in another order: ${order(next)}`;
  if (JSON.stringify(old?.succinct) === JSON.stringify(next?.succinct)) return;
  const { succinct } = next ?? {};
  if (succinct === undefined) return yield 'there are no bins any more';
  yield `bins ${succinct.namePrefix}-…, ${2 ** succinct.bitLength} of them`;
  yield* keyChanges('bins', old?.succinct, succinct);
}

function* keyChanges(role: string, before: RoleKeys | undefined, after: RoleKeys): Generator<string> {
  const [old, next] = [new Set(before?.keyids), new Set(after.keyids)];
  for (const keyid of next) if (!old.has(keyid)) yield `${quote(role)} gets the key ${keyid}`;
  for (const keyid of old) if (!next.has(keyid)) yield `${quote(role)} loses the key ${keyid}`;
  if (before?.threshold !== after.threshold)
    yield `${quote(role)} needs ${after.threshold} of ${next.size} keys${before === undefined ? '' : `, before ${before.threshold} of ${old.size}`}`;
}

function* nameChanges(before: MetadataFile | undefined, after: MetadataFile): Generator<string> {
  const [old, next] = [targetsOf(before), targetsOf(after)];
  let count = 0;
  for (const name of new Set([...Object.keys(old), ...Object.keys(next)])) {
    const [from, to] = [shown(old[name]), shown(next[name])];
    if (from === to || ++count > MAX_NAMES) continue;
    if (to === undefined) yield `${quote(name)} is taken out (it was ${from})`;
    else yield `${quote(name)} is ${to}${from === undefined ? '' : `, before ${from}`}`;
  }
  if (count > MAX_NAMES) yield `and ${count - MAX_NAMES} more names`;
}

function* lifetimeChanges(before: MetadataFile | undefined, after: MetadataFile): Generator<string> {
  const [old, next] = [bindingMember(before, 'lifetimes'), bindingMember(after, 'lifetimes')];
  const [from, to] = [isJsonObject(old) ? old : {}, isJsonObject(next) ? next : {}];
  for (const role of new Set([...Object.keys(from), ...Object.keys(to)]))
    if (from[role] !== to[role])
      yield `files of ${quote(role)} are signed for ${typeof to[role] === 'number' ? `${to[role]} s` : 'as long as by default'}`;
}

function* certificateChanges(before: MetadataFile | undefined, after: MetadataFile): Generator<string> {
  const [old, next] = [bindingMember(before, 'certificates'), bindingMember(after, 'certificates')];
  const [from, to] = [isJsonObject(old) ? old : {}, isJsonObject(next) ? next : {}];
  for (const keyid of new Set([...Object.keys(from), ...Object.keys(to)])) {
    if (isSame(from[keyid], to[keyid])) continue;
    if (to[keyid] === undefined) yield `the key ${quote(keyid)} has no certificate any more`;
    else yield `the key ${quote(keyid)} has the certificate ${certificateText(after, keyid)}`;
  }
}

function certificateText(file: MetadataFile, keyid: string): string {
  try {
    const [own] = certificatesOf(file, keyid);
    return own === undefined
      ? 'of nobody'
      : `of ${quote(subjectOf(own))}, from ${formatTime(own.notBefore)} to ${formatTime(own.notAfter)}`;
  } catch (error) {
    if (isBullaError(error, 'certificate-invalid')) return 'that cannot be read';
    throw error;
  }
}

/** Members of the signed part that are told above, or with every version. */
const TOLD: ReadonlySet<string> = new Set([
  'consistent_snapshot',
  'delegations',
  'expires',
  'keys',
  'roles',
  'targets',
  'version',
]);

/** Of these a new version may say something else, and nobody need look at it: hash of the log, count of names, the version before. */
const OWN: ReadonlySet<string> = new Set(['after', 'certificates', 'lifetimes', 'log', 'names']);

function* otherChanges(before: MetadataFile | undefined, after: MetadataFile): Generator<string> {
  const [old, next] = [before?.signed ?? {}, after.signed];
  for (const member of new Set([...Object.keys(old), ...Object.keys(next)])) {
    if (TOLD.has(member)) continue;
    if (member === BINDING) yield* bindingChanges(old[member], next[member]);
    else if (before !== undefined && !isSame(old[member], next[member]))
      yield `the member ${quote(member)} is another`;
  }
}

function* bindingChanges(old: JsonValue | undefined, next: JsonValue | undefined): Generator<string> {
  if (!isJsonObject(old) || !isJsonObject(next)) return;
  for (const member of new Set([...Object.keys(old), ...Object.keys(next)])) {
    // The second root is the first that can hold the hash of the first.
    if (OWN.has(member) || (member === 'root' && old[member] === undefined)) continue;
    if (!isSame(old[member], next[member])) yield `the member ${quote(`${BINDING}.${member}`)} is another`;
  }
}

function isSame(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Buffer.from(canonicalOlpc(a)).equals(canonicalOlpc(b));
}

function delegationsOf(file: MetadataFile | undefined): ReturnType<typeof parseDelegations> | undefined {
  if (file === undefined) return undefined;
  const fields = new Fields(file.signed, file.role, 'signed').optionalObject('delegations');
  return fields && parseDelegations(fields, file.role);
}

function targetsOf(file: MetadataFile | undefined): JsonObject {
  const targets = file?.signed['targets'];
  return isJsonObject(targets) ? targets : {};
}

function bindingMember(file: MetadataFile | undefined, member: string): JsonValue | undefined {
  const binding = file?.signed[BINDING];
  return isJsonObject(binding) ? binding[member] : undefined;
}

/** All that is signed about a name: its digest in the OCI's spelling, and whatever else there is. */
function shown(entry: JsonValue | undefined): string | undefined {
  if (entry === undefined) return undefined;
  const hashes = isJsonObject(entry) ? entry['hashes'] : undefined;
  const sha256 = isJsonObject(hashes) ? hashes['sha256'] : undefined;
  if (!isJsonObject(entry) || typeof sha256 !== 'string') return JSON.stringify(entry);
  const { hashes: _, length, ...rest } = entry;
  const more = Object.keys(rest).length === 0 ? '' : ` ${JSON.stringify(rest)}`;
  return `sha256:${sha256} (${String(length)} bytes)${more}`;
}

/** Names from outside may hold anything; those that are plain stay so. */
function quote(text: string): string {
  return /^[A-Za-z0-9._/-]{1,128}$/.test(text) ? text : JSON.stringify(text);
}
