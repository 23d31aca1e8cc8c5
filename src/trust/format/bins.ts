import { isJsonObject, type JsonObject } from '../../encoding/json.ts';
import { BINDING } from './binding.ts';
import { BIN_PREFIX } from './vocabulary.ts';

/** Whether a role's name could be that of a bin of `names`. */
export function isBinName(role: string): boolean {
  return new RegExp(`^${BIN_PREFIX}-[0-9a-f]+$`).test(role);
}

/** Up to so many names are held by `names` itself. */
const MAX_UNBINNED = 1000;

/** Bytes that a bin costs a reader of one name: its entry in the snapshot, and per name in a bin. */
const SNAPSHOT_ENTRY_BYTES = 32;
const NAME_BYTES = 120;
/** Of descriptors: of the shards in the index, and of the bins in a shard. */
const DESCRIPTOR_BYTES = 146;
const MAX_BITS = 16;

/**
 * Bits of the bins for so many names, so that a reader who knows nothing has to fetch the fewest bytes
 * for one name (spec/trust.md, "Large head"); undefined where no bins are needed.
 */
export function binBitsFor(names: number): number | undefined {
  if (names <= MAX_UNBINNED) return undefined;
  let best = 1;
  for (let bits = 1; bits <= MAX_BITS; bits++)
    if (coldBytes(names, bits) < coldBytes(names, best)) best = bits;
  return best;
}

function coldBytes(names: number, bits: number): number {
  const shards = 2 ** Math.floor(bits / 2);
  const bins = 2 ** bits;
  return (
    bins * SNAPSHOT_ENTRY_BYTES + (names / bins) * NAME_BYTES + (shards + bins / shards) * DESCRIPTOR_BYTES
  );
}

/** Most names that bins are made for. */
const MAX_NAMES = 2 ** 32;

/**
 * How many names a role says that its bins hold (spec/trust.md, "Binding").
 * @param signed part of its file
 * @returns undefined where it has no bins, or says nothing that can be: then they are counted
 */
export function namesIn(signed: JsonObject): number | undefined {
  const { delegations, [BINDING]: binding } = signed;
  if (!isJsonObject(delegations) || delegations['succinct_roles'] === undefined) return undefined;
  const names = isJsonObject(binding) ? binding['names'] : undefined;
  const isNumber = typeof names === 'number' && Number.isSafeInteger(names);
  return isNumber && names >= 0 && names <= MAX_NAMES ? names : undefined;
}
