import { lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import * as z from 'zod/mini';
import { makeDirectory, readFileBounded, writeFileAtomic } from '../disk/atomic.ts';
import { withLock } from '../disk/lock.ts';
import { base64, fromBase64, utf8 } from '../encoding/bytes.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError, isBullaError, messageOf } from '../errors.ts';
import { placeNamed } from '../oci/place.ts';
import { describeIssues, listOf } from '../oci/shape.ts';
import { checkPin, type Pin, type PinnedTrust } from '../trust/read/pin.ts';

const MAX_FILE_BYTES = 16 * 1024 * 1024;

interface StoredPin {
  readonly scope: string;
  readonly root?: string | undefined;
  readonly keyIds?: readonly string[] | undefined;
  readonly ca?: string | undefined;
  readonly tofu?: true | undefined;
  readonly minRootVersion?: number | undefined;
  readonly collection?: string | undefined;
  readonly at?: string | undefined;
}

const pinSchema: z.ZodMiniType<StoredPin> = z.strictObject({
  scope: z.string(),
  root: z.optional(z.string()),
  keyIds: z.optional(listOf(z.string())),
  ca: z.optional(z.string()),
  tofu: z.optional(z.literal(true)),
  minRootVersion: z.optional(z.int()),
  collection: z.optional(z.string()),
  at: z.optional(z.string()),
});

/** Schema of `pins.json` (spec/trust-reading.md, "Pins"). */
export const pinsSchema: z.ZodMiniType<object> = z.strictObject({
  version: z.literal(1),
  pins: listOf(pinSchema),
});

/** The pins of one person, in a file that may also be written by hand or laid there by a deployment. */
export class PinFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /**
   * All pins, by the one spelling of their scopes; none where there is no file.
   * @throws BullaError config-invalid, storage-error
   */
  async list(): Promise<ReadonlyMap<string, Pin>> {
    try {
      return readPins(await readFileBounded(this.path, MAX_FILE_BYTES), this.path);
    } catch (error) {
      if (isBullaError(error, 'content-invalid')) throw unreadable(this.path, messageOf(error), error);
      if (!isBullaError(error, 'not-found')) throw error;
      if (lstatSync(this.path, { throwIfNoEntry: false }) === undefined) return new Map();
      throw unreadable(this.path, 'it is a link to nothing', error);
    }
  }

  /** Adds a pin, in place of the one that has its scope. @throws BullaError usage, config-invalid, storage-error */
  async set(pin: Pin): Promise<void> {
    checkPin(pin);
    await this.change((pins) => pins.set(placeNamed(pin.scope), pin));
  }

  /** @returns the pin that was there @throws BullaError config-invalid, storage-error */
  async remove(scope: string): Promise<Pin | undefined> {
    let removed: Pin | undefined;
    await this.change((pins) => {
      removed = pins.get(placeNamed(scope));
      pins.delete(placeNamed(scope));
    });
    return removed;
  }

  private async change(change: (pins: Map<string, Pin>) => void): Promise<void> {
    await makeDirectory(dirname(this.path), 0o700);
    await withLock(`${this.path}.lock`, async (lock) => {
      const pins = new Map(await this.list());
      change(pins);
      await lock.assertHeld();
      await writeFileAtomic(this.path, encodePins(pins), { mode: 0o600 });
    });
  }
}

/**
 * Reads a file of pins.
 * @param where names it in messages
 * @throws BullaError config-invalid
 */
export function readPins(bytes: Uint8Array, where: string): ReadonlyMap<string, Pin> {
  try {
    const parsed = pinsSchema.safeParse(parseJsonObject(bytes, { what: where, maxBytes: MAX_FILE_BYTES }));
    if (!parsed.success) throw unreadable(where, describeIssues(parsed.error));
    const pins = new Map<string, Pin>();
    for (const stored of (parsed.data as { pins: readonly StoredPin[] }).pins) {
      const place = placeNamed(stored.scope);
      const other = pins.get(place);
      if (other !== undefined) throw unreadable(where, twice(other.scope, stored.scope));
      pins.set(place, checkPin(readPin(stored, where)));
    }
    return pins;
  } catch (error) {
    if (isBullaError(error, 'config-invalid') || !isBullaError(error)) throw error;
    throw unreadable(where, messageOf(error), error);
  }
}

function twice(one: string, other: string): string {
  return one === other
    ? `${one} is pinned twice`
    : `${one} and ${other} are one place, which is pinned twice`;
}

function readPin({ scope, minRootVersion, collection, at, ...stored }: StoredPin, where: string): Pin {
  return { scope, trust: readTrust(stored, `${where}: ${scope}`), minRootVersion, collection, at };
}

function readTrust(
  { root, keyIds, ca, tofu }: Omit<StoredPin, 'scope' | 'minRootVersion' | 'collection' | 'at'>,
  where: string,
): PinnedTrust {
  const found: PinnedTrust[] = [];
  if (root !== undefined) {
    const bytes = fromBase64(root);
    if (bytes === undefined) throw unreadable(where, 'root is not base64');
    found.push({ kind: 'root', bytes });
  }
  if (keyIds !== undefined) found.push({ kind: 'key-ids', keyIds });
  if (ca !== undefined) found.push({ kind: 'ca', pem: ca });
  if (tofu !== undefined) found.push({ kind: 'tofu' });
  const [only, second] = found;
  if (only !== undefined && second === undefined) return only;
  throw unreadable(where, 'it must have exactly one of root, keyIds, ca and tofu');
}

function encodePins(pins: ReadonlyMap<string, Pin>): Uint8Array {
  const list = [...pins.values()].sort((a, b) => (a.scope < b.scope ? -1 : 1)).map(storedPin);
  return utf8(`${JSON.stringify({ version: 1, pins: list }, undefined, 2)}\n`);
}

function storedPin({ scope, trust, minRootVersion, collection, at }: Pin): StoredPin {
  return {
    scope,
    ...(trust.kind === 'root' && { root: base64(trust.bytes) }),
    ...(trust.kind === 'key-ids' && { keyIds: trust.keyIds }),
    ...(trust.kind === 'ca' && { ca: trust.pem }),
    ...(trust.kind === 'tofu' && { tofu: true as const }),
    minRootVersion,
    collection,
    at,
  };
}

function unreadable(where: string, why: string, cause?: unknown): BullaError {
  return new BullaError('config-invalid', `${where}: ${why}`, {
    cause,
    hint: 'correct the file of pins, or move it away and pin anew: bulla pin',
  });
}
