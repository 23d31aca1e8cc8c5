import { createHash } from 'node:crypto';
import { BullaError, isBullaError } from '../../errors.ts';
import {
  compactJson,
  mismatchOf,
  type NotaryMeta,
  parseNotarySnapshot,
  parseNotaryTimestamp,
} from '../../notary/content.ts';
import type { DumpIndex } from '../../notary/dump-index.ts';
import { parseNotaryFile } from '../../notary/file.ts';
import { releasedNames } from '../../notary/names.ts';
import { type NotaryRepository, verifyNotaryRepository } from '../../notary/repository.ts';
import { isDelegationName } from '../../notary/role-name.ts';
import { MAX_ROOT_BYTES, readRoot, rootKeysOf } from '../../notary/root-chain.ts';
import type { NotaryFileName, NotarySource } from '../../notary/source.ts';
import { mapConcurrently } from '../copy/concurrency.ts';

/** A file as a server gave it. */
export interface DumpedFile {
  readonly bytes: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** Where trust data is saved from. */
export interface DumpSource {
  readonly gun: string;
  readonly place: string;
  fetchServed(file: NotaryFileName, maxBytes: number): Promise<DumpedFile | undefined>;
  fetchKey(role: 'timestamp' | 'snapshot'): Promise<Uint8Array | undefined>;
}

/** Where the trust data of one repository is saved: all of it is replaced at once. */
export interface DumpStore {
  /** The index of what is saved, if all of it is there as the index says; undefined otherwise. */
  current(): Promise<DumpIndex | undefined>;
  read(name: string, maxBytes: number): Promise<Uint8Array | undefined>;
  /** @throws BullaError storage-error */
  replace(files: ReadonlyMap<string, Uint8Array>, index: DumpIndex): Promise<void>;
}

/** What became of one repository. */
export interface DumpedRepository {
  readonly gun: string;
  readonly server: string;
  /**
   * `absent`: the server has no trust data; `gone`: it has none any more, and what was saved is kept;
   * `failed`: nothing was saved now.
   */
  readonly outcome: 'saved' | 'unchanged' | 'absent' | 'gone' | 'failed';
  readonly files: number;
  readonly bytes: number;
  /** Of what was saved and verifies, from its own first root. */
  readonly rootVersion?: number | undefined;
  readonly rootKeyIds?: readonly string[] | undefined;
  readonly names?: number | undefined;
  readonly expired?: readonly string[] | undefined;
  /** Why it failed, or why what was saved does not verify. */
  readonly problem?: BullaError | undefined;
}

export interface DumpOptions {
  readonly now: () => Date;
  /** Requests of one repository at the same time. */
  readonly concurrency: number;
}

const MAX_FILE_BYTES = 64 * 1024 * 1024;
/** All files of one repository together. */
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_ROOTS = 1024;
/** A publish in between gives files that do not fit: then everything is read again. */
const TRIES = 3;

/**
 * Saves all trust data of a repository as it is served, byte for byte, and checks that it holds together.
 * Of what was saved before only the newest root and the timestamp are asked for again. Never throws for
 * what the server or the repository is: that is the outcome.
 * @throws BullaError interrupted, storage-error
 */
export async function dumpRepository(
  source: DumpSource,
  store: DumpStore,
  options: DumpOptions,
): Promise<DumpedRepository> {
  const { gun, place: server } = source;
  const none = { gun, server, files: 0, bytes: 0 } as const;
  try {
    const saved = await store.current();
    const fetched = await fetchConsistent(source, saved, options);
    if (fetched === 'unchanged') return await known(source, store, saved as DumpIndex, 'unchanged', options);
    if (fetched === undefined)
      return saved === undefined
        ? { ...none, outcome: 'absent' }
        : await known(source, store, saved, 'gone', options);
    const index = indexOf(source, fetched, options.now());
    await store.replace(new Map([...fetched.files].map(([name, { bytes }]) => [name, bytes])), index);
    return { ...summary(index, 'saved'), ...(await judged(source, fetched.files, options)) };
  } catch (error) {
    if (!isBullaError(error) || isBullaError(error, 'interrupted', 'storage-error')) throw error;
    return { ...none, outcome: 'failed', problem: error };
  }
}

interface Fetched {
  readonly files: ReadonlyMap<string, DumpedFile>;
  readonly missing: readonly string[];
  readonly fits: boolean;
}

/** @returns undefined where there is no trust data */
async function fetchConsistent(
  source: DumpSource,
  saved: DumpIndex | undefined,
  options: DumpOptions,
): Promise<Fetched | 'unchanged' | undefined> {
  for (let attempt = 1; ; attempt++) {
    const run = new Fetching(source, options);
    const fetched = await run.all(attempt === 1 ? saved : undefined);
    if (fetched === undefined || fetched === 'unchanged' || fetched.fits || attempt >= TRIES) return fetched;
  }
}

/** One reading of everything. Files that cannot be parsed are saved anyway. */
class Fetching {
  private readonly source: DumpSource;
  private readonly options: DumpOptions;
  private readonly files = new Map<string, DumpedFile>();
  private readonly missing: string[] = [];
  private fits = true;
  private left = MAX_BYTES;

