import { throwIfAborted } from '../errors.ts';
import { streamOf } from './content.ts';
import type { Descriptor } from './descriptor.ts';
import type { BlobPusher, CallOptions } from './target.ts';

const AT_ONCE = 8;

/** Pushes blobs that are in memory, a few at once. @throws BullaError what the target throws; interrupted */
export async function pushBlobs(
  target: Pick<BlobPusher, 'pushBlob'>,
  blobs: readonly { readonly descriptor: Descriptor; readonly bytes: Uint8Array }[],
  options: CallOptions = {},
): Promise<void> {
  for (let at = 0; at < blobs.length; at += AT_ONCE) {
    throwIfAborted(options.signal);
    await Promise.all(
      blobs
        .slice(at, at + AT_ONCE)
        .map(({ descriptor, bytes }) => target.pushBlob(descriptor, async () => streamOf(bytes), options)),
    );
  }
}
