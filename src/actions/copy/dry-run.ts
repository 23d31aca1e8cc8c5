import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { parseCarried } from '../../oci/manifest.ts';
import type { Target } from '../../oci/target.ts';
import type { CopyDestination } from './transfer.ts';

/** A destination that answers as the real one and takes everything without storing it. */
export function dryDestination(target: Target): CopyDestination {
  const claimed = new Map<Digest, Descriptor[]>();
  return {
    name: target.name,
    mount: target.mount,
    mayLackParts: target.mayLackParts,
    resolve: (reference, options) => target.resolve(reference, options),
    fetchManifest: (reference, options) => target.fetchManifest(reference, options),
    pushBlob: async (descriptor, _open, options) =>
      (await target.hasBlob(descriptor, options)) ? 'exists' : 'pushed',
    pushManifest: async (content) => {
      const subject = parseCarried(content).subject?.digest;
      if (subject === undefined) return;
      claimed.set(subject, [...(claimed.get(subject) ?? []), content.descriptor]);
    },
    listReferrers: async (subject, options) => [
      ...(await target.listReferrers(subject, options)),
      ...(claimed.get(subject) ?? []),
    ],
  };
}
