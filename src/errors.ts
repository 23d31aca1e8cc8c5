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
  timeout: 3,
  unauthorized: 4,
  forbidden: 4,
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
}

/** The only error type that leaves a public function on purpose. */
export class BullaError extends Error {
  override readonly name = 'BullaError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: BullaErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
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

/** The error's own words, for a message that wraps it. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Ends work that somebody asked to stop.
 * @throws BullaError interrupted, or the error that the signal carries if that is a BullaError (a timeout)
 */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  if (signal.reason instanceof BullaError) throw signal.reason;
  throw new BullaError('interrupted', 'the work was interrupted', {
    cause: signal.reason,
    hint: 'run it again: what was finished is kept, and what was half done is not there',
  });
}
