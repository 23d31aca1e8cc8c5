/**
 * Every outcome that is not success has a code from this closed set, and every code has one exit
 * status (spec/outcomes.md). 10 to 13 are those of cosign, so that scripts can be carried over.
 */
export const EXIT_CODES = {
  /** A defect of ours. */
  internal: 1,
  /** The command line or the call asks for something that cannot be. */
  usage: 2,
  'config-invalid': 2,
  'policy-invalid': 2,
  /** A key that cannot be read, decrypted, or used for what it was asked for. */
  'key-invalid': 2,
  /** Try again: nothing is known about the image. Never to be read as "unsigned". */
  'registry-unreachable': 3,
  'registry-throttled': 3,
  'registry-error': 3,
  /** The device, agent or service that keeps a key cannot be asked now; nothing was signed. */
  'key-unavailable': 3,
  timeout: 3,
  unauthorized: 4,
  forbidden: 4,
  /** A rule of the registry does not allow what was to be written; details.reason names it. */
  'registry-policy': 4,
  /** The local disk: full, read-only, not permitted, locked by another process. */
  'storage-error': 5,
  unsigned: 10,
  'unsupported-signature': 10,
  'not-found': 11,
  /** What is signed is known, and it is not where it is to be run from: copy it there. */
  'image-missing': 11,
  'signature-mismatch': 12,
  'threshold-not-met': 12,
  'untrusted-identity': 12,
  /** A rule of the policy forbids the image, or no rule allows it. */
  'policy-denied': 12,
  'certificate-invalid': 13,
  'certificate-expired': 13,
  revoked: 13,
  'trust-expired': 20,
  'trust-rollback': 21,
  'trust-invalid': 22,
  'name-not-signed': 23,
  'digest-mismatch': 24,
  'trust-unpinned': 25,
  conflict: 30,
  staged: 31,
  'content-invalid': 40,
  /** Ended by a signal from the person or the system. */
  interrupted: 130,
} as const;

/** Stable name of an outcome; part of the public interface. */
export type ErrorCode = keyof typeof EXIT_CODES;

/** What a {@link BullaError} carries beside its code and message. */
export interface BullaErrorOptions {
  /** What the reader can do about it, as a sentence. */
  readonly hint?: string;
  /** The error underneath, if there is one. */
  readonly cause?: unknown;
  /** Facts for programs (`-o json`); never secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** The message has lines, which are ours: line ends stay. */
  readonly lines?: true;
}

/** Longest message or hint, and longest string in the details of an error, in characters. */
export const MAX_SHOWN: number = 4_000;
/** Of a run of more than 600 characters without a space so much is shown: our words, digests and URLs are shorter. */
const WORD_HEAD = 120;
const LONGEST_WORD = 600;
const MAX_DETAILS = 1_000;
const MAX_DETAIL_DEPTH = 8;
const HARMFUL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const HARMFUL_BUT_LINES = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/**
 * Text as it may be shown or logged, whatever of it came from outside: no longer than a person reads, and without
 * characters that move the cursor, turn the line around or begin a new one; those are written out. A word that is
 * too long is shortened where it stands, so that what we say about it is still there.
 */
export function shown(text: string, max: number = MAX_SHOWN, lines = false): string {
  // What is beyond any bound is not even looked at.
  let short = text.length > 4096 * max ? `${text.slice(0, 2048 * max)}…${text.slice(-2048 * max)}` : text;
  // Asked first, since the pattern walks to the end of each word from each of its characters.
  if (short.length > LONGEST_WORD)
    short = short.replace(/\S{601,}/g, (word) => `${word.slice(0, WORD_HEAD)}…(${word.length} characters)`);
  if (short.length > max) {
    const rest = Math.floor(max / 8);
    short = `${short.slice(0, max - rest - 40)} …(${text.length} characters)… ${short.slice(-rest)}`;
  }
  return short.replace(lines ? HARMFUL_BUT_LINES : HARMFUL, writtenOut);
}

function writtenOut(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}

/** Facts of which no string is longer, and no list has more elements, than is shown of an error. */
function bounded(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return shown(value, MAX_SHOWN, true);
  if (typeof value !== 'object' || value === null) return value;
  if (depth > MAX_DETAIL_DEPTH) return '…';
  if (Array.isArray(value)) return value.slice(0, MAX_DETAILS).map((one) => bounded(one, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, MAX_DETAILS)
      .map(([name, one]) => [shown(name, 200), bounded(one, depth + 1)]),
  );
}

/** The only error type that leaves a public function on purpose. */
export class BullaError extends Error {
  override readonly name = 'BullaError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: BullaErrorOptions = {}) {
    super(
      shown(message, MAX_SHOWN, options.lines),
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    this.hint = options.hint === undefined ? undefined : shown(options.hint);
    this.details = (bounded(options.details ?? {}) ?? {}) as Readonly<Record<string, unknown>>;
  }

  /** Exit status of a command that ends with this error. */
  get exitCode(): number {
    return EXIT_CODES[this.code];
  }
}

/** Whether `error` is a BullaError, of one of `codes` if any are given. */
export function isBullaError(error: unknown, ...codes: ErrorCode[]): error is BullaError {
  return error instanceof BullaError && (codes.length === 0 || codes.includes(error.code));
}

/** The error's own words, for a message that wraps it, or for a log. */
export function messageOf(error: unknown): string {
  return shown(error instanceof Error ? error.message : String(error));
}

/**
 * Ends work that was asked to stop.
 * @throws BullaError interrupted, or the error that the signal carries if that is a BullaError (a timeout)
 */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  if (signal.reason instanceof BullaError) throw signal.reason;
  throw new BullaError('interrupted', 'the work was interrupted', {
    cause: signal.reason,
    hint: 'run it again: finished work is kept, and nothing is left half done',
  });
}
