import { copyAs } from '../../../actions/sign/copy-as.ts';
import { BullaError } from '../../../errors.ts';
import type { Reference } from '../../../oci/reference.ts';
import { openCollection } from '../../flags/collection-flags.ts';
import type { NamingFlags } from '../../flags/naming-flags.ts';
import { nameWishOf } from '../../flags/sign-flags.ts';
import { signPorts } from '../../flags/sign-ports.ts';
import { describeMissing, namedJson } from '../../render/sign-text.ts';
import type { Context, Image } from '../../shell/context.ts';
import { type CopyFlags, runCopy } from './run.ts';

export interface NamingCopyFlags extends NamingFlags {
  readonly proof: boolean;
}

/** `bulla copy --as`: the image is copied, and its name is signed in the destination's own collection. */
export async function runCopyAs(
  context: Context,
  image: Image,
  to: Reference,
  copyFlags: CopyFlags,
  flags: NamingCopyFlags,
): Promise<void> {
  const { output } = context;
  const images = await context.openTarget(to, { write: true, side: 'to' });
  await runCopy(
    context,
    image,
    to,
    copyFlags,
    async (options) => {
      const copied = await copyAs({
        ...options,
        name: nameWishOf(flags),
        signing: signPorts(context, to, images, flags, 'to'),
        openFrom: () => openCollection(context, image.reference, {}, { side: 'from' }),
        onWarning: (message) => output.warn(message),
      });
      for (const missing of copied.named?.missingProofs ?? []) output.warn(describeMissing(missing));
      return copied;
    },
    ({ named }) => ({ named: namedJson(named) }),
  );
}

/** Nothing but `--as` signs anything, and that one image. @throws BullaError usage */
export function refuseNaming(flags: NamingCopyFlags, as?: true): void {
  if (as === true)
    throw new BullaError('usage', '--as signs the name of one image, and --all-tags copies many', {
      hint: 'copy the images, then sign them where they are: bulla sign',
    });
  const { key, signer, at, collection, root, rootKeyId, rootCa, tofu, wait, trustServedHead } = flags;
  const given = [key, signer, at, collection, root, rootKeyId, rootCa, tofu, wait, trustServedHead];
  if (given.every((flag) => flag === undefined) && flags.proof) return;
  throw new BullaError('usage', 'flags for signing a name are given, and none is signed', {
    hint: 'bulla copy signs a name only with --as',
  });
}
