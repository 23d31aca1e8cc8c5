import type { Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';

/**
 * Paths of the distribution API, relative to the registry's base. Names, tags and digests were
 * checked when they were parsed, and hold nothing that a path would have to escape.
 */
export function manifestPath(repository: string, reference: Tag | Digest): string {
  return `/v2/${repository}/manifests/${reference}`;
}

export function blobPath(repository: string, digest: Digest): string {
  return `/v2/${repository}/blobs/${digest}`;
}

/** Start of an upload; with `mount`, of a mount from another repository. */
export function uploadsPath(
  repository: string,
  mount?: { readonly digest: Digest; readonly from: string },
): string {
  const path = `/v2/${repository}/blobs/uploads/`;
  if (mount === undefined) return path;
  return `${path}?${new URLSearchParams({ mount: mount.digest, from: mount.from })}`;
}

export function referrersPath(repository: string, subject: Digest, artifactType?: string): string {
  const path = `/v2/${repository}/referrers/${subject}`;
  return artifactType === undefined ? path : `${path}?${new URLSearchParams({ artifactType })}`;
}

export function tagsPath(repository: string, page?: { readonly n: number; readonly last?: string }): string {
  const path = `/v2/${repository}/tags/list`;
  return page === undefined ? path : `${path}?${pageQuery(page)}`;
}

export function catalogPath(page: { readonly n: number; readonly last?: string }): string {
  return `/v2/_catalog?${pageQuery(page)}`;
}

function pageQuery(page: { readonly n: number; readonly last?: string }): string {
  return new URLSearchParams({
    n: String(page.n),
    ...(page.last !== undefined && { last: page.last }),
  }).toString();
}

/**
 * Where an upload goes on: the Location of the last answer, resolved, with the digest appended to
 * whatever query it has, whose bytes stay as they are (some registries sign them).
 */
export function closingLocation(location: URL, digest: Digest): URL {
  const url = new URL(location);
  const query = `digest=${encodeURIComponent(digest)}`;
  url.search = url.search === '' ? `?${query}` : `${url.search}&${query}`;
  return url;
}
