import { isDigest } from '../../oci/digest.ts';
import { isRepositoryName, isTag } from '../../oci/reference.ts';
import { Fault } from './faults.ts';

/** What a path of the distribution API asks for. */
export type Route =
  | { readonly kind: 'base' | 'catalog' }
  | { readonly kind: 'tags' | 'uploads'; readonly repository: string }
  | { readonly kind: 'upload'; readonly repository: string; readonly id: string }
  /** `reference` of a blob or of referrers should be a digest, that of a manifest a digest or a tag. */
  | {
      readonly kind: 'blob' | 'manifest' | 'referrers';
      readonly repository: string;
      readonly reference: string;
    };

/** Names of routes, for logs and metrics. */
export type RouteName = Route['kind'] | 'health' | 'metrics' | 'other';

/**
 * Reads a path, percent-decoded once. It is read from its end, because a repository may be called
 * `team/manifests/blobs`.
 * @returns undefined if it is not a path of the API
 * @throws Fault 400 NAME_INVALID
 */
export function routeOf(encodedPath: string): Route | undefined {
  const path = decode(encodedPath);
  if (path === '/v2' || path === '/v2/') return { kind: 'base' };
  if (path === '/v2/_catalog') return { kind: 'catalog' };
  if (!path.startsWith('/v2/')) return undefined;
  const parts = path.slice('/v2/'.length).split('/');
  const last = parts.pop() ?? '';
  const before = parts.pop() ?? '';
  if (before === 'tags' && last === 'list') return { kind: 'tags', repository: nameOf(parts) };
  if (before === 'blobs' && last === 'uploads') return { kind: 'uploads', repository: nameOf(parts) };
  if (before === 'uploads' && parts.at(-1) === 'blobs') {
    const repository = nameOf(parts.slice(0, -1));
    return last === '' ? { kind: 'uploads', repository } : { kind: 'upload', repository, id: last };
  }
  if (before === 'blobs') return { kind: 'blob', repository: nameOf(parts), reference: last };
  if (before === 'manifests') return { kind: 'manifest', repository: nameOf(parts), reference: last };
  if (before === 'referrers') return { kind: 'referrers', repository: nameOf(parts), reference: last };
  return undefined;
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new Fault(400, 'NAME_INVALID', 'the path is not properly percent-encoded');
  }
}

function nameOf(parts: readonly string[]): string {
  const name = parts.join('/');
  if (isRepositoryName(name)) return name;
  throw new Fault(
    400,
    'NAME_INVALID',
    'not a repository name: up to 255 lower-case letters and digits, with ".", "_", "__" or "-" between, and "/"',
  );
}

/** Whether a manifest can be asked for by this. */
export function isReference(text: string): boolean {
  return isTag(text) || isDigest(text);
}
