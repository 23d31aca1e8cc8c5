import { utf8 } from '../../encoding/bytes.ts';
import { BullaError } from '../../errors.ts';
import { digestOf, hexOf } from '../../oci/digest.ts';

/** One of several machines that share the collections between them. */
export interface Shard {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

const MAX_SHARDS = 1024;

/** Reads `0/3`: the first of three. @throws BullaError usage */
export function parseShard(text: string): Shard {
  const match = /^(\d{1,4})\/(\d{1,4})$/.exec(text);
  const [index, count] = [Number(match?.[1]), Number(match?.[2])];
  if (match !== null && count >= 1 && count <= MAX_SHARDS && index < count) return { index, count };
  throw new BullaError('usage', `${JSON.stringify(text.slice(0, 40))} is not a shard`, {
    hint: `write I/N: 0/3, 1/3 and 2/3 are the three of three; at most ${MAX_SHARDS}`,
  });
}

/** Whether a collection is this shard's, by the hash of its place: the same on every machine. */
export function isInShard(place: string, { index, count }: Shard): boolean {
  return Number.parseInt(hexOf(digestOf(utf8(place))).slice(0, 12), 16) % count === index;
}
