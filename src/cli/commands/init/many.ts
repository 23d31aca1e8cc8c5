import { init as makeCollection } from '../../../actions/change/init.ts';
import { BullaError, isBullaError } from '../../../errors.ts';
import { openChangePlace, repositoryIn } from '../../flags/change-flags.ts';
import { type InitFlags, keysOf, makeMissingKeys, pinOwnRoot, wishOf } from '../../flags/init-flags.ts';
import { repositoriesOf } from '../../flags/repositories.ts';
import { keysAtHand } from '../../flags/trust-keys.ts';
import type { Context } from '../../shell/context.ts';
import { runMany } from '../../shell/many.ts';

/** What became of one repository. */
interface Begun {
  readonly id: string | null;
  readonly head: string | null;
  readonly stage: string | null;
  /** Id of the staged change that hands `names` over. */
  readonly waiting: string | null;
  /** It had a collection before, and that was left alone. */
  readonly existed: boolean;
}

/**
 * `bulla init` of many repositories, all with the same keys. Where there is a collection already, it is left alone.
 * @throws BullaError with the code of the repository that failed with the greatest exit status
 */
export async function initAll(
  context: Context,
  pattern: string | undefined,
  flags: InitFlags,
): Promise<void> {
  if (flags.at !== undefined || flags.collection !== undefined || flags.replace !== undefined)
    throw new BullaError('usage', '--at, --collection and --replace are about one repository', {
      hint: 'leave them out, or name one repository',
    });
  const repositories = await repositoriesOf(context, pattern, flags, flags);
  const wish = wishOf(flags);
  await makeMissingKeys(context, flags, wish.keys);
  const keys = keysAtHand(context, { ...flags, key: keysOf(wish) });
  const { output } = context;
  const work = async (text: string): Promise<Begun> => {
    const reference = repositoryIn(text);
    const place = { ...(await openChangePlace(context, reference, flags, flags)), keys };
    const made = await makeCollection(place, wish).catch((error: unknown) => {
      if (isBullaError(error, 'conflict') && error.details['digest'] !== undefined) return undefined;
      throw error;
    });
    if (made === undefined) return { id: null, head: null, stage: null, waiting: null, existed: true };
    await pinOwnRoot(context, reference, flags, { place, made });
    for (const sentence of made.shortcomings) output.warn(`${text}: ${sentence}`);
    const { head = null, stage = null, handOver } = made;
    return { id: made.made.id, head, stage, waiting: handOver?.change?.id ?? null, existed: false };
  };
  await runMany(context, repositories, 'have a collection', work, (begun, text) => {
    const { id, existed, stage, waiting } = begun;
    const what = existed
      ? 'left alone: it has a collection already'
      : [
          `collection ${id}`,
          ...(stage === null
            ? []
            : [`staged as ${stage}: bulla init ${text} --complete where the online key is`]),
          ...(waiting === null ? [] : [`names waits: bulla approve ${text} ${waiting}`]),
        ].join('; ');
    output.result(`${text}  ${what}`, { given: text, collection: text, ...begun });
  });
}
