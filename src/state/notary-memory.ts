import { createHash } from 'node:crypto';
import { lstatSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as z from 'zod/mini';
import { makeDirectory, storageError, writeFileAtomic } from '../disk/atomic.ts';
import { withLock } from '../disk/lock.ts';
import { readSmallFile } from '../disk/small-file.ts';
import { base64, fromBase64, utf8 } from '../encoding/bytes.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError, isBullaError } from '../errors.ts';
import { readRoot } from '../notary/root-chain.ts';
import type { NotaryMemory, NotaryMemoryState } from '../notary/source.ts';

const MAX_BYTES = 4 * 1024 * 1024;

interface Stored {
  readonly version: 1;
  readonly place: string;
  readonly root: string;
  readonly versions: Readonly<Record<string, number>>;
}

const schema: z.ZodMiniType<Stored> = z.strictObject({
  version: z.literal(1),
  place: z.string(),
  root: z.string(),
  versions: z.record(z.string(), z.int()),
});

/**
 * What was verified of one repository of a Notary server, in a file of its own (spec/notary.md, "Memory").
 * The file appears whole; any number of processes may use it at once.
 */
export class NotaryMemoryFile implements NotaryMemory {
  private readonly path: string;
  private readonly place: string;

  /** @param directory made when something is to be remembered */
  constructor(directory: string, place: string) {
    this.place = place;
    this.path = join(directory, `${createHash('sha256').update(place, 'utf8').digest('hex')}.json`);
  }

  async load(): Promise<NotaryMemoryState | undefined> {
    const bytes = this.read();
    if (bytes === undefined) return undefined;
    try {
      const parsed = schema.safeParse(parseJsonObject(bytes, { what: this.path, maxBytes: MAX_BYTES }));
      const root = parsed.success ? fromBase64(parsed.data.root) : undefined;
      if (!parsed.success || root === undefined || parsed.data.place !== this.place) throw this.damaged();
      readRoot(root);
      return { root, versions: new Map(Object.entries(parsed.data.versions)) };
    } catch (error) {
      if (isBullaError(error, 'content-invalid')) throw this.damaged(error);
      throw error;
    }
  }

  async keep(state: NotaryMemoryState): Promise<void> {
    await makeDirectory(dirname(this.path), 0o700);
    await withLock(`${this.path}.lock`, async (lock) => {
      const present = await this.load();
      if (present !== undefined && (isNewer(present, state) || isSame(present, state))) return;
      const { root, versions } = state;
      const stored: Stored = {
        version: 1,
        place: this.place,
        root: base64(root),
        versions: Object.fromEntries(versions),
      };
      const bytes = utf8(`${JSON.stringify(stored)}\n`);
      if (bytes.byteLength > MAX_BYTES) throw this.tooLarge(bytes.byteLength);
      await lock.assertHeld();
      await writeFileAtomic(this.path, bytes, { mode: 0o600 });
    });
  }

  /** Forgets it. @returns whether something was there. @throws BullaError storage-error */
  async forget(): Promise<boolean> {
    try {
      // Whatever is in its place: a link to nothing, or a directory, would fail closed for ever.
      const wasThere = lstatSync(this.path, { throwIfNoEntry: false }) !== undefined;
      if (wasThere) rmSync(this.path, { recursive: true });
      return wasThere;
    } catch (error) {
      throw storageError(`cannot remove ${this.path}`, error);
    }
  }

  private read(): Uint8Array | undefined {
    try {
      return readSmallFile(this.path, MAX_BYTES);
    } catch (error) {
      if (isBullaError(error, 'content-invalid')) throw this.damaged(error);
      throw error;
    }
  }

  private tooLarge(size: number): BullaError {
    return new BullaError(
      'content-invalid',
      `the versions of ${this.place} take ${size} bytes, and at most ${MAX_BYTES} are remembered`,
      { hint: 'a Notary repository with so many delegated roles is not read' },
    );
  }

  private damaged(cause?: unknown): BullaError {
    return new BullaError(
      'storage-error',
      `what is remembered of ${this.place} cannot be read: ${this.path}`,
      {
        cause,
        hint: 'compare the root keys with those you know, then pin the repository again: bulla pin REPO --notary URL',
      },
    );
  }
}

/** A newer root decides; then a newer timestamp, which every change of a repository has. */
function isNewer(present: NotaryMemoryState, state: NotaryMemoryState): boolean {
  const [a, b] = [versionOf(present), versionOf(state)];
  if (a !== b) return a > b;
  const timestamp = ({ versions }: NotaryMemoryState): number => versions.get('timestamp') ?? 0;
  return timestamp(present) > timestamp(state);
}

function isSame(a: NotaryMemoryState, b: NotaryMemoryState): boolean {
  return (
    versionOf(a) === versionOf(b) &&
    a.versions.size === b.versions.size &&
    [...a.versions].every(([role, version]) => b.versions.get(role) === version)
  );
}

function versionOf({ root }: NotaryMemoryState): number {
  return readRoot(root).content.version;
}
