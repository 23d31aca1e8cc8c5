import { BullaError } from '../errors.ts';
import { streamOf } from '../oci/content.ts';
import type { Digest } from '../oci/digest.ts';
import { isIndexType } from '../oci/media-types.ts';
import { fallbackTag } from '../oci/reference.ts';
import { buildReferrersIndex } from '../oci/referrers.ts';
import type { IndexChange, LayoutFiles } from './files.ts';
import { findTag, type LayoutIndex, withEntry, withoutNameless, withoutTag } from './index-file.ts';
import type { ReferrerScan } from './referrer-scan.ts';

/**
 * The change that makes the fallback index of `subject` list what refers to it in `index`. regctl looks
 * for referrers there only.
 * @param gone a referrer that is being removed, though the fallback index still lists it
 * @throws BullaError content-invalid where something else is kept under its tag
 */
export async function withFallbackIndex(
  files: LayoutFiles,
  scan: ReferrerScan,
  index: LayoutIndex,
  subject: Digest,
  gone?: Digest,
): Promise<IndexChange> {
  const tag = fallbackTag(subject);
  const before = findTag(index, tag, files.name);
  if (before !== undefined && !isIndexType(before.mediaType)) {
    throw new BullaError('content-invalid', `${files.name}: ${tag} is not a list of referrers`, {
      hint: 'remove that tag: nothing else may be kept under it',
    });
  }
  const found = await scan.referrersOf(subject, index);
  const entries = found
    .filter(({ digest }) => digest !== gone)
    .sort((a, b) => (a.digest < b.digest ? -1 : 1));
  const content = buildReferrersIndex(entries);
  if (before?.digest === content.descriptor.digest) return { index };
  const old = before === undefined ? [] : [before.digest];
  const without = withoutNameless(withoutTag(index, tag), new Set(old));
  const remove = old.filter((digest) => !without.entries.some((entry) => entry.digest === digest));
  if (entries.length === 0) return { index: without, remove };
  await files.putBlob(content.descriptor, streamOf(content.bytes));
  return { index: withEntry(without, content.descriptor, tag), remove };
}
