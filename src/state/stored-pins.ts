import { lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import type * as z from 'zod/mini';
import { makeDirectory, readFileBounded, writeFileAtomic } from '../disk/atomic.ts';
import { withLock } from '../disk/lock.ts';
import { utf8 } from '../encoding/bytes.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError, isBullaError, messageOf } from '../errors.ts';
import { describeIssues } from '../oci/shape.ts';

/** Largest file of pins that is written and read. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;

/** How pins of one kind are read from their file and written to it. */
export interface PinFormat<Pin, Stored> {
  readonly schema: z.ZodMiniType<object>;
  /** What to do about a file that cannot be read. */
  readonly hint: string;
  /** Adds a pin under its key. @throws BullaError of what is wrong with it */
  add(pins: Map<string, Pin>, stored: Stored, where: string): void;
  /** A pin as it is stored, with its scope. */
  store(key: string, pin: Pin): Stored & { readonly scope: string };
}

/** Pins in a file that a person may edit and a deployment may provide. Each change locks the file. */
export class StoredPins<Pin, Stored> {
  readonly path: string;
  private readonly format: PinFormat<Pin, Stored>;

  constructor(path: string, format: PinFormat<Pin, Stored>) {
    this.path = path;
    this.format = format;
  }

  /** All pins by their key; none where the file does not exist. @throws BullaError config-invalid, storage-error */
  async list(): Promise<ReadonlyMap<string, Pin>> {
    try {
      return readStoredPins(await readFileBounded(this.path, MAX_FILE_BYTES), this.path, this.format);
    } catch (error) {
      if (isBullaError(error, 'content-invalid')) throw this.unreadable(messageOf(error), error);
      if (!isBullaError(error, 'not-found')) throw error;
      if (lstatSync(this.path, { throwIfNoEntry: false }) === undefined) return new Map();
      throw this.unreadable('it is a link to a file that does not exist', error);
    }
  }

  /** Changes the pins under a lock. @throws BullaError config-invalid, storage-error */
  protected async change(change: (pins: Map<string, Pin>) => void): Promise<void> {
    await makeDirectory(dirname(this.path), 0o700);
    await withLock(`${this.path}.lock`, async (lock) => {
      const pins = new Map(await this.list());
      change(pins);
      await lock.assertHeld();
      await writeFileAtomic(this.path, this.encode(pins), { mode: 0o600 });
    });
  }

  /** @returns the pin that was removed @throws BullaError config-invalid, storage-error */
  protected async removeKey(key: string): Promise<Pin | undefined> {
    let removed: Pin | undefined;
    await this.change((pins) => {
      removed = pins.get(key);
      pins.delete(key);
    });
    return removed;
  }

  private encode(pins: ReadonlyMap<string, Pin>): Uint8Array {
    const stored = [...pins].map(([key, pin]) => this.format.store(key, pin));
    stored.sort((a, b) => (a.scope < b.scope ? -1 : 1));
    const bytes = utf8(`${JSON.stringify({ version: 1, pins: stored }, undefined, 2)}\n`);
    if (bytes.byteLength <= MAX_FILE_BYTES) return bytes;
    throw new BullaError(
      'usage',
      `${this.path} would have ${bytes.byteLength} bytes, and at most ${MAX_FILE_BYTES} are read`,
      { hint: 'remove pins that are not needed (bulla pin rm), or pin a prefix instead of each repository' },
    );
  }

  private unreadable(why: string, cause: unknown): BullaError {
    return unreadablePins(this.path, why, this.format.hint, cause);
  }
}

/** Reads a file of pins. @param where names it in messages @throws BullaError config-invalid */
export function readStoredPins<Pin, Stored>(
  bytes: Uint8Array,
  where: string,
  { schema, hint, add }: PinFormat<Pin, Stored>,
): ReadonlyMap<string, Pin> {
  try {
    const parsed = schema.safeParse(parseJsonObject(bytes, { what: where, maxBytes: MAX_FILE_BYTES }));
    if (!parsed.success) throw unreadablePins(where, describeIssues(parsed.error), hint);
    const pins = new Map<string, Pin>();
    for (const stored of (parsed.data as { pins: readonly Stored[] }).pins) add(pins, stored, where);
    return pins;
  } catch (error) {
    if (isBullaError(error, 'config-invalid') || !isBullaError(error)) throw error;
    throw unreadablePins(where, messageOf(error), hint, error);
  }
}

export function unreadablePins(where: string, why: string, hint: string, cause?: unknown): BullaError {
  return new BullaError('config-invalid', `${where}: ${why}`, { cause, hint });
}
