import { createHash } from 'node:crypto';
import { equalBytes, fromBase64 } from '../encoding/bytes.ts';
import type { JsonValue } from '../encoding/json.ts';
import { Fields, malformed } from '../tuf/fields.ts';
import type { NotaryFile } from './file.ts';
import { type ListedKey, listedKey } from './keys.ts';
import { isChildOf, isDelegationName } from './role-name.ts';

/** Keys of a role, and how many of them must sign. */
export interface NotaryRoleKeys {
  readonly keyids: readonly string[];
  readonly threshold: number;
}

/** Common members of every signed part. */
export interface NotarySigned {
  readonly version: number;
  /** From this instant on the file is expired. */
  readonly expires: Date;
}

export interface NotaryRoot extends NotarySigned {
  readonly keys: ReadonlyMap<string, ListedKey>;
  readonly roles: ReadonlyMap<'root' | 'targets' | 'snapshot' | 'timestamp', NotaryRoleKeys>;
}

/** A role that another one delegates to. */
export interface NotaryDelegation extends NotaryRoleKeys {
  readonly name: string;
  /** Prefixes of the names it may sign; `''` means every name, an empty list means no names. */
  readonly paths: readonly string[];
}

/** What a role says that a name is. */
export interface NotaryTarget {
  readonly length: number;
  /** Hex digests by algorithm: `sha256`, `sha512`; others as they came. */
  readonly hashes: ReadonlyMap<string, string>;
  readonly custom?: JsonValue | undefined;
}

export interface NotaryTargets extends NotarySigned {
  readonly targets: ReadonlyMap<string, NotaryTarget>;
  readonly keys: ReadonlyMap<string, ListedKey>;
  /** In the order of the file, which is their priority. */
  readonly delegations: readonly NotaryDelegation[];
}

/** What snapshot or timestamp say about another file. */
export interface NotaryFileMeta {
  readonly length: number;
  readonly hashes: ReadonlyMap<string, string>;
}

/** Snapshot or timestamp. */
export interface NotaryMeta extends NotarySigned {
  readonly meta: ReadonlyMap<string, NotaryFileMeta>;
}

const ROOT_ROLES = ['root', 'targets', 'snapshot', 'timestamp'] as const;
const HASH_BYTES: ReadonlyMap<string, number> = new Map([
  ['sha256', 32],
  ['sha512', 64],
]);
/** Most keys of one role; each costs a verification. */
const MAX_ROLE_KEYS = 1024;

/** @throws BullaError content-invalid (details.role) */
export function parseNotaryRoot(file: NotaryFile): NotaryRoot {
  const { fields, signed } = parseSigned(file, 'Root');
  const roles = fields.object('roles');
  return {
    ...signed,
    keys: parseKeys(fields.object('keys')),
    // Notary keeps roles of old roots beside these four; they decide nothing.
    roles: new Map(ROOT_ROLES.map((name) => [name, parseRoleKeys(roles.object(name), file.role)])),
  };
}

/** Targets or a delegation. @throws BullaError content-invalid (details.role) */
export function parseNotaryTargets(file: NotaryFile): NotaryTargets {
  const { fields, signed } = parseSigned(file, 'Targets');
  const delegations = fields.optionalObject('delegations');
  const keys = delegations?.optionalObject('keys');
  const listed = delegations?.json['roles'];
  const roles =
    delegations === undefined || listed === null || listed === undefined ? [] : delegations.list('roles');
  const parsed = roles.map((role) => parseDelegation(role, file.role));
  const names = new Set(parsed.map(({ name }) => name));
  if (names.size !== parsed.length) throw malformed(file.role, 'a role is delegated to twice');
  return {
    ...signed,
    targets: parseTargetList(fields.optionalObject('targets'), file.role),
    keys: keys === undefined ? new Map() : parseKeys(keys),
    delegations: parsed,
  };
}

/** @throws BullaError content-invalid (details.role) */
export function parseNotarySnapshot(file: NotaryFile): NotaryMeta {
  const snapshot = parseMeta(file, 'Snapshot');
  for (const name of ['root', 'targets'])
    if (!snapshot.meta.has(name)) throw malformed(file.role, `meta does not list ${name}`);
  return snapshot;
}

/** @throws BullaError content-invalid (details.role) */
export function parseNotaryTimestamp(file: NotaryFile): NotaryMeta {
  const timestamp = parseMeta(file, 'Timestamp');
  if (!timestamp.meta.has('snapshot')) throw malformed(file.role, 'meta does not list snapshot');
  return timestamp;
}

