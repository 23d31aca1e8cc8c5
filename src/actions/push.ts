import type { Descriptor } from '../oci/descriptor.ts';
import { type CopyOptions, type CopyResult, copy } from './copy.ts';

export interface PushOptions extends Omit<CopyOptions, 'beforeTag'> {
  /**
   * Signs what was pushed, at the destination. Runs when everything is there and before the tag moves,
   * so that nobody finds the image under its name without its signature. Not on a dry run.
   */
  readonly sign?: ((root: Descriptor) => Promise<void>) | undefined;
}

/**
 * Brings an image with all that belongs to it to a registry, signed on the way where that is asked for.
 * @throws BullaError those of {@link copy} and of `sign`; the tag has not moved then
 */
export async function push({ sign, ...options }: PushOptions): Promise<CopyResult> {
  return await copy({ ...options, beforeTag: async ({ descriptor }) => sign?.(descriptor) });
}