  constructor(source: DumpSource, options: DumpOptions) {
    this.source = source;
    this.options = options;
  }

  async all(saved: DumpIndex | undefined): Promise<Fetched | 'unchanged' | undefined> {
    const [root, timestamp] = await Promise.all([
      this.source.fetchServed({ role: 'root' }, MAX_ROOT_BYTES),
      this.source.fetchServed({ role: 'timestamp' }, MAX_ROOT_BYTES),
    ]);
    if (root === undefined && timestamp === undefined) return undefined;
    const same = (name: string, file: DumpedFile | undefined): boolean =>
      file !== undefined && saved?.files.find((one) => one.name === name)?.sha256 === sha256Of(file.bytes);
    if (same('root.json', root) && same('timestamp.json', timestamp)) return 'unchanged';
    this.keep('root.json', root);
    this.keep('timestamp.json', timestamp);
    await Promise.all([this.roots(root), this.keys(), this.roles(timestamp)]);
    return { files: this.files, missing: this.missing.sort(), fits: this.fits };
  }

  /** Snapshot, and every role that it lists. */
  private async roles(timestamp: DumpedFile | undefined): Promise<void> {
    const listed = timestamp && readMeta(timestamp.bytes, 'timestamp')?.meta.get('snapshot');
    const snapshot = await this.fetch('snapshot', listed?.hashes.get('sha256'));
    if (snapshot === undefined) return;
    if (listed !== undefined) this.check(snapshot.bytes, listed);
    const meta = readMeta(snapshot.bytes, 'snapshot')?.meta ?? new Map([['targets', undefined]]);
    const root = this.files.get('root.json');
    const rootMeta = meta.get('root');
    if (root !== undefined && rootMeta !== undefined) this.check(root.bytes, rootMeta);
    const names = [...meta.keys()].filter((name) => name === 'targets' || isDelegationName(name));
    await mapConcurrently(names, this.options.concurrency, async (name) => {
      const expected = meta.get(name);
      const file = await this.fetch(name, expected?.hashes.get('sha256'));
      if (file !== undefined && expected !== undefined) this.check(file.bytes, expected);
    });
  }

  /** Older roots, from the newest down to the first or to a gap. */
  private async roots(root: DumpedFile | undefined): Promise<void> {
    const newest = root && versionOf(root.bytes);
    if (root === undefined || newest === undefined) return;
    this.keep(`${newest}.root.json`, root);
    const first = Math.max(1, newest - MAX_ROOTS);
    const { concurrency } = this.options;
    for (let top = newest - 1; top >= first; top -= concurrency) {
      const versions = Array.from(
        { length: Math.min(concurrency, top - first + 1) },
        (_, index) => top - index,
      );
      const found = await Promise.all(
        versions.map(async (version) => {
          const file = await this.source.fetchServed({ role: 'root', version }, MAX_ROOT_BYTES);
          this.keep(`${version}.root.json`, file);
          return file !== undefined;
        }),
      );
      if (found.includes(false)) return;
    }
  }

  private async keys(): Promise<void> {
    for (const role of ['timestamp', 'snapshot'] as const) {
      const bytes = await this.source.fetchKey(role);
      if (bytes !== undefined) this.files.set(`${role}.key`, { bytes, headers: {} });
    }
  }

  private async fetch(role: string, sha256: string | undefined): Promise<DumpedFile | undefined> {
    const name = { role, ...(sha256 !== undefined && { sha256 }) };
    const file = await this.source.fetchServed(name, Math.min(MAX_FILE_BYTES, this.left));
    this.keep(`${role}.json`, file);
    return file;
  }

