import { createHash } from 'node:crypto';
import { rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod/mini';
import {
  isErrno,
  makeDirectory,
  makeDirectoryBelow,
  refuseLinksBelow,
  storageError,
  sweepTemporaries,
  syncDirectory,
  temporaryBeside,
} from '../disk/atomic.ts';
import { readSmallFile } from '../disk/small-file.ts';
import { utf8 } from '../encoding/bytes.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { isBullaError } from '../errors.ts';
import { type DumpIndex, isDumpFileName } from '../notary/dump-index.ts';
import { checkGun } from './gun.ts';

const INDEX = 'index.json';
const MAX_INDEX_BYTES = 4 * 1024 * 1024;
const MAX_FILE_BYTES = 64 * 1024 * 1024;

const indexSchema: z.ZodMiniType<DumpIndex> = z.strictObject({
  version: z.literal(1),
  gun: z.string(),
  server: z.string(),
  savedAt: z.string(),
  files: z.array(
    z.strictObject({
      name: z.string(),
      length: z.int(),
      sha256: z.string(),
      headers: z.record(z.string(), z.string()),
    }),
  ),
  missing: z.array(z.string()),
});

/**
 * The saved trust data of one repository, at `DIR/v2/GUN/_trust/tuf` as on a server, so that any web server
 * can serve it. It is replaced as a whole: a kill leaves the old state, or the new one.
 */
export class NotaryDumpDirectory {
  private readonly directory: string;
  /** Below the directory. */
  private readonly below: string;
  private readonly path: string;
  private readonly gun: string;

  /** @param directory of the dump; made when something is written. @throws BullaError usage for a GUN that is not one */
  constructor(directory: string, gun: string) {
    this.gun = checkGun(gun);
    this.directory = directory;
    this.below = join('v2', ...gun.split('/'), '_trust', 'tuf');
    this.path = join(directory, this.below);
  }

  /** The index, if every file is there as it says. @throws BullaError storage-error */
  async current(): Promise<DumpIndex | undefined> {
    await this.recover();
    try {
      const bytes = readSmallFile(join(this.path, INDEX), MAX_INDEX_BYTES);
      if (bytes === undefined) return undefined;
      const parsed = indexSchema.safeParse(
        parseJsonObject(bytes, { what: INDEX, maxBytes: MAX_INDEX_BYTES }),
      );
      if (!parsed.success || parsed.data.gun !== this.gun) return undefined;
      return parsed.data.files.every((file) => this.isThere(file)) ? parsed.data : undefined;
    } catch (error) {
      // What is damaged is fetched again.
      if (isBullaError(error, 'content-invalid')) return undefined;
      throw error;
    }
  }

  async read(name: string, maxBytes: number): Promise<Uint8Array | undefined> {
    return isDumpFileName(name) ? readSmallFile(join(this.path, name), maxBytes) : undefined;
  }

  /** @throws BullaError storage-error */
  async replace(files: ReadonlyMap<string, Uint8Array>, index: DumpIndex): Promise<void> {
    await makeDirectoryBelow(this.directory, dirname(this.below));
    await this.recover();
    const fresh = temporaryBeside(this.path);
    try {
      for (const name of new Set([...files.keys()].map((file) => dirname(join(fresh, file)))))
        await makeDirectory(name);
      await makeDirectory(fresh);
      await Promise.all(
        [...files].map(async ([name, bytes]) => {
          if (!isDumpFileName(name)) throw new Error(`${name} is not the name of a file of trust data`);
          await writeFile(join(fresh, name), bytes, { flag: 'wx', flush: true });
        }),
      );
      await writeFile(join(fresh, INDEX), utf8(`${JSON.stringify(index, undefined, 2)}\n`), {
        flag: 'wx',
        flush: true,
      });
      await syncDirectory(fresh);
      await this.swap(fresh);
    } catch (error) {
      await rm(fresh, { recursive: true, force: true });
      throw storageError(`cannot write ${this.path}`, error);
    }
  }

  /** A directory that is not empty cannot be replaced in one step: the old one steps aside first. */
  private async swap(fresh: string): Promise<void> {
    if (await exists(this.path)) await rename(this.path, this.aside);
    await rename(fresh, this.path);
    await syncDirectory(dirname(this.path));
    await rm(this.aside, { recursive: true, force: true });
  }

  /** Puts back what stepped aside when a run was killed, and removes what it left. */
  private async recover(): Promise<void> {
    await refuseLinksBelow(this.directory, this.below);
    await sweepTemporaries(dirname(this.path));
    if (!(await exists(this.aside))) return;
    try {
      if (await exists(this.path)) await rm(this.aside, { recursive: true, force: true });
      else await rename(this.aside, this.path);
    } catch (error) {
      throw storageError(`cannot restore ${this.path}`, error);
    }
  }

  private get aside(): string {
    return `${this.path}.old`;
  }

  private isThere({ name, length, sha256 }: DumpIndex['files'][number]): boolean {
    if (!isDumpFileName(name)) return false;
    const bytes = readSmallFile(join(this.path, name), MAX_FILE_BYTES);
    return bytes?.byteLength === length && createHash('sha256').update(bytes).digest('hex') === sha256;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw storageError(`cannot look at ${path}`, error);
  }
}
