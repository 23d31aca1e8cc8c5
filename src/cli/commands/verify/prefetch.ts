import { prefetch } from '../../../actions/verify/prefetch.ts';
import type { Demands, VerifyPorts } from '../../../actions/verify/verify.ts';
import type { Reference } from '../../../oci/reference.ts';
import type { Source } from '../../../oci/target.ts';
import { peekHead } from '../../../state/head-peek.ts';
import { HEAD_TAG } from '../../../trust/format/vocabulary.ts';
import type { Context, Image } from '../../shell/context.ts';
import { memoryPath, repositoryOf } from '../../shell/trust-stores.ts';

/** The image's source, with its manifest asked for already where it will be. */
export function prefetchManifest(
  { source, version, reference }: Image,
  hasDrift: boolean,
  signal: AbortSignal,
): Source {
  const { tag } = reference;
  if (tag !== undefined && !hasDrift) return source;
  const prefetching = prefetch(source, tag ?? version, { signal });
  prefetching.expectReferrers?.();
  return prefetching;
}

/**
 * The same ports, with the head of the collection asked for already where it certainly will be: a pin may still say
 * that it lies elsewhere.
 */
export async function prefetchHead(
  context: Context,
  { tag, digest: _, ...repository }: Reference,
  { at = repository as Reference, isDemanded }: Pick<Demands, 'at'> & { readonly isDemanded: boolean },
  ports: VerifyPorts,
  signal: AbortSignal,
): Promise<VerifyPorts> {
  const place = repositoryOf(context, at);
  const seen = peekHead(memoryPath(context), place);
  if (tag === undefined || (seen === undefined && !isDemanded)) return ports;
  const source = prefetch(await context.openTarget(at), HEAD_TAG, { signal }, seen?.digest);
  const openSource: VerifyPorts['openSource'] = async (reference) =>
    repositoryOf(context, reference) === place ? source : await ports.openSource(reference);
  return { ...ports, openSource };
}

/** Gives up what was prefetched if the command fails meanwhile. */
export function untilFailure(context: Context): AbortSignal {
  const giveUp = new AbortController();
  context.defer(async (ended) => {
    if (ended === 'badly') giveUp.abort();
  });
  return AbortSignal.any([context.signal, giveUp.signal]);
}
