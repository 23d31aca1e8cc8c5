import { createHash } from 'node:crypto';

/** A stream of numbers that is the same for the same seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: string) {
    this.#state = createHash('sha256').update(seed).digest().readUInt32LE();
  }

  /** A whole number from 0 to `below` - 1. */
  next(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.next(items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }
}

/** What parsers have stumbled over: edges of numbers, nesting, encodings, names of prototypes. */
const TOKENS: readonly Buffer[] = [
  ...['{', '}', '[', ']', '"', '\\', '\\ud800', '\\u0000', ':', ',', 'null', 'true', '-0', '1e999', '0.1'],
  ...['9007199254740993', '-1', '"__proto__":{}', '"constructor":1', '"":""', '../', '%2e%2e/', '\r\n', '='],
  ...[
    'sha256:',
    'sha512:',
    '@',
    ':',
    '/',
    '-----BEGIN ',
    '-----END ',
    'MA==',
    '[['.repeat(200),
    '{"a":'.repeat(100),
  ],
  ...['é', '\u{1f600}', '\u2028', 'A'.repeat(300)],
]
  .map((text) => Buffer.from(text))
  .concat(
    [
      '00',
      'ff',
      '30800000',
      '3084ffffffff',
      '0284ffffffff',
      'a0',
      'bf',
      '9bffffffffffffffff',
      'fb7ff0000000000000',
      'c080',
      'fffe',
    ].map((hex) => Buffer.from(hex, 'hex')),
  );

const MAX_BYTES = 64 * 1024;

/** One of `seeds`, changed in one to six places. */
export function mutate(random: Random, seeds: readonly Buffer[]): Buffer {
  let bytes = Buffer.from(random.pick(seeds));
  for (let changes = 1 + random.next(6); changes > 0; changes -= 1) bytes = change(random, bytes, seeds);
  return bytes.subarray(0, MAX_BYTES);
}

function change(random: Random, bytes: Buffer, seeds: readonly Buffer[]): Buffer<ArrayBuffer> {
  const at = random.next(bytes.length + 1);
  const end = Math.min(bytes.length, at + 1 + random.next(random.next(4) === 0 ? 256 : 8));
  const put = (...between: readonly Buffer[]): Buffer<ArrayBuffer> =>
    Buffer.concat([bytes.subarray(0, at), ...between, bytes.subarray(end)]);
  switch (random.next(8)) {
    case 0: {
      const flipped = Buffer.from(bytes);
      if (flipped.length > 0) {
        const place = random.next(flipped.length);
        flipped[place] = (flipped[place] ?? 0) ^ (1 << random.next(8));
      }
      return flipped;
    }
    case 1:
      return put(Buffer.from([random.next(256)]));
    case 2:
      return put();
    case 3:
      return put(bytes.subarray(at, end), bytes.subarray(at, end));
    case 4:
      return put(random.pick(TOKENS));
    case 5:
      return Buffer.from(bytes.subarray(0, at));
    case 6: {
      const other = random.pick(seeds);
      const from = random.next(other.length + 1);
      return put(other.subarray(from, from + random.next(128)));
    }
    default: {
      // Whole numbers in text and lengths in binary, a little beside what they should be.
      const changed = Buffer.from(bytes);
      if (at < changed.length) changed[at] = ((changed[at] ?? 0) + random.pick([1, 255, 127, 128])) & 255;
      return changed;
    }
  }
}
