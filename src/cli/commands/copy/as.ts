import { copyAs } from '../../../actions/sign/copy-as.ts';
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
