import { prepareCollection } from '../../../actions/change/init.ts';
import { writeFileAtomic } from '../../../disk/atomic.ts';
import { BullaError } from '../../../errors.ts';
import { formatRepository, parseReference } from '../../../oci/reference.ts';
import { SYSTEM_CHANCE } from '../../../servers/system.ts';
import { Beginning } from '../../../trust/approve/beginning.ts';
import { VERSION_BITS } from '../../../tuf/edit/policy.ts';
import { type InitFlags, wishOf } from '../../flags/init-flags.ts';
import type { Context } from '../../shell/context.ts';
import { type CeremonyFlags, offlineKeys } from './people.ts';
import { hold } from './run.ts';

export interface BeginFlags extends InitFlags {
  readonly out: string;
}

/** `bulla ceremony begin` */
export async function begin(
  context: Context,
  text: string,
  flags: BeginFlags & CeremonyFlags,
): Promise<void> {
  const reference = parseReference(text);
  const { rootKey = [], publisherKey = [], namesKey = [], onlineKey = [], out } = flags;
  if (reference.kind !== 'registry' || reference.tag !== undefined || reference.digest !== undefined)
    throw new BullaError('usage', `${text} is not HOST/REPOSITORY`, {
      hint: 'name the repository that the collection is for, without a tag',
    });
  if (rootKey.length === 0 || publisherKey.length + namesKey.length === 0 || onlineKey.length === 0)
    throw new BullaError('usage', 'a ceremony makes no keys, and keys of a role are missing', {
      hint: 'give --root-key, and the public keys --publisher-key FILE.pub and --online-key FILE.pub',
    });
  const wish = wishOf(flags);
  const keys = offlineKeys(context, flags);
  const prepared = await prepareCollection(formatRepository(reference), wish, keys, {
    clock: { now: () => context.io.now(), sleep: async () => undefined },
    chance: SYSTEM_CHANCE,
  });
  // A key that can sign was given to sign.
  const able = await Promise.all(rootKey.map(async (spec) => ((await keys.canSign(spec)) ? [spec] : [])));
  const work = new Beginning({
    ...prepared.collection,
    draw: SYSTEM_CHANCE.below(2 ** VERSION_BITS),
  });
  // Whatever is signed later is signed over this, and not over what a second attempt would draw.
  await writeFileAtomic(context.path(out), work.encode(), { exclusive: true });
  await hold(context, work, out, { ...flags, key: flags.key ?? able.flat() });
}
