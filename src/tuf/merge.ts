import { equalBytes } from '../encoding/bytes.ts';
import { canonicalOlpc } from '../encoding/canonical.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../encoding/json.ts';
import { mergeOrder } from './merge-order.ts';

/** Something that both sides changed, each in its own way. */
export interface MergeConflict {
  readonly kind: /** A target's entry; one side may have removed it. */
    | 'target'
    /** A delegation's entry; one side may have removed it. */
    | 'delegation'
    /** A key that a delegation needs and that one side took away, or two keys under one id. */
    | 'key'
    /** The order of delegations, which is their priority. */
    | 'order'
    /** Succinct bins, or bins on one side and delegations by name on the other. */
    | 'bins'
    /** Another member of the signed part. */
    | 'member';
  /** Target path, role name, key id or member name; for `order` the role names, separated by spaces. */
  readonly name: string;
  /** What was there, and what each side made of it; undefined where it is not there. */
  readonly base?: JsonValue | undefined;
  readonly ours?: JsonValue | undefined;
  readonly theirs?: JsonValue | undefined;
}

/** Either everything, or what stands in the way: half a merge would look like a whole one. */
export type MergeResult =
  | { readonly merged: JsonObject; readonly conflicts: readonly [] }
  | { readonly merged?: undefined; readonly conflicts: readonly [MergeConflict, ...MergeConflict[]] };

/** Members that the next version gets anew. */
const RENEWED: ReadonlySet<string> = new Set(['version', 'expires', 'spec_version']);
const MERGED_ALONE: ReadonlySet<string> = new Set(['targets', 'delegations']);

/**
 * Merges two changes of one targets role (TUF 1.0.34 §4.5), all three verified by the caller. What one
 * side changed and the other left is taken; what both changed alike is taken once; whatever else is a
 * conflict. The result is content for a new version, still to be versioned and signed. The sides can be
 * exchanged.
 * @param base signed part that both sides began with
 * @param ours signed part of one side
 * @param theirs signed part of the other
 */
export function mergeTargets(base: JsonObject, ours: JsonObject, theirs: JsonObject): MergeResult {
  const merge = new ThreeWay();
  const [baseMembers, ourMembers, theirMembers] = [base, ours, theirs].map(otherMembers) as Three<Values>;
  const members = merge.map('member', baseMembers, ourMembers, theirMembers);
  const names = merge.map('target', ...([base, ours, theirs].map(targetsOf) as Three<Values>));
  const merged = objectOf(members);
  for (const name of RENEWED) if (base[name] !== undefined) merged[name] = base[name];
  merged['targets'] = objectOf(names);
  const delegations = mergeDelegations(
    merge,
    optional(base, 'delegations'),
    optional(ours, 'delegations'),
    optional(theirs, 'delegations'),
  );
  if (delegations !== undefined) merged['delegations'] = delegations;
  const [first, ...rest] = merge.conflicts;
  return first === undefined ? { merged, conflicts: [] } : { conflicts: [first, ...rest] };
}

type Values = ReadonlyMap<string, JsonValue>;

class ThreeWay {
  readonly conflicts: MergeConflict[] = [];

  /** One value; undefined means that it is not there, or that there is a conflict. */
  value(
    kind: MergeConflict['kind'],
    name: string,
    base: JsonValue | undefined,
    ours: JsonValue | undefined,
    theirs: JsonValue | undefined,
  ): JsonValue | undefined {
    if (same(ours, theirs) || same(base, theirs)) return ours;
    if (same(base, ours)) return theirs;
    this.conflicts.push({ kind, name, base, ours, theirs });
    return undefined;
  }

  /** Values by name. Maps, because objects put names that look like numbers first. */
  map(kind: MergeConflict['kind'], base: Values, ours: Values, theirs: Values): Map<string, JsonValue> {
    const merged = new Map<string, JsonValue>();
    for (const name of new Set([...base.keys(), ...ours.keys(), ...theirs.keys()])) {
      const value = this.value(kind, name, base.get(name), ours.get(name), theirs.get(name));
      if (value !== undefined) merged.set(name, value);
    }
    return merged;
  }
}

