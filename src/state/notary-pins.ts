import * as z from 'zod/mini';
import { base64, fromBase64 } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import { type NotaryPin, pinnedKeys } from '../notary/pin.ts';
import { readRoot } from '../notary/root-chain.ts';
import { listOf } from '../oci/shape.ts';
import { type PinFormat, StoredPins, unreadablePins } from './stored-pins.ts';

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
const notaryPinsSchema: z.ZodMiniType<object> = z.strictObject({
  version: z.literal(1),
  pins: listOf(pinSchema),
});

const HINT = 'correct the file of pins, or move it away and pin again: bulla pin REPO --notary URL';

const FORMAT: PinFormat<NotaryPin, StoredPin> = {
  schema: notaryPinsSchema,
  hint: HINT,
  add(pins, stored, where) {
    if (pins.has(stored.scope)) throw unreadable(where, `${stored.scope} is pinned twice`);
    pins.set(stored.scope, checkNotaryPin(readPin(stored, where)));
  },
  store: (scope, pin) => ({ scope, ...stored(pin) }),
};

/** Pins of Notary repositories of one person, by scope: a GUN, or `PREFIX/*`. */
export class NotaryPinFile extends StoredPins<NotaryPin, StoredPin> {
  constructor(path: string) {
    super(path, FORMAT);
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

  /** @returns the pin that was removed @throws BullaError config-invalid, storage-error */
  async remove(scope: string): Promise<NotaryPin | undefined> {
    return await this.removeKey(scope);
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

function unreadable(where: string, why: string): BullaError {
  return unreadablePins(where, why, HINT);
}
