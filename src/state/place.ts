import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { placeNamed } from '../oci/place.ts';

/**
 * The canonical spelling of a place: `HOST/REPOSITORY` as `placeNamed` has it; a layout or archive by the whole path
 * that its file system has for it, so that no link and no detour makes another place of it.
 */
export function canonicalPlace(place: string): string {
  const [, kind, path] = /^(oci|oci-archive):(\/.*)$/s.exec(place) ?? [];
  return kind === undefined || path === undefined ? placeNamed(place) : `${kind}:${realPath(path)}`;
}

/** What is not there yet has the path that it is to have. */
function realPath(path: string): string {
  try {
    return realpathSync.native(path);
  } catch {
    return resolve(path);
  }
}
