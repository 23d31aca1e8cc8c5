import type { Digest } from '../oci/digest.ts';
import type { ManifestContent } from '../oci/manifest.ts';
import type { Tag } from '../oci/reference.ts';
import type { CallOptions, Source } from '../oci/target.ts';

/**
 * Asks for a manifest now, for whoever will ask the source that is returned for it: while the answer is on
 * its way, the caller can get ready. Nothing is asked for twice, and a failure is told to whoever asks.
 */
export function fetchEarly<S extends Source>(source: S, reference: Tag | Digest, options: CallOptions): S {
  let early: Promise<ManifestContent> | undefined = source.fetchManifest(reference, options);
  // Whoever asks for it is told; if nobody does, nobody needs to know.
  early.catch(() => undefined);
  const fetchManifest = (asked: Tag | Digest, more?: CallOptions): Promise<ManifestContent> => {
    const answer = asked === reference ? early : undefined;
    if (answer === undefined) return source.fetchManifest(asked, more);
    early = undefined;
    return answer;
  };
  return Object.create(source, { fetchManifest: { value: fetchManifest } }) as S;
}
