import { decorated } from '../../oci/decorated.ts';
import type { Digest } from '../../oci/digest.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions, ManifestFetcher } from '../../oci/target.ts';

/**
 * Requests a manifest now, for a later request to the returned source: while the answer is on
 * its way, the caller can get ready. Nothing is requested twice, and the later request gets any failure.
 * @param known asks by `fetchManifestUnless` whether the tag still is that, for a later request of this kind
 */
export function prefetch<S extends ManifestFetcher>(
  source: S,
  reference: Tag | Digest,
  options: CallOptions,
  known?: Digest,
): S {
  let early: Promise<ManifestContent | undefined> | undefined =
    known === undefined
      ? source.fetchManifest(reference, options)
      : source.fetchManifestUnless(reference as Tag, known, options);
  // The later request gets the failure; without one, it can be ignored.
  early.catch(() => undefined);
  const take = (asked: Tag | Digest, unless?: Digest): Promise<ManifestContent | undefined> | undefined => {
    const answer = asked === reference && unless === known ? early : undefined;
    if (answer !== undefined) early = undefined;
    return answer;
  };
  const fetchManifest: S['fetchManifest'] = (asked, more) =>
    (take(asked) as Promise<ManifestContent> | undefined) ?? source.fetchManifest(asked, more);
  const fetchManifestUnless: S['fetchManifestUnless'] = (asked, unless, more) =>
    take(asked, unless) ?? source.fetchManifestUnless(asked, unless, more);
  return decorated<S, 'fetchManifest' | 'fetchManifestUnless'>(source, {
    fetchManifest,
    fetchManifestUnless,
  });
}
