import { createHash } from 'node:crypto';
import { BullaError } from '../errors.ts';
import { type Fields, malformed } from './fields.ts';

/** Hex digests by the name of their algorithm, unknown ones included (TUF 1.0.34 §4.4, §4.5). */
export type Hashes = ReadonlyMap<string, string>;

/** What snapshot or timestamp say about another file (METAFILES, TUF 1.0.34 §4.4). */
export interface FileMeta {
  readonly version: number;
  /** Exact size in bytes, where it is told. */
  readonly length?: number;
  readonly hashes?: Hashes;
}

/** Algorithms that are computed; a file that has none of them cannot be verified. */
const KNOWN: ReadonlyMap<string, number> = new Map([
  ['sha256', 64],
  ['sha512', 128],
]);

/** @throws BullaError content-invalid (details.role) */
export function parseFileMeta(fields: Fields, role: string): FileMeta {
  const version = fields.integer('version', 1);
  const hashes = fields.optionalObject('hashes');
  return {
    version,
    ...(fields.json['length'] !== undefined && { length: fields.integer('length', 0) }),
    ...(hashes !== undefined && { hashes: parseHashes(hashes, role) }),
  };
}

/** @throws BullaError content-invalid (details.role) where there is none, or a known one is misspelled */
export function parseHashes(fields: Fields, role: string): Hashes {
  const hashes = new Map<string, string>();
  for (const name of Object.keys(fields.json)) {
    const value = fields.string(name);
    const length = KNOWN.get(name);
    if (length !== undefined && !(value.length === length && /^[0-9a-f]+$/.test(value))) {
      fields.fail(name, `${length} lower-case hexadecimal digits`);
    }
    hashes.set(name, value);
  }
  if (hashes.size === 0) throw malformed(role, 'hashes are there and name no algorithm');
  return hashes;
}

/** How the bytes differ from what was signed about them. */
export interface Mismatch {
  readonly what: string;
  readonly expected: string;
  readonly found: string;
}

/** Checks bytes that come in pieces against a signed length and signed hashes. */
export class ContentCheck {
  private readonly expectedLength: number | undefined;
  private readonly hashes: readonly (readonly [string, string, ReturnType<typeof createHash>])[];
  private readonly unverifiable: boolean;
  private length = 0;

  /** @param expected at least one known algorithm is needed wherever there are hashes; others are skipped */
  constructor(expected: { readonly length?: number | undefined; readonly hashes?: Hashes | undefined }) {
    const known = [...(expected.hashes ?? [])].filter(([name]) => KNOWN.has(name));
    this.expectedLength = expected.length;
    this.hashes = known.map(([name, digest]) => [name, digest, createHash(name)]);
    this.unverifiable = expected.hashes !== undefined && known.length === 0;
  }

  update(bytes: Uint8Array): this {
    this.length += bytes.byteLength;
    for (const [, , hash] of this.hashes) hash.update(bytes);
    return this;
  }

  /** Whether more has come than was signed, so that reading on is pointless. */
  get isTooLong(): boolean {
    return this.expectedLength !== undefined && this.length > this.expectedLength;
  }

  /** What does not agree, or undefined; call once, at the end. */
  mismatch(): Mismatch | undefined {
    if (this.expectedLength !== undefined && this.length !== this.expectedLength) {
      return { what: 'length', expected: String(this.expectedLength), found: String(this.length) };
    }
    if (this.unverifiable) return { what: 'hashes', expected: 'sha256 or sha512', found: 'neither' };
    for (const [what, expected, hash] of this.hashes) {
      const found = hash.digest('hex');
      if (found !== expected) return { what, expected, found };
    }
    return undefined;
  }
}

/**
 * Checks a metadata file against what snapshot or timestamp signed about it (TUF 1.0.34 §5.5.2, §5.6.2).
 * @throws BullaError trust-invalid (details.role)
 */
export function assertFileMeta(bytes: Uint8Array, meta: FileMeta, role: string): void {
  const mismatch = new ContentCheck(meta).update(bytes).mismatch();
  if (mismatch === undefined) return;
  const { what, expected, found } = mismatch;
  throw new BullaError(
    'trust-invalid',
    `metadata of ${JSON.stringify(role)}: ${what} is ${found}, and ${expected} was signed`,
    {
      hint: 'files of different states were mixed: the mirror is inconsistent, or the file was altered',
      details: { role, reason: 'hash', ...mismatch },
    },
  );
}
