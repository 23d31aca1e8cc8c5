import { assertAll, eachOf, summary } from '../../actions/copy/many.ts';
import type { Context } from './context.ts';

/** Whether a command works on its references one by one: it was given several, or a list of them. */
export function isMany(texts: readonly string[], from: string | undefined): boolean {
  return from !== undefined || texts.length > 1;
}

/**
 * Works on each reference of a command, and says what came of it: a line for each, then one about all.
 * @param what is done with them: `verified`
 * @param print prints what came of one
 * @param finish called when all are done and none has failed
 * @throws BullaError with the code of the reference that failed with the greatest exit status
 */
export async function runMany<R>(
  context: Context,
  texts: readonly string[],
  what: string,
  work: (text: string) => Promise<R>,
  print: (value: R, text: string) => void,
  finish: () => Promise<void> = async () => undefined,
): Promise<void> {
  const { output, settings, signal } = context;
  output.inLines();
  const { concurrency } = settings;
  const tally = await eachOf(texts, { concurrency, signal }, work, (outcome) => {
    if (outcome.ok) print(outcome.value, outcome.text);
    else output.referenceFailed(outcome.text, outcome.error);
  });
  assertAll(tally, what, signal);
  await finish();
  const { total, done, failed, left } = tally;
  output.info(summary(tally, what));
  output.result([], { details: { total, done, failed, left } });
}
