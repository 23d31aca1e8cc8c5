import { completeInit } from '../../../actions/change/init.ts';
import { openChangePlace, repositoryIn } from '../../flags/change-flags.ts';
import type { CollectionFlags } from '../../flags/collection-flags.ts';
import type { InitFlags } from '../../flags/init-flags.ts';
import type { Context } from '../../shell/context.ts';

/** `bulla init --complete`: the first head, where the online key is. */
export async function complete(
  context: Context,
  text: string,
  flags: InitFlags & CollectionFlags,
): Promise<void> {
  const { output } = context;
  const place = await openChangePlace(context, repositoryIn(text), flags, flags);
  const signers = await Promise.all((flags.onlineKey ?? ['online']).map((spec) => place.keys.signer(spec)));
  const { made, head, shortcomings } = await completeInit(place, place.publish, signers, flags.replace);
  for (const sentence of shortcomings) output.warn(`${place.place}: ${sentence}`);
  output.result(head, { collection: place.name, place: place.place, id: made.id, head, shortcomings });
}
