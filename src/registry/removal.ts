import { BullaError } from '../errors.ts';
import type { Digest } from '../oci/digest.ts';
import { parseCarried } from '../oci/manifest.ts';
import { isCarriedType } from '../oci/media-types.ts';
import type { Tag } from '../oci/reference.ts';
import type { CallOptions } from '../oci/target.ts';
import { failureError } from './failure.ts';
import { fetchOnce } from './manifests.ts';
import type { Writers } from './push.ts';
import { askReferrersApi } from './referrers.ts';
import type { RepositoryContext } from './repository-context.ts';
import { manifestPath } from './urls.ts';

/**
 * Removes a manifest, and its entry in the fallback index where the registry has no referrers API
 * (distribution-spec, "Deleting Manifests").
 */
export async function deleteManifest(
  room: RepositoryContext,
  writers: Writers,
  digest: Digest,
  options: CallOptions = {},
): Promise<void> {
  // Afterwards it cannot be determined any more what it referred to.
  const content = await fetchOnce(room, digest, options);
  const subject = isCarriedType(content.descriptor.mediaType)
    ? parseCarried(content).subject?.digest
    : undefined;
  await remove(room, digest, options);
  if (subject === undefined) return;
  const answer = await askReferrersApi(room, subject, options);
  if (!answer.supported) await writers.fallback.change(room, subject, { remove: digest }, options);
}

/** Removes a tag; a registry that can remove manifests only says so. */
export async function deleteTag(room: RepositoryContext, tag: Tag, options: CallOptions = {}): Promise<void> {
  await remove(room, tag, options);
}

async function remove(
  room: RepositoryContext,
  reference: Tag | Digest,
  { signal }: CallOptions,
): Promise<void> {
  const call = {
    method: 'DELETE',
    to: manifestPath(room.repository, reference),
    access: room.scopes.remove(),
    expect: [200, 202, 204, 400, 405],
    signal,
  } as const;
  const response = await room.session.call(call);
  if (response.status < 300) {
    await response.body.discard();
    room.recent.noteRemoved(room.repository, reference);
    return;
  }
  const error = failureError(await room.session.failure(response), room.session.where(call));
  throw new BullaError('registry-error', error.message, {
    hint: reference.includes(':')
      ? 'deletion is switched off in this registry, or something else still needs the manifest'
      : 'this registry cannot remove a tag alone: remove the manifest by its digest',
    details: error.details,
  });
}
