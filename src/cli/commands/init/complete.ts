import { collectionIdOf } from '../../../trust/format/binding.ts';
import { completeStaged } from '../../../trust/publish/staged-creation.ts';
import { readCollection } from '../../../trust/read/collection.ts';
import { repositoryIn } from '../../changing.ts';
import { type CollectionFlags, openCollection } from '../../flags/collection-flags.ts';
import { publishOptionsOf } from '../../flags/publish-flags.ts';
import { keysAtHand } from '../../flags/trust-keys.ts';
import type { Context } from '../../shell/context.ts';
import type { InitFlags } from './make.ts';

/** `bulla init --complete`: the first head, where the online key is. */
export async function complete(
  context: Context,
  text: string,
  flags: InitFlags & CollectionFlags,
): Promise<void> {
  const opened = await openCollection(context, repositoryIn(text), flags, { write: true });
  const keys = keysAtHand(context, flags);
  const specs = flags.onlineKey ?? ['online'];
  const signers = await Promise.all(specs.map((spec) => keys.signer(spec)));
  const options = await publishOptionsOf(context, signers, {});
  const { made, head, shortcomings } = await completeStaged(opened.target, opened.read, options);
  const initialRoot = made.files.roots[0]?.bytes ?? new Uint8Array();
  await readCollection(opened.target, {
    ...opened.read,
    anchor: async () => ({ id: collectionIdOf(initialRoot), initialRoot }),
  });
  for (const sentence of shortcomings) context.output.warn(`${opened.place}: ${sentence}`);
  context.output.result(head, {
    collection: opened.name,
    place: opened.place,
    id: made.id,
    head,
    shortcomings,
  });
}
