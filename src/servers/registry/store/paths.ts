import { join } from 'node:path';
import { algorithmOf, type Digest, hexOf } from '../../../oci/digest.ts';

/** Where a layout keeps content (image-spec, image-layout.md). */
export function blobPath(layout: string, digest: Digest): string {
  return join(layout, 'blobs', algorithmOf(digest), hexOf(digest));
}
