import { BullaError, isBullaError, messageOf, throwIfAborted } from '../../errors.ts';
import type { Tag } from '../../oci/reference.ts';

/** What a publish has put beside the head. */
export interface LeftBehind {
  /** Where the collection lies. */
  readonly place: string;
  readonly tag: Tag;
  /** Ids of its changes. */
  readonly ids: readonly string[];
}

/**
 * The error that an interrupted publish ends with: what it has put beside the head stays there, and can still be
 * published by others. Any other error is left as it is.
 * @param left undefined where nothing was put there
 */
export function interruptedWith(
  error: unknown,
  signal: AbortSignal | undefined,
  left: LeftBehind | undefined,
): unknown {
  if (signal?.aborted !== true || left === undefined) return error;
  const { code, message, details } = reasonOf(signal);
  const { place, tag, ids } = left;
  return new BullaError(
    code,
    `${message}; the change stays at ${place}:${tag}, where others can publish it`,
    {
      cause: error,
      hint: `look whether it was published: bulla status ${place}; run the command again only if it was not`,
      details: { ...details, ids, tag },
    },
  );
}

/** Whether an error says what was left behind: then nothing that is less exact may take its place. */
export function saysWhatIsLeft(error: unknown): boolean {
  return isBullaError(error) && error.details['tag'] !== undefined && error.details['ids'] !== undefined;
}

function reasonOf(signal: AbortSignal): BullaError {
  try {
    throwIfAborted(signal);
  } catch (error) {
    if (error instanceof BullaError) return error;
  }
  return new BullaError('interrupted', messageOf(signal.reason), { hint: 'run it again' });
}
