import type { Line } from '../render/style.ts';
import type { Context } from '../shell/context.ts';
import { isMany, runMany } from '../shell/many.ts';
import { givenReferences } from './reference-list.ts';

/** What a command shows of one reference. */
export interface Shown {
  readonly lines: Iterable<Line>;
  readonly json: Readonly<Record<string, unknown>>;
}

/**
 * Shows what a command was asked about: one reference, or several one after another.
 * @param from path of a list, as {@link givenReferences} reads it
 * @throws BullaError what `show` throws; of several, with the code of the worst failure
 */
export async function showEach(
  context: Context,
  texts: readonly string[],
  from: string | undefined,
  show: (text: string) => Promise<Shown>,
): Promise<void> {
  const { output } = context;
  const all = await givenReferences(context, texts, from);
  if (!isMany(all, from)) {
    const { lines, json } = await show(all[0]);
    output.drawing([...lines], json);
    return;
  }
  await runMany(context, all, 'shown', show, ({ lines, json }, text) => {
    output.drawing([...lines], { given: text, ...json });
  });
}
