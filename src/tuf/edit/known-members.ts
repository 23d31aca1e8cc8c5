import { isJsonObject, type JsonObject, type JsonValue } from '../../encoding/json.ts';

/** A member of a signed part that TUF does not define, or that is not of the kind that TUF gives it. */
export interface ExtraMember {
  /** Names of the members that lead to it from the signed part; places in lists are numbers as text. */
  readonly path: readonly string[];
  readonly value: JsonValue;
  /** The object that holds it. */
  readonly holder: JsonObject;
}

/** Refuses a signed part that its signer does not know all of. @throws BullaError */
export type SignedCheck = (role: string, signed: JsonObject) => void;

/** What a member may hold: what its reader takes, text, texts, or an object of a shape; in lists, and by names from outside. */
type Shape =
  | 'any'
  | 'text'
  | 'texts'
  | { readonly [member: string]: Shape }
  | { readonly each: Shape }
  | { readonly list: Shape };

const COMMON = { _type: 'any', spec_version: 'any', version: 'any', expires: 'any' } as const;
const ROLE_KEYS = { keyids: 'texts', threshold: 'any' } as const;
const KEY = { keytype: 'text', scheme: 'text', keyval: { public: 'text' } } as const;
const HASHES = { sha256: 'any', sha512: 'any' } as const;
const FILE_META = { version: 'any', length: 'any', hashes: HASHES } as const;

const ROOT: Shape = {
  ...COMMON,
  consistent_snapshot: 'any',
  keys: { each: KEY },
  roles: { root: ROLE_KEYS, targets: ROLE_KEYS, snapshot: ROLE_KEYS, timestamp: ROLE_KEYS },
};
const TARGETS: Shape = {
  ...COMMON,
  targets: { each: { length: 'any', hashes: HASHES } },
  delegations: {
    keys: { each: KEY },
    roles: {
      list: { ...ROLE_KEYS, name: 'any', terminating: 'any', paths: 'texts', path_hash_prefixes: 'texts' },
    },
    succinct_roles: { ...ROLE_KEYS, bit_length: 'any', name_prefix: 'any' },
  },
};
const SNAPSHOT: Shape = { ...COMMON, meta: { each: FILE_META } };
const TIMESTAMP: Shape = { ...COMMON, meta: { 'snapshot.json': FILE_META } };

/**
 * Every member of a signed part that TUF 1.0.34 (§4.3 to §4.6) and TAP 15 do not define, `custom` of a target
 * among them, because what that means is the application's own. Values of members that TUF does define are for
 * the reader of the format.
 */
export function extraMembers(role: string, signed: JsonObject): readonly ExtraMember[] {
  const found: ExtraMember[] = [];
  walk(signed, shapeOf(role), [], found);
  return found;
}

function shapeOf(role: string): Shape {
  if (role === 'root') return ROOT;
  if (role === 'snapshot') return SNAPSHOT;
  return role === 'timestamp' ? TIMESTAMP : TARGETS;
}

function walk(holder: JsonObject, shape: Shape, path: readonly string[], found: ExtraMember[]): void {
  for (const [name, value] of Object.entries<JsonValue>(holder)) {
    const known = memberOf(shape, name);
    const here = [...path, name];
    if (known === undefined || !isOfShape(value, known)) found.push({ path: here, value, holder });
    else if (Array.isArray(value) && typeof known === 'object' && 'list' in known)
      for (const [index, element] of value.entries())
        walk(element as JsonObject, known.list as Shape, [...here, String(index)], found);
    else if (typeof known === 'object') walk(value as JsonObject, known, here, found);
  }
}

function memberOf(shape: Shape, name: string): Shape | undefined {
  if (typeof shape !== 'object') return undefined;
  if ('each' in shape) return shape.each as Shape;
  return Object.hasOwn(shape, name) ? (shape as { readonly [member: string]: Shape })[name] : undefined;
}

function isOfShape(value: JsonValue, shape: Shape): boolean {
  if (shape === 'any') return true;
  if (shape === 'text') return typeof value === 'string';
  if (shape === 'texts') return Array.isArray(value) && value.every((element) => typeof element === 'string');
  if ('list' in shape) return Array.isArray(value) && value.every((element) => isJsonObject(element));
  return isJsonObject(value);
}
