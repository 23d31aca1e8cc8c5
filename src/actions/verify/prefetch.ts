import { decorated } from '../../oci/decorated.ts';
import type { Digest } from '../../oci/digest.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions, ManifestFetcher } from '../../oci/target.ts';

/**
 * Asks for a manifest now, for whoever will ask the source that is returned for it: while the answer is on
 * its way, the caller can get ready. Nothing is asked for twice, and a failure is told to whoever asks.
 * @param known asks by `fetchManifestUnless` whether the tag still is that, for whoever will ask so
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
  // Whoever asks for it is told; if nobody does, nobody needs to know.
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
