import { createHash } from 'node:crypto';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { type JsonObject, type JsonValue, parseJsonObject } from '../../../src/encoding/json.ts';
import { formatTime } from '../../../src/encoding/time.ts';
import { composeMetadataFile, copyJson } from '../../../src/tuf/metadata-file.ts';
import type { MetadataFetcher, TargetFetcher } from '../../../src/tuf/ports.ts';
import { encodeRoleName, metadataFileName, targetFilePath } from '../../../src/tuf/role-name.ts';
import { poolKey, signatureOf, type TestKey } from './keys.ts';

/** When every test takes place. */
export const NOW: Date = new Date('2026-06-01T12:00:00Z');
export const DAY_MS = 86_400_000;

/** A date-time so many days from {@link NOW}. */
export function inDays(days: number): string {
  return formatTime(new Date(NOW.getTime() + days * DAY_MS));
}

/** How a delegation is made; `*` and one key of its own if left out. */
export interface DelegationSpec {
  readonly paths?: readonly string[];
  readonly prefixes?: readonly string[];
  readonly terminating?: boolean;
  readonly keys?: readonly TestKey[];
  readonly threshold?: number;
}

/** What a file is answered with instead of what was published; `undefined` is "no such file". */
type Answer = Uint8Array | Error | undefined;

/**
 * A TUF repository in memory that a test changes as it likes, honest or not, and that serves itself.
 * `signed` holds what the next {@link publish} of a role signs, with the keys in `signers`.
 */
export class RepositorySimulator implements MetadataFetcher, TargetFetcher {
  readonly signed: Map<string, JsonObject> = new Map();
  readonly signers: Map<string, TestKey[]> = new Map();
  /** Every published file by its name on the repository. */
  readonly files: Map<string, Uint8Array> = new Map();
  readonly content: Map<string, Uint8Array> = new Map();
  /** Files for which the mirror lies. */
  readonly lies: Map<string, Answer> = new Map();
  /** Names that were asked for, in order. */
  readonly requests: string[] = [];
  /** Whether snapshot and timestamp tell lengths and hashes. */
  hashes = false;
  private keys = 0;

  constructor(options: { readonly consistentSnapshot?: boolean } = {}) {
    const roles: JsonObject = object({});
    const keys: JsonObject = object({});
    for (const role of ['root', 'timestamp', 'snapshot', 'targets']) {
      const key = this.newKey();
      this.signers.set(role, [key]);
      keys[key.key.keyid] = copyJson(key.key.json);
      roles[role] = object({ keyids: [key.key.keyid], threshold: 1 });
    }
    const { consistentSnapshot = true } = options;
    this.signed.set('root', content('root', { consistent_snapshot: consistentSnapshot, keys, roles }));
    this.signed.set('targets', content('targets', { targets: object({}) }));
    this.signed.set('snapshot', content('snapshot', { meta: object({}) }));
    this.signed.set('timestamp', content('timestamp', { meta: object({}) }));
    this.publish('root', 'targets', 'snapshot', 'timestamp');
  }

  /** A key that no role of this repository has yet. */
  newKey(): TestKey {
    return poolKey(this.keys++);
  }

  of(role: string): JsonObject {
    return this.signed.get(role)!;
  }

  version(role: string): number {
    return this.of(role)['version'] as number;
  }

  /** Bytes of the root of this version. */
  rootBytes(version = 1): Uint8Array {
    return this.files.get(`${version}.root.json`)!;
  }

  /** Signs and serves roles in this order: each with the next version, and named by the one above it. */
  publish(...roles: string[]): this {
    for (const role of roles) {
      const signed = this.of(role);
      if (this.fileOf(role) !== undefined) signed['version'] = this.version(role) + 1;
      this.serve(role, this.sign(role));
    }
    return this;
  }

  /** Makes the file that a role's signers sign now. */
  sign(role: string): Uint8Array {
    const signed = copyJson(this.of(role));
    const signatures = this.signers.get(role)!.map((key) => signatureOf(signed, key));
    return composeMetadataFile(role, signed, signatures).bytes;
  }

  /** Puts bytes in a role's place, under its version, and has snapshot or timestamp name them. */
  serve(role: string, bytes: Uint8Array): void {
    this.files.set(this.nameOf(role, this.version(role)), bytes);
    this.files.set(`latest ${role}`, bytes);
    const above = role === 'snapshot' ? 'timestamp' : 'snapshot';
    if (role !== 'root' && role !== 'timestamp')
      this.metaOf(above)[`${role}.json`] = this.describe(role, bytes);
  }

  /** `meta` of snapshot or timestamp. */
  metaOf(role: string): JsonObject {
    return this.of(role)['meta'] as JsonObject;
  }

  /** Everything that changed for a new target or delegation. */
  publishAll(...roles: string[]): this {
    return this.publish(...roles, 'targets', 'snapshot', 'timestamp');
  }

  /** Forgets a role's files and begins its versions anew, as whoever recovers from fast-forward does. */
  restart(role: string, version = 1): void {
    for (const name of [...this.files.keys()]) {
      if (name === `latest ${role}` || name.endsWith(`.${encodeRoleName(role)}.json`))
        this.files.delete(name);
    }
    this.of(role)['version'] = version;
  }

