import { isJsonObject, type JsonObject, type JsonValue } from '../../encoding/json.ts';
import { keyIdOf } from '../../tuf/keys.ts';
import { isSame, jsonText, literal, memberChange, objectOf, pathText, quoted } from './describe-values.ts';

/** Who may sign for the top-level roles. @param next signed part of the new root */
export function* rootRoleChanges(old: JsonObject, next: JsonObject): Generator<string> {
  const [before, after] = [objectOf(old['roles']), objectOf(next['roles'])];
  for (const role of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [from, to] = [before[role], after[role]];
    if (!isJsonObject(to)) yield* memberChange(pathText('roles', role), from, to);
    else
      yield* roleKeyChanges(
        role,
        isJsonObject(from) ? from : undefined,
        to,
        objectOf(next['keys']),
        pathText('roles', role),
      );
  }
}

/**
 * What a role delegates: to whom, in which order, trusted with what, and who may sign for them.
 * @param old undefined where it delegated nothing
 */
export function* delegationChanges(old: JsonObject | undefined, next: JsonObject): Generator<string> {
  const keys = objectOf(next['keys']);
  yield* roleChanges(old?.['roles'], next['roles'], keys);
  yield* binChanges(old?.['succinct_roles'], next['succinct_roles'], keys);
  for (const member of new Set([...Object.keys(old ?? {}), ...Object.keys(next)])) {
    if (member === 'roles' || member === 'succinct_roles') continue;
    if (member === 'keys' && isJsonObject(next['keys']))
      yield* keyListChanges(old ?? {}, next, delegatedIn(old), delegatedIn(next));
    else yield* memberChange(pathText('delegations', member), old?.[member], next[member]);
  }
}

function* roleChanges(
  from: JsonValue | undefined,
  to: JsonValue | undefined,
  keys: JsonObject,
): Generator<string> {
  const [old, next] = [rolesOf(from), rolesOf(to)];
  if (old === undefined || next === undefined) return yield* memberChange('delegations.roles', from, to);
  // An empty list and a missing one are two ways to have no delegations.
  if (next.length === 0 && old.length === 0) return yield* memberChange('delegations.roles', from, to);
  if (next.length === 0) yield `delegations.roles is ${to === undefined ? 'left out' : 'empty'}`;
  const known = new Map(old.map((role) => [role['name'] as string, role]));
  for (const [place, role] of next.entries()) {
    const name = role['name'] as string;
    const present = known.get(name);
    known.delete(name);
    if (present === undefined)
      yield `${quoted(name)} is new, ${placeText(next, place)}, trusted with ${trustText(role)}`;
    else if (trustText(present) !== trustText(role))
      yield `${quoted(name)} is trusted with ${trustText(role)}, before with ${trustText(present)}`;
    yield* roleKeyChanges(name, present, role, keys, pathText('delegations', 'roles', name), TRUST);
  }
  for (const name of known.keys()) yield `${quoted(name)} is trusted no longer`;
  const names = (roles: readonly JsonObject[]): readonly string[] =>
    roles.map((role) => role['name'] as string);
  const kept = names(old).filter((name) => names(next).includes(name));
  const left = names(next).filter((name) => names(old).includes(name));
  if (!isSame([...kept], [...left]))
    yield `they are asked in another order: ${names(next).map(quoted).join(', ')}`;
}

/** The list, where it is one of roles that each have a name of their own. */
function rolesOf(value: JsonValue | undefined): readonly JsonObject[] | undefined {
  if (value === undefined) return [];
  if (!Array.isArray(value)) return undefined;
  const roles = value.filter((role) => isJsonObject(role));
  const names = new Set(roles.map((role) => role['name']).filter((name) => typeof name === 'string'));
  return names.size === value.length ? roles : undefined;
}

function placeText(roles: readonly JsonObject[], place: number): string {
  return place === 0 ? 'asked first' : `asked after ${quoted(String(roles[place - 1]?.['name']))}`;
}

/** Members that {@link trustText} tells. */
const TRUST: readonly string[] = ['name', 'paths', 'path_hash_prefixes', 'terminating'];

/** Patterns always stand in quotes: one of them may look like any other word. */
function trustText({ paths, path_hash_prefixes: prefixes, terminating }: JsonObject): string {
  const parts: string[] = [];
  if (areTexts(paths)) parts.push(paths.length === 0 ? 'nothing' : paths.map(literal).join(', '));
  else if (paths !== undefined) parts.push(`paths ${jsonText(paths)}`);
  if (areTexts(prefixes))
    parts.push(`names whose SHA-256 begins with ${prefixes.map(literal).join(', ') || 'nothing'}`);
  else if (prefixes !== undefined) parts.push(`path_hash_prefixes ${jsonText(prefixes)}`);
  if (parts.length === 0) parts.push('neither names nor hashes');
  if (terminating === true) parts.push('and no role after it is asked about those');
  else if (terminating === undefined) parts.push('without a word about terminating');
  else if (terminating !== false) parts.push(`terminating ${jsonText(terminating)}`);
  return parts.join('; ');
}