function mergeDelegations(
  merge: ThreeWay,
  base: JsonObject | undefined,
  ours: JsonObject | undefined,
  theirs: JsonObject | undefined,
): JsonObject | undefined {
  // Most often nobody or only one side touched them, and then even their spelling stays.
  if (same(ours, theirs) || same(base, theirs)) return ours;
  if (same(base, ours)) return theirs;
  const sides = [base, ours, theirs].map((side) => side ?? Object.create(null)) as Three<JsonObject>;
  const [bins, ourBins, theirBins] = sides.map((side) => side['succinct_roles'] ?? undefined);
  const succinct = merge.value('bins', 'succinct_roles', bins, ourBins, theirBins);
  const roles = mergeRoles(merge, ...sides);
  if (succinct !== undefined && roles.length > 0)
    merge.conflicts.push({
      kind: 'bins',
      name: 'succinct_roles',
      base: bins,
      ours: ourBins,
      theirs: theirBins,
    });
  const keys = mergeKeys(merge, [...roles, ...(succinct === undefined ? [] : [succinct])], ...sides);
  const merged: JsonObject = Object.create(null);
  merged['keys'] = keys;
  if (succinct === undefined) merged['roles'] = roles;
  else merged['succinct_roles'] = succinct;
  return merged;
}

function mergeRoles(merge: ThreeWay, ...sides: Three<JsonObject>): JsonValue[] {
  const maps = sides.map(rolesByName) as Three<Map<string, JsonObject>>;
  const entries = merge.map('delegation', ...maps) as Map<string, JsonObject>;
  const [base, ours, theirs] = maps.map((map) => [...map.keys()]) as Three<string[]>;
  const order = mergeOrder(base, ours, theirs, entries);
  if (order.conflict === undefined) return order.names.map((name) => entries.get(name) as JsonObject);
  merge.conflicts.push({ kind: 'order', name: order.conflict.join(' '), base, ours, theirs });
  return [...entries.values()];
}

/** The keys of the merged roles. A key that a side took away must not come back by the other's doing. */
function mergeKeys(
  merge: ThreeWay,
  roles: readonly JsonValue[],
  base: JsonObject,
  ours: JsonObject,
  theirs: JsonObject,
): JsonObject {
  const [baseKeys, ourKeys, theirKeys] = [member(base, 'keys'), member(ours, 'keys'), member(theirs, 'keys')];
  const used = new Set(roles.flatMap((role) => (isJsonObject(role) ? (role['keyids'] as string[]) : [])));
  const merged: JsonObject = Object.create(null);
  for (const keyid of used) {
    const [before, our, their] = [baseKeys[keyid], ourKeys[keyid], theirKeys[keyid]];
    const reported = merge.conflicts.length;
    const value = merge.value('key', keyid, before, our, their);
    if (value !== undefined) merged[keyid] = value;
    else if (before !== undefined && merge.conflicts.length === reported)
      merge.conflicts.push({ kind: 'key', name: keyid, base: before, ours: our, theirs: their });
  }
  return merged;
}

type Three<T> = [base: T, ours: T, theirs: T];

function otherMembers(signed: JsonObject): Values {
  return new Map(Object.entries(signed).filter(([name]) => !RENEWED.has(name) && !MERGED_ALONE.has(name)));
}

function targetsOf(signed: JsonObject): Values {
  return new Map(Object.entries(member(signed, 'targets')));
}

function rolesByName(delegations: JsonObject): Map<string, JsonObject> {
  const roles = (delegations['roles'] ?? []) as JsonObject[];
  return new Map(roles.map((role) => [role['name'] as string, role]));
}

function member(json: JsonObject, name: string): JsonObject {
  return optional(json, name) ?? Object.create(null);
}

function optional(json: JsonObject, name: string): JsonObject | undefined {
  const value = json[name];
  return isJsonObject(value) ? value : undefined;
}

function objectOf(values: Values): JsonObject {
  const object: JsonObject = Object.create(null);
  for (const [name, value] of values) object[name] = value;
  return object;
}

function same(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a === b || equalBytes(canonicalOlpc(a), canonicalOlpc(b));
}