/** What is other than was signed, in words; undefined where nothing is. At least SHA-256 or SHA-512 must be told. */
export function mismatchOf(bytes: Uint8Array, expected: NotaryFileMeta): string | undefined {
  if (bytes.byteLength !== expected.length)
    return `length is ${bytes.byteLength}, and ${expected.length} was signed`;
  let checked = 0;
  for (const [algorithm, digest] of expected.hashes) {
    if (!HASH_BYTES.has(algorithm)) continue;
    checked++;
    const found = createHash(algorithm).update(bytes).digest('hex');
    if (found !== digest) return `${algorithm} is ${found}, and ${digest} was signed`;
  }
  return checked > 0 ? undefined : 'neither sha256 nor sha512 is signed';
}

/** JSON without the white space between its tokens: what a file was before a tool laid it out. */
export function compactJson(bytes: Uint8Array): Uint8Array {
  const kept = new Uint8Array(bytes.byteLength);
  let size = 0;
  let inString = false;
  for (let at = 0; at < bytes.byteLength; at++) {
    const octet = bytes[at] as number;
    if (!inString && (octet === 0x20 || octet === 0x0a || octet === 0x0d || octet === 0x09)) continue;
    kept[size++] = octet;
    if (octet === 0x22) inString = !inString;
    else if (inString && octet === 0x5c && at + 1 < bytes.byteLength) kept[size++] = bytes[++at] as number;
  }
  return kept.subarray(0, size);
}

/** Whether two files state the same, whatever their signatures and white space. */
export function sameStatement(a: NotaryFile, b: NotaryFile): boolean {
  return equalBytes(a.message, b.message);
}

function parseSigned(
  file: NotaryFile,
  type: string,
): { readonly fields: Fields; readonly signed: NotarySigned } {
  const fields = new Fields(file.signed, file.role, 'signed');
  const found = fields.string('_type');
  if (found !== type)
    throw malformed(file.role, `_type must be "${type}", and is ${JSON.stringify(found.slice(0, 80))}`);
  return { fields, signed: { version: fields.integer('version', 1), expires: fields.time('expires') } };
}

function parseMeta(file: NotaryFile, type: string): NotaryMeta {
  const { fields, signed } = parseSigned(file, type);
  const meta = new Map<string, NotaryFileMeta>();
  for (const [name, entry] of fields.object('meta').objects()) {
    const { length, hashes } = parseFileMeta(entry, file.role);
    meta.set(name, { length, hashes });
  }
  return { ...signed, meta };
}

function parseFileMeta(fields: Fields, role: string): NotaryFileMeta {
  return { length: fields.integer('length', 0), hashes: parseHashes(fields.object('hashes'), role) };
}

/** Base64 on the wire, hex here. */
function parseHashes(fields: Fields, role: string): ReadonlyMap<string, string> {
  const hashes = new Map<string, string>();
  for (const name of Object.keys(fields.json)) {
    const bytes = fromBase64(fields.string(name));
    const length = HASH_BYTES.get(name);
    if (bytes === undefined || (length !== undefined && bytes.byteLength !== length))
      fields.fail(name, `base64 of ${length ?? 'some'} bytes`);
    hashes.set(name, Buffer.from(bytes as Uint8Array).toString('hex'));
  }
  if (hashes.size === 0) throw malformed(role, 'hashes are there and name no algorithm');
  return hashes;
}

function parseTargetList(fields: Fields | undefined, role: string): ReadonlyMap<string, NotaryTarget> {
  const targets = new Map<string, NotaryTarget>();
  for (const [name, entry] of fields?.objects() ?? []) {
    const custom = entry.json['custom'];
    const { length, hashes } = parseFileMeta(entry, role);
    targets.set(name, { length, hashes, ...(custom !== undefined && custom !== null && { custom }) });
  }
  return targets;
}

function parseDelegation(fields: Fields, parent: string): NotaryDelegation {
  const name = fields.string('name');
  if (!isDelegationName(name) || !isChildOf(name, parent))
    throw malformed(
      parent,
      `it delegates to ${JSON.stringify(name.slice(0, 80))}, which is not a role below ${parent}`,
    );
  const paths = fields.json['paths'];
  return {
    name,
    ...parseRoleKeys(fields, parent),
    paths: paths === undefined || paths === null ? [] : fields.strings('paths'),
  };
}

function parseRoleKeys(fields: Fields, role: string): NotaryRoleKeys {
  const keyids = fields.strings('keyids');
  if (keyids.length > MAX_ROLE_KEYS) throw malformed(role, `a role has more than ${MAX_ROLE_KEYS} keys`);
  return { keyids, threshold: fields.integer('threshold', 1) };
}

function parseKeys(fields: Fields): ReadonlyMap<string, ListedKey> {
  const keys = new Map<string, ListedKey>();
  for (const [keyid, key] of fields.objects()) keys.set(keyid, listedKey(keyid, key.json));
  return keys;
}
