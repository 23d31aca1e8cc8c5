import * as z from 'zod/mini';
import { base64, fromBase64 } from '../encoding/bytes.ts';
import type { BullaError } from '../errors.ts';
import { placeNamed } from '../oci/place.ts';
import { listOf } from '../oci/shape.ts';
import { checkPin, type Pin, type PinnedTrust } from '../trust/read/pin.ts';
import { type PinFormat, readStoredPins, StoredPins, unreadablePins } from './stored-pins.ts';

const HINT = 'correct the file of pins, or move it away and pin again: bulla pin';

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

const FORMAT: PinFormat<Pin, StoredPin> = {
  schema: pinsSchema,
  hint: HINT,
  add(pins, stored, where) {
    const place = placeNamed(stored.scope);
    const other = pins.get(place);
    if (other !== undefined) throw unreadable(where, twice(other.scope, stored.scope));
    pins.set(place, checkPin(readPin(stored, where)));
  },
  store: (_, pin) => storedPin(pin),
};

/** The pins of one person, in a file that may also be edited by hand or provided by a deployment. */
export class PinFile extends StoredPins<Pin, StoredPin> {
  constructor(path: string) {
    super(path, FORMAT);
  }

  /** Adds a pin, in place of the one that has its scope. @throws BullaError usage, config-invalid, storage-error */
  async set(pin: Pin): Promise<void> {
    checkPin(pin);
    await this.change((pins) => pins.set(placeNamed(pin.scope), pin));
  }

  /** @returns the pin that was removed @throws BullaError config-invalid, storage-error */
  async remove(scope: string): Promise<Pin | undefined> {
    return await this.removeKey(placeNamed(scope));
  }
}

/**
 * Reads a file of pins, by the canonical spelling of their scopes.
 * @param where names it in messages
 * @throws BullaError config-invalid
 */
export function readPins(bytes: Uint8Array, where: string): ReadonlyMap<string, Pin> {
  return readStoredPins(bytes, where, FORMAT);
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

function unreadable(where: string, why: string): BullaError {
  return unreadablePins(where, why, HINT);
}
