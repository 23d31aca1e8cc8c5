import { isBullaError } from '../errors.ts';
import type { Descriptor } from './descriptor.ts';
import type { Digest } from './digest.ts';
import type { ManifestContent } from './manifest.ts';
import type { Tag } from './reference.ts';
import type { CallOptions, ManifestFetcher, Resolver } from './target.ts';

/** The manifest at a tag or digest; undefined where the other side says that there is none. */
export async function fetchIfThere(
  source: Pick<ManifestFetcher, 'fetchManifest'>,
  reference: Tag | Digest,
  options?: CallOptions,
): Promise<ManifestContent | undefined> {
  return await ifThere(() => source.fetchManifest(reference, options));
}

/** The descriptor of a tag or digest; undefined where the other side says that there is none. */
export async function resolveIfThere(
  source: Resolver,
  reference: Tag | Digest,
  options?: CallOptions,
): Promise<Descriptor | undefined> {
  return await ifThere(() => source.resolve(reference, options));
}

/** What is asked for; undefined on `not-found`, and on no other failure: not reached is never absent. */
export async function ifThere<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (isBullaError(error, 'not-found')) return undefined;
    throw error;
  }
}
