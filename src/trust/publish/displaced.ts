import { isBullaError } from '../../errors.ts';
import type { CallOptions } from '../../oci/target.ts';
import { candidateOf } from '../format/candidate.ts';
import { openTrustObject } from '../format/object.ts';
import type { TrustTarget } from '../format/ports.ts';
import { candidateTag } from '../format/vocabulary.ts';
import type { Base } from './publish-base.ts';

/**
 * Announces what lies in the place of a head that is only remembered, before it is replaced: it may hold
 * changes that lie nowhere else any more, and is folded like any other candidate then. What is no head is
 * left to be replaced.
 * @throws BullaError what the target throws
 */
export async function keepDisplaced(
  target: TrustTarget,
  { isBuried, parent }: Base,
  options: CallOptions = {},
): Promise<void> {
  if (!isBuried || parent === null) return;
  try {
    const content = await target.fetchManifest(parent, options);
    const { kind, isCandidate } = await openTrustObject(target, content, options);
    if (kind !== 'head' || isCandidate) return;
    const candidate = candidateOf(content);
    await target.pushManifest(candidate, { ...options, tag: candidateTag(candidate.descriptor.digest) });
  } catch (error) {
    // Junk, or a head whose parts are gone: nothing can be taken from either.
    const isOfNoUse = isBullaError(error, 'trust-invalid', 'content-invalid', 'not-found');
    if (!isOfNoUse && !isRefused(error)) throw error;
  }
}

/** Registries take no manifest whose parts they do not have. */
function isRefused(error: unknown): boolean {
  return isBullaError(error, 'registry-error') && error.details['status'] === 400;
}
