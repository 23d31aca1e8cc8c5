import { lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import * as z from 'zod/mini';
import { makeDirectory, readFileBounded, writeFileAtomic } from '../disk/atomic.ts';
import { withLock } from '../disk/lock.ts';
import { base64, fromBase64, utf8 } from '../encoding/bytes.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError, isBullaError, messageOf } from '../errors.ts';
import { type NotaryPin, pinnedKeys } from '../notary/pin.ts';
import { readRoot } from '../notary/root-chain.ts';
import { describeIssues, listOf } from '../oci/shape.ts';

const MAX_FILE_BYTES = 16 * 1024 * 1024;

interface StoredPin {
  readonly scope: string;
  readonly root?: string | undefined;
  readonly keyIds?: readonly string[] | undefined;
  readonly ca?: string | undefined;
  readonly publicKey?: string | undefined;
}

const pinSchema: z.ZodMiniType<StoredPin> = z.strictObject({
  scope: z.string(),
  root: z.optional(z.string()),
  keyIds: z.optional(listOf(z.string())),
  ca: z.optional(z.string()),
  publicKey: z.optional(z.string()),
});

/** Schema of `notary-pins.json` (spec/notary.md, "Stored pins"). */
export const notaryPinsSchema: z.ZodMiniType<object> = z.strictObject({
  version: z.literal(1),
  pins: listOf(pinSchema),
});

/** Pins of Notary repositories of one person, by scope: a GUN, or `PREFIX/*`. */
export class NotaryPinFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** All pins; none where there is no file. @throws BullaError config-invalid, storage-error */
  async list(): Promise<ReadonlyMap<string, NotaryPin>> {
    try {
      return readNotaryPins(await readFileBounded(this.path, MAX_FILE_BYTES), this.path);
    } catch (error) {
      if (isBullaError(error, 'content-invalid')) throw unreadable(this.path, messageOf(error), error);
      if (!isBullaError(error, 'not-found')) throw error;
      if (lstatSync(this.path, { throwIfNoEntry: false }) === undefined) return new Map();
      throw unreadable(this.path, 'it is a link to nothing', error);
    }
  }

  /** The pin of a repository: its own, else that of the longest prefix. @throws BullaError config-invalid, storage-error */
  async find(gun: string): Promise<NotaryPin | undefined> {
    const pins = await this.list();
    const own = pins.get(gun);
    if (own !== undefined) return own;
    const prefixes = [...pins].filter(
      ([scope]) => scope.endsWith('/*') && gun.startsWith(scope.slice(0, -1)),
    );
    return prefixes.sort(([a], [b]) => b.length - a.length)[0]?.[1];
  }

  /** Adds a pin, in place of the one of the same scope. @throws BullaError config-invalid, storage-error */
  async set(scope: string, pin: NotaryPin): Promise<void> {
    checkNotaryPin(pin);
    await this.change((pins) => pins.set(scope, pin));
  }

  /** @returns the pin that was there @throws BullaError config-invalid, storage-error */
  async remove(scope: string): Promise<NotaryPin | undefined> {
    let removed: NotaryPin | undefined;
    await this.change((pins) => {
      removed = pins.get(scope);
      pins.delete(scope);
    });
    return removed;
  }

  private async change(change: (pins: Map<string, NotaryPin>) => void): Promise<void> {
    await makeDirectory(dirname(this.path), 0o700);
    await withLock(`${this.path}.lock`, async (lock) => {
      const pins = new Map(await this.list());
      change(pins);
      await lock.assertHeld();
      await writeFileAtomic(this.path, encode(pins), { mode: 0o600 });
    });
  }
}

/**
 * Checks that a pin can be read.
 * @throws BullaError usage (key ids), content-invalid (a root file), certificate-invalid, key-invalid
 */
export function checkNotaryPin(pin: NotaryPin): NotaryPin {
  if (pin.kind === 'root') readRoot(pin.bytes);
  if (pin.kind === 'key-ids') {
    const odd = pin.keyIds.find((id) => !/^[0-9a-fA-F]{64}$/.test(id));
    if (odd !== undefined || pin.keyIds.length === 0)
      throw new BullaError(
        'usage',
        `${JSON.stringify((odd ?? '').slice(0, 80))} is not the id of a Notary key`,
        {
          hint: 'an id has 64 hexadecimal digits: bulla pin REPO --notary URL shows it',
        },
      );
  }
  pinnedKeys(pin);
  return pin;
}

/** Reads a file of pins. @param where names it in messages @throws BullaError config-invalid */
export function readNotaryPins(bytes: Uint8Array, where: string): ReadonlyMap<string, NotaryPin> {
  try {
    const parsed = notaryPinsSchema.safeParse(
      parseJsonObject(bytes, { what: where, maxBytes: MAX_FILE_BYTES }),
    );
    if (!parsed.success) throw unreadable(where, describeIssues(parsed.error));
    const pins = new Map<string, NotaryPin>();
    for (const stored of (parsed.data as { pins: readonly StoredPin[] }).pins) {
      if (pins.has(stored.scope)) throw unreadable(where, `${stored.scope} is pinned twice`);
      pins.set(stored.scope, checkNotaryPin(readPin(stored, where)));
    }
    return pins;
  } catch (error) {
    if (isBullaError(error, 'config-invalid') || !isBullaError(error)) throw error;
    throw unreadable(where, messageOf(error), error);
  }
}

function readPin({ scope, root, keyIds, ca, publicKey }: StoredPin, where: string): NotaryPin {
  const found: NotaryPin[] = [];
  if (root !== undefined) {
    const bytes = fromBase64(root);
    if (bytes === undefined) throw unreadable(where, `${scope}: root is not base64`);
    found.push({ kind: 'root', bytes });
  }
  if (keyIds !== undefined) found.push({ kind: 'key-ids', keyIds });
  if (ca !== undefined) found.push({ kind: 'ca', pem: ca });
  if (publicKey !== undefined) found.push({ kind: 'public-key', pem: publicKey });
  const [only, second] = found;
  if (only !== undefined && second === undefined) return only;
  throw unreadable(where, `${scope}: it must have exactly one of root, keyIds, ca and publicKey`);
}

function encode(pins: ReadonlyMap<string, NotaryPin>): Uint8Array {
  const list = [...pins]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([scope, pin]) => ({ scope, ...stored(pin) }));
  return utf8(`${JSON.stringify({ version: 1, pins: list }, undefined, 2)}\n`);
}

function stored(pin: NotaryPin): Omit<StoredPin, 'scope'> {
  switch (pin.kind) {
    case 'root':
      return { root: base64(pin.bytes) };
    case 'key-ids':
      return { keyIds: pin.keyIds };
    case 'ca':
      return { ca: pin.pem };
    case 'public-key':
      return { publicKey: pin.pem };
    case 'tofu':
      throw new BullaError('internal', 'first use is not a pin', { hint: 'please report this' });
  }
}

function unreadable(where: string, why: string, cause?: unknown): BullaError {
  return new BullaError('config-invalid', `${where}: ${why}`, {
    cause,
    hint: 'correct the file of pins, or move it away and pin again: bulla pin REPO --notary URL',
  });
}
