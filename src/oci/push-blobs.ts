import { throwIfAborted } from '../errors.ts';
import { streamOf } from './content.ts';
import { type Descriptor, EMPTY_DESCRIPTOR } from './descriptor.ts';
import type { BlobPusher, CallOptions } from './target.ts';

const AT_ONCE = 8;
/** To ask whether so few bytes are there costs more than to send them: one round trip more where they are not. */
const SMALL_BYTES = 64 * 1024;

/**
 * Pushes blobs that were made just now and are in memory, a few at once. They are small, and new, and so not asked for
 * before; other than the empty one, which nearly every repository has.
 * @throws BullaError what the target throws; interrupted
 */
export async function pushBlobs(
  target: Pick<BlobPusher, 'pushBlob'>,
  blobs: readonly { readonly descriptor: Descriptor; readonly bytes: Uint8Array }[],
  options: CallOptions = {},
): Promise<void> {
  for (let at = 0; at < blobs.length; at += AT_ONCE) {
    throwIfAborted(options.signal);
    await Promise.all(
      blobs.slice(at, at + AT_ONCE).map(({ descriptor, bytes }) =>
        target.pushBlob(descriptor, async () => streamOf(bytes), {
          ...options,
          ...(isLikelyNew(descriptor) && { known: 'new' }),
        }),
      ),
    );
  }
}

function isLikelyNew({ digest, size }: Descriptor): boolean {
  return size <= SMALL_BYTES && digest !== EMPTY_DESCRIPTOR.digest;
}
