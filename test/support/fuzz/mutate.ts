/** Numbers that follow from a seed alone (mulberry32), so that every input can be made again. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** An integer from 0 to below `limit`. */
  below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

/** Largest input, in bytes: enough for work that grows with the square of it to be noticed. */
const MAX_BYTES = 128 * 1024;

/** What parsers of these formats trip over. */
const WORDS: readonly string[] = [
  ...[
    '{',
    '}',
    '[',
    ']',
    '"',
    ',',
    ':',
    '\\',
    '\\u0000',
    '\\ud800',
    'null',
    'true',
    '{}',
    '[]',
    '""',
    '[[[[[[[[',
  ],
  ...['0', '-0', '-1', '1e999', '1.0', '9007199254740993', '4294967296', '99999999999999999999'],
  ...[
    '"__proto__":',
    '"constructor":',
    '"toString":1,',
    '"signed":',
    '"signatures":[]',
    '"keyid":"',
    '"version":',
  ],
  ...[
    '../',
    '..%2f',
    '/',
    '%00',
    '\0',
    '*',
    '?',
    '**',
    'sha256:',
    '@',
    '://',
    '"rel"="next"',
    '; rel=next',
    '<>',
  ],
  ...[
    '-----BEGIN PUBLIC KEY-----\n',
    '-----END PUBLIC KEY-----',
    '-----BEGIN ',
    '\n\n',
    '\r\n',
    '====',
    'MII',
  ],
  ...[
    '\u{feff}',
    '\u{1f600}',
    'é',
    '\u202e',
    'Bearer realm=',
    'scope="',
    ', Basic ',
    '&a *a',
    '!!binary ',
    '<<: ',
  ],
];

type Mutation = (bytes: Uint8Array, random: Random, others: readonly Uint8Array[]) => Uint8Array;

const join = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

const MUTATIONS: readonly Mutation[] = [
  (bytes, random) => {
    const copy = Uint8Array.from(bytes);
    for (let i = 1 + random.below(4); i > 0; i--) copy[random.below(copy.length)]! ^= 1 << random.below(8);
    return copy;
  },
  (bytes, random) => {
    const copy = Uint8Array.from(bytes);
    copy[random.below(copy.length)] = random.pick([0, 1, 0x7f, 0x80, 0xff, 0x20, 0x22, 0x30, 0x5c]);
    return copy;
  },
  (bytes, random) => bytes.slice(0, random.below(bytes.length + 1)),
  (bytes, random) => {
    const [from, to] = [random.below(bytes.length), random.below(bytes.length)].sort((a, b) => a - b) as [
      number,
      number,
    ];
    return join(bytes.slice(0, from), bytes.slice(to));
  },
  (bytes, random) => insert(bytes, random, Buffer.from(random.pick(WORDS))),
  (bytes, random) => insert(bytes, random, random.bytes(1 + random.below(8))),
  (bytes, random) => {
    const from = random.below(bytes.length);
    const piece = bytes.slice(from, from + 1 + random.below(64));
    const count = 1 + random.below(random.below(10) === 0 ? MAX_BYTES / piece.length : 8);
    return insert(bytes, random, Buffer.concat(Array.from({ length: count }, () => piece)));
  },
  (bytes, random, others) => {
    const other = random.pick(others);
    return join(bytes.slice(0, random.below(bytes.length)), other.slice(random.below(other.length)));
  },
  (bytes, random) => {
    // A number becomes another one.
    const text = Buffer.from(bytes).toString('latin1');
    const numbers = [...text.matchAll(/\d+/g)];
    if (numbers.length === 0) return bytes;
    const { index, 0: digits } = random.pick(numbers);
    const number = random.pick([
      '0',
      '-1',
      '1',
      '255',
      '65536',
      '4294967295',
      '9007199254740992',
      '1'.repeat(400),
    ]);
    return new Uint8Array(
      Buffer.from(text.slice(0, index) + number + text.slice(index + digits.length), 'latin1'),
    );
  },
];

function insert(bytes: Uint8Array, random: Random, piece: Uint8Array): Uint8Array {
  const at = random.below(bytes.length + 1);
  return join(bytes.slice(0, at), piece, bytes.slice(at));
}

/** An input for a parser: most often one of its seeds, changed a little; sometimes made of nothing. */
export function inputFrom(random: Random, seeds: readonly Uint8Array[]): Uint8Array {
  const kind = random.below(20);
  if (kind === 0) return random.bytes(random.below(400));
  if (kind === 1)
    return new Uint8Array(
      Buffer.from(Array.from({ length: random.below(60) }, () => random.pick(WORDS)).join('')),
    );
  let bytes = random.pick(seeds);
  for (let rounds = 1 + random.below(5); rounds > 0 && bytes.length > 0; rounds--)
    bytes = random.pick(MUTATIONS)(bytes, random, seeds);
  return bytes.slice(0, MAX_BYTES);
}

/** The random numbers of input `index` of a run. */
export function randomFor(seed: number, index: number): Random {
  const mixed = new Random((seed ^ Math.imul(index + 1, 0x9e3779b1)) >>> 0);
  return new Random(mixed.below(2 ** 32));
}
