import type { Digest } from '../../oci/digest.ts';
import { pushBlobs } from '../../oci/push-blobs.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import type { Assembly } from './assemble.ts';
import type { TrustObject } from './object.ts';
import type { TrustTarget } from './ports.ts';

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
  await pushBlobs(target, missing, options);
  for (const child of children) await target.pushManifest(child, options);
  if (tag !== undefined) await target.pushManifest(top, { ...options, tag });
}

/** What an object that was read from a place says is there. */
export function partsOf({ files, logs }: TrustObject): ReadonlySet<Digest> {
  return new Set([...files.values(), ...logs.values()].map(({ digest }) => digest));
}
