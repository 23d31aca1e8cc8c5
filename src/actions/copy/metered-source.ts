import { decorated } from '../../oci/decorated.ts';
import type { Source } from '../../oci/target.ts';

/** A source, and how many bytes of manifests and whole blobs came from it so far. */
export interface MeteredSource {
  readonly source: Source;
  readonly bytes: number;
}

/** Counts what is read: the other side decides how much that is, and a search must be able to stop. */
export function meteredSource(source: Source): MeteredSource {
  let bytes = 0;
  const fetchManifest: Source['fetchManifest'] = async (reference, options) => {
    const content = await source.fetchManifest(reference, options);
    bytes += content.bytes.byteLength;
    return content;
  };
  const fetchBlob: Source['fetchBlob'] = async (descriptor, maxBytes, options) => {
    const blob = await source.fetchBlob(descriptor, maxBytes, options);
    bytes += blob.byteLength;
    return blob;
  };
  return {
    source: decorated(source, { fetchManifest, fetchBlob }),
    get bytes() {
      return bytes;
    },
  };
}
