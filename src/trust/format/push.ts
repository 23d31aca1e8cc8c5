import { throwIfAborted } from '../../errors.ts';
import { streamOf } from '../../oci/content.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import type { Assembly } from './assemble.ts';
import type { TrustObject } from './object.ts';
import type { TrustTarget } from './ports.ts';

const AT_ONCE = 8;

/**
 * Pushes an assembled object: blobs, then children, then the top.
 * @param tag the object's own; the top is left for later without one
 * @param present digests that need not be pushed
 * @throws BullaError what the target throws
 */
export async function pushObject(
  target: TrustTarget,
  { blobs, children, top }: Assembly,
  tag: Tag | undefined,
  present: ReadonlySet<Digest>,
  options: CallOptions = {},
): Promise<void> {
  const missing = blobs.filter(({ descriptor }) => !present.has(descriptor.digest));
  for (let at = 0; at < missing.length; at += AT_ONCE) {
    throwIfAborted(options.signal);
    await Promise.all(
      missing
        .slice(at, at + AT_ONCE)
        .map(({ descriptor, bytes }) => target.pushBlob(descriptor, async () => streamOf(bytes), options)),
    );
  }
  for (const child of children) await target.pushManifest(child, options);
  if (tag !== undefined) await target.pushManifest(top, { ...options, tag });
}

/** What an object that was read from a place says is there. */
export function partsOf({ files, logs }: TrustObject): ReadonlySet<Digest> {
  return new Set([...files.values(), ...logs.values()].map(({ digest }) => digest));
}