  addTarget(role: string, path: string, bytes: Uint8Array = utf8(`content of ${path}`)): void {
    const hash = createHash('sha256').update(bytes).digest('hex');
    const entry = object({ length: bytes.byteLength, hashes: object({ sha256: hash }) });
    (this.of(role)['targets'] as JsonObject)[path] = entry;
    this.content.set(targetFilePath(path, hash), bytes);
    this.content.set(path, bytes);
  }

  /** Delegates from one role to another, which is made if it is new, and gives it a key. */
  delegate(from: string, name: string, spec: DelegationSpec = {}): void {
    const keys = spec.keys ?? [this.newKey()];
    const delegations = this.delegationsOf(from);
    for (const { key } of keys) (delegations['keys'] as JsonObject)[key.keyid] = copyJson(key.json);
    const role = object({
      name,
      keyids: keys.map(({ key }) => key.keyid),
      threshold: spec.threshold ?? 1,
      terminating: spec.terminating ?? false,
      ...(spec.prefixes === undefined
        ? { paths: [...(spec.paths ?? ['*'])] }
        : { path_hash_prefixes: [...spec.prefixes] }),
    });
    delegations['roles'] = [...((delegations['roles'] ?? []) as JsonValue[]), role];
    this.signers.set(name, [...new Set([...(this.signers.get(name) ?? []), ...keys])]);
    if (!this.signed.has(name)) this.signed.set(name, content('targets', { targets: object({}) }));
  }

  /** Succinct bins below a role, all signed by one new key; returns the names of those that hold something. */
  delegateBins(from: string, namePrefix: string, bitLength: number): TestKey {
    const key = this.newKey();
    const delegations = this.delegationsOf(from);
    (delegations['keys'] as JsonObject)[key.key.keyid] = copyJson(key.key.json);
    delegations['succinct_roles'] = object({
      keyids: [key.key.keyid],
      threshold: 1,
      bit_length: bitLength,
      name_prefix: namePrefix,
    });
    return key;
  }

  /** A role that signs with these keys and is nobody's delegation yet. */
  addRole(name: string, ...keys: TestKey[]): void {
    this.signed.set(name, content('targets', { targets: object({}) }));
    this.signers.set(name, keys);
  }

  /** Gives a top-level role other keys, in root and for signing. */
  setKeys(role: string, keys: readonly TestKey[], threshold = 1): void {
    for (const { key } of keys) (this.of('root')['keys'] as JsonObject)[key.keyid] = copyJson(key.json);
    (this.of('root')['roles'] as JsonObject)[role] = object({
      keyids: keys.map(({ key }) => key.keyid),
      threshold,
    });
    this.signers.set(role, [...keys]);
  }

  async fetchMetadata(fileName: string): Promise<Uint8Array | undefined> {
    this.requests.push(fileName);
    if (this.lies.has(fileName)) return answer(this.lies.get(fileName));
    return this.files.get(fileName);
  }

  async fetchTarget(path: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    this.requests.push(path);
    const bytes = this.lies.has(path) ? answer(this.lies.get(path)) : this.content.get(path);
    return bytes === undefined ? undefined : inPieces(bytes);
  }

  /** Bytes of a role as last published. */
  fileOf(role: string): Uint8Array | undefined {
    return this.files.get(`latest ${role}`);
  }

  /** Name of a role's file on this repository. */
  nameOf(role: string, version: number): string {
    const versioned =
      role === 'root' || (role !== 'timestamp' && this.of('root')['consistent_snapshot'] === true);
    return metadataFileName(role, versioned ? version : undefined);
  }

  private delegationsOf(role: string): JsonObject {
    this.of(role)['delegations'] ??= object({ keys: object({}) });
    return this.of(role)['delegations'] as JsonObject;
  }

  private describe(role: string, bytes: Uint8Array): JsonObject {
    const version = this.version(role);
    if (!this.hashes) return object({ version });
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return object({ version, length: bytes.byteLength, hashes: object({ sha256 }) });
  }
}

/** Signed content of a role, version 1, good for a year. */
export function content(type: string, members: Readonly<Record<string, JsonValue>>): JsonObject {
  return object({ _type: type, spec_version: '1.0.34', version: 1, expires: inDays(365), ...members });
}

/** A JSON object as the parser makes it: without a prototype. */
export function object(members: Readonly<Record<string, JsonValue>>): JsonObject {
  return Object.assign(Object.create(null) as JsonObject, members);
}

/** Changes a published file as text; the signatures stay what they were. */
export function tamper(bytes: Uint8Array, from: string | RegExp, to: string): Uint8Array {
  const text = new TextDecoder().decode(bytes);
  const changed = text.replace(from, to);
  if (changed === text) throw new Error(`there is no ${from} to change`);
  return utf8(changed);
}

/** Reads a file as JSON, has it changed, and writes it anew. */
export function rewrite(bytes: Uint8Array, change: (document: JsonObject) => void): Uint8Array {
  const document = parseJsonObject(bytes, { what: 'test' });
  change(document);
  return utf8(JSON.stringify(document));
}

function answer(lie: Answer): Uint8Array | undefined {
  if (lie instanceof Error) throw lie;
  return lie;
}

async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += 7) yield bytes.subarray(at, at + 7);
}
