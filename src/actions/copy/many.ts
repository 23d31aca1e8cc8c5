import { BullaError, isBullaError, throwIfAborted } from '../../errors.ts';
import { formatReference, parseReference } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';

/** What came of one of many pieces of work. */
export type Outcome<R> =
  | { readonly text: string; readonly ok: true; readonly value: R }
  | { readonly text: string; readonly ok: false; readonly error: BullaError };

/** How many of the pieces ended in which way. */
export interface Tally {
  readonly total: number;
  readonly done: number;
  readonly failed: number;
  /** Not begun, or not finished, because the run was ended. */
  readonly left: number;
  /** The failure with the greatest exit status; the first of those. */
  readonly worst: BullaError | undefined;
}

export interface ManyOptions extends CallOptions {
  /** How many are worked on at the same time. */
  readonly concurrency: number;
}

/** Results that wait for an earlier one: no more is begun while there are so many. */
const MAX_AHEAD = 1024;

/**
 * Works on each reference once, a few at a time, however often and in whatever spelling it was given. A failure of one
 * does not end the others. Outcomes are told in the order of the references, each as soon as those before it are told.
 * If the signal ends the run, what was finished by then is told.
 * @throws what is not a BullaError, which is a defect; nothing if the signal ends the run: the tally says so
 */
export async function eachOf<R>(
  texts: readonly string[],
  { concurrency, signal }: ManyOptions,
  work: (text: string) => Promise<R>,
  tell: (outcome: Outcome<R>) => void,
): Promise<Tally> {
  const all = distinct(texts);
  const order = new InOrder(tell);
  let defect: { readonly error: unknown } | undefined;
  const isEnded = (): boolean => defect !== undefined || signal?.aborted === true;
  const attempt = async (text: string): Promise<Outcome<R> | undefined> => {
    try {
      return { text, ok: true, value: await work(text) };
    } catch (error) {
      // What fails because the run is being ended is left undone; that says nothing about it.
      if (isEnded() && (error === signal?.reason || isBullaError(error, 'interrupted', 'timeout')))
        return undefined;
      if (isBullaError(error)) return { text, ok: false, error };
      defect ??= { error };
      return undefined;
    }
  };
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < all.length && !isEnded()) {
      if (order.isFull(next)) {
        await order.moved();
        continue;
      }
      const at = next++;
      order.put(at, await attempt(all[at] as string));
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, all.length) }, worker));
  order.end();
  if (defect !== undefined) throw defect.error;
  const { done, failed, worst } = order;
  return { total: all.length, done, failed, left: all.length - done - failed, worst };
}

/** Tells outcomes in the order of their references, and counts them. */
class InOrder<R> {
  done = 0;
  failed = 0;
  worst: BullaError | undefined;
  private readonly tell: (outcome: Outcome<R>) => void;
  private readonly waiting = new Map<number, Outcome<R> | undefined>();
  private told = 0;
  private sleeping: (() => void)[] = [];

  constructor(tell: (outcome: Outcome<R>) => void) {
    this.tell = tell;
  }

  /** Whether so many outcomes may wait that the one at this place must not be begun yet. */
  isFull(at: number): boolean {
    return at - this.told >= MAX_AHEAD;
  }

  /** Until an outcome came. */
  async moved(): Promise<void> {
    await new Promise<void>((resolve) => this.sleeping.push(resolve));
  }

  /** @param outcome undefined if it was left undone */
  put(at: number, outcome: Outcome<R> | undefined): void {
    this.waiting.set(at, outcome);
    while (this.waiting.has(this.told)) {
      const next = this.waiting.get(this.told);
      this.waiting.delete(this.told++);
      if (next !== undefined) this.report(next);
    }
    for (const resume of this.sleeping.splice(0)) resume();
  }

  /** Tells what waited for outcomes that will not come. */
  end(): void {
    for (const [, outcome] of [...this.waiting].sort(([a], [b]) => a - b))
      if (outcome !== undefined) this.report(outcome);
  }

  private report(outcome: Outcome<R>): void {
    if (outcome.ok) this.done++;
    else {
      this.failed++;
      if (this.worst === undefined || outcome.error.exitCode > this.worst.exitCode)
        this.worst = outcome.error;
    }
    this.tell(outcome);
  }
}

/** The first of those that mean the same. What is not a reference means itself. */
function distinct(texts: readonly string[]): readonly string[] {
  const known = new Map<string, string>();
  for (const text of texts) {
    const meaning = meaningOf(text);
    if (!known.has(meaning)) known.set(meaning, text);
  }
  return [...known.values()];
}

function meaningOf(text: string): string {
  try {
    return formatReference(parseReference(text));
  } catch (error) {
    if (error instanceof BullaError) return text;
    throw error;
  }
}

/**
 * The failure of many pieces of work, if there was one: its code and exit status are those of the piece with the
 * greatest exit status, and of the end of the run if it was ended (spec/outcomes.md, "Several references").
 * @param what was done with those that did not fail: `verified`
 * @throws BullaError
 */
export function assertAll(tally: Tally, what: string, signal?: AbortSignal): void {
  const { total, done, failed, left, worst } = tally;
  const counts = { total, done, failed, left };
  if (left > 0) {
    try {
      throwIfAborted(signal);
    } catch (cause) {
      if (!(cause instanceof BullaError)) throw cause;
      throw new BullaError(cause.code, `${summary(tally, what)}: ${cause.message}`, {
        cause,
        hint: `${done} of ${total} are finished; run the command again for the others`,
        details: counts,
      });
    }
  }
  if (worst === undefined) return;
  throw new BullaError(worst.code, summary(tally, what), {
    cause: worst,
    ...(worst.hint !== undefined && { hint: worst.hint }),
    details: counts,
  });
}

/** `17 of 20 verified, 3 failed`. */
export function summary({ total, done, failed, left }: Tally, what: string): string {
  return [
    `${done} of ${total} ${what}`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(left > 0 ? [`${left} not done`] : []),
  ].join(', ');
}