function areTexts(value: JsonValue | undefined): value is string[] {
  return Array.isArray(value) && value.every((element) => typeof element === 'string');
}

function* binChanges(
  from: JsonValue | undefined,
  to: JsonValue | undefined,
  keys: JsonObject,
): Generator<string> {
  if (isSame(from, to)) return;
  if (to === undefined) return yield 'there are no bins any more';
  const { bit_length: bits, name_prefix: prefix } = objectOf(to);
  if (!isJsonObject(to) || typeof bits !== 'number' || typeof prefix !== 'string')
    return yield* memberChange('delegations.succinct_roles', from, to);
  const old = isJsonObject(from) ? from : undefined;
  if (old?.['bit_length'] !== bits || old['name_prefix'] !== prefix)
    yield `names are spread over 2^${bits} bins, which are called ${literal(`${prefix}-`)} and a number`;
  yield* roleKeyChanges('bins', old, to, keys, 'delegations.succinct_roles', ['bit_length', 'name_prefix']);
}

function* roleKeyChanges(
  role: string,
  before: JsonObject | undefined,
  after: JsonObject,
  keys: JsonObject,
  path: string,
  told: readonly string[] = [],
): Generator<string> {
  const [old, next] = [keyidsOf(before), keyidsOf(after)];
  const kept = old.filter((keyid) => next.includes(keyid));
  const added = next.filter((keyid) => !old.includes(keyid));
  for (const keyid of added) yield `${quoted(role)} gets the key ${keyText(keyid, keys[keyid])}`;
  for (const keyid of old) if (!next.includes(keyid)) yield `${quoted(role)} loses the key ${quoted(keyid)}`;
  if (!isSame([...next], [...kept, ...added]))
    yield `${quoted(role)} lists its keys in the order ${next.map(quoted).join(', ')}`;
  const { threshold } = after;
  if (!isSame(before?.['threshold'], threshold))
    yield `${quoted(role)} needs ${jsonText(threshold ?? null)} of ${next.length} keys${before === undefined ? '' : `, before ${jsonText(before['threshold'] ?? null)} of ${old.length}`}`;
  for (const member of new Set([...Object.keys(before ?? {}), ...Object.keys(after)]))
    if (member !== 'keyids' && member !== 'threshold' && !told.includes(member))
      yield* memberChange(`${path}.${pathText(member)}`, before?.[member], after[member]);
}

/**
 * What a list of keys has that its roles do not tell: keys of no role, keys that are missing, and other keys
 * under the ids of before.
 */
export function* keyListChanges(
  old: JsonObject,
  next: JsonObject,
  oldRoles: readonly JsonObject[],
  nextRoles: readonly JsonObject[],
): Generator<string> {
  const [before, after] = [objectOf(old['keys']), objectOf(next['keys'])];
  const [known, used] = [new Set(oldRoles.flatMap(keyidsOf)), new Set(nextRoles.flatMap(keyidsOf))];
  for (const [keyid, key] of Object.entries<JsonValue>(after)) {
    if (!used.has(keyid)) yield `the key ${keyText(keyid, key)} is listed, and no role has it`;
    else if (known.has(keyid) && !isSame(before[keyid], key))
      yield `the key ${keyText(keyid, key)} is listed so from now on`;
  }
  for (const keyid of used) if (after[keyid] === undefined) yield `the key ${quoted(keyid)} is not listed`;
}

/** A key by its whole id and type; what is listed under an id that is not its own is told as what it is. */
function keyText(keyid: string, key: JsonValue | undefined): string {
  if (key === undefined) return `${quoted(keyid)}, which is not listed`;
  const { scheme } = objectOf(key);
  const type =
    typeof scheme === 'string' && /^[a-z0-9-]{1,40}$/.test(scheme) ? scheme : jsonText(scheme ?? null);
  if (isJsonObject(key) && keyIdOf(key) === keyid) return `${quoted(keyid)} (${type})`;
  return `${quoted(keyid)} (${type}, under an id that is not its own: ${jsonText(key)})`;
}

function keyidsOf(role: JsonObject | undefined): readonly string[] {
  const keyids = role?.['keyids'];
  return areTexts(keyids) ? keyids : [];
}

function delegatedIn(delegations: JsonObject | undefined): readonly JsonObject[] {
  const succinct = delegations?.['succinct_roles'];
  return [...(rolesOf(delegations?.['roles']) ?? []), ...(isJsonObject(succinct) ? [succinct] : [])];
}