  private keep(name: string, file: DumpedFile | undefined): void {
    if (file === undefined) {
      this.missing.push(name);
      return;
    }
    this.left -= file.bytes.byteLength;
    if (this.left <= 0) throw tooLarge(this.source.gun);
    this.files.set(name, file);
  }

  private check(bytes: Uint8Array, listed: NonNullable<ReturnType<NotaryMeta['meta']['get']>>): void {
    if (mismatchOf(bytes, listed) !== undefined && mismatchOf(compactJson(bytes), listed) !== undefined)
      this.fits = false;
  }
}

/** What is saved already, judged as it is now. */
async function known(
  source: DumpSource,
  store: DumpStore,
  index: DumpIndex,
  outcome: 'unchanged' | 'gone',
  options: DumpOptions,
): Promise<DumpedRepository> {
  const files = new Map<string, DumpedFile>();
  for (const { name, headers } of index.files) {
    const bytes = await store.read(name, MAX_FILE_BYTES);
    if (bytes !== undefined) files.set(name, { bytes, headers });
  }
  return { ...summary(index, outcome), ...(await judged(source, files, options)) };
}

/** Whether what was saved holds together; whether it is the right repository only a pin can say. */
async function judged(
  { gun, place }: DumpSource,
  files: ReadonlyMap<string, DumpedFile>,
  { now }: DumpOptions,
): Promise<Partial<DumpedRepository>> {
  const saved: NotarySource = {
    place,
    fetch: async ({ role, version }) =>
      files.get(version === undefined ? `${role}.json` : `${version}.${role}.json`)?.bytes,
  };
  try {
    const repository = (await verifyNotaryRepository(saved, {
      gun,
      now: now(),
      pin: rootPin(files),
      allowExpired: true,
      badDelegation: 'report',
    })) as NotaryRepository;
    const bad = [...repository.roles.values()].find(({ problem }) => problem !== undefined);
    return {
      rootVersion: repository.root.content.version,
      rootKeyIds: rootKeysOf(repository.root.content).map(({ keyid }) => keyid),
      names: releasedNames(repository).length,
      expired: repository.expired.map(({ role }) => role),
      ...(bad?.problem !== undefined && { problem: bad.problem }),
    };
  } catch (error) {
    if (isBullaError(error)) return { problem: error };
    throw error;
  }
}

/** The first root that is there, so that the whole chain is checked. */
function rootPin(
  files: ReadonlyMap<string, DumpedFile>,
): { kind: 'root'; bytes: Uint8Array } | { kind: 'tofu' } {
  const newest = files.get('root.json');
  let bytes = newest?.bytes;
  const from = newest === undefined ? undefined : versionOf(newest.bytes);
  for (let version = (from ?? 1) - 1; version >= 1; version--) {
    const older = files.get(`${version}.root.json`)?.bytes;
    if (older === undefined) break;
    bytes = older;
  }
  return bytes === undefined ? { kind: 'tofu' } : { kind: 'root', bytes };
}

function indexOf({ gun, place }: DumpSource, { files, missing }: Fetched, now: Date): DumpIndex {
  return {
    version: 1,
    gun,
    server: place,
    savedAt: now.toISOString(),
    files: [...files]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { bytes, headers }]) => ({
        name,
        length: bytes.byteLength,
        sha256: sha256Of(bytes),
        headers,
      })),
    missing,
  };
}

function summary(
  { gun, server, files }: DumpIndex,
  outcome: DumpedRepository['outcome'],
): Pick<DumpedRepository, 'gun' | 'server' | 'outcome' | 'files' | 'bytes'> {
  const bytes = files.reduce((sum, { length }) => sum + length, 0);
  return { gun, server, outcome, files: files.length, bytes };
}

function readMeta(bytes: Uint8Array, role: 'timestamp' | 'snapshot'): NotaryMeta | undefined {
  return understood(() => {
    const file = parseNotaryFile(bytes, role, MAX_FILE_BYTES);
    return role === 'timestamp' ? parseNotaryTimestamp(file) : parseNotarySnapshot(file);
  });
}

function versionOf(bytes: Uint8Array): number | undefined {
  return understood(() => readRoot(bytes).content.version);
}

function understood<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isBullaError(error)) return undefined;
    throw error;
  }
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function tooLarge(gun: string): BullaError {
  return new BullaError('content-invalid', `the trust data of ${gun} has more than ${MAX_BYTES} bytes`, {
    hint: 'no honest repository has that much; nothing of it was saved',
  });
}
