import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readSmallFile } from '../disk/small-file.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { type Digest, isDigest } from '../oci/digest.ts';

/** What the memory of collections says about the head at a place, before anything of it is verified. */
export interface HeadPeek {
  /** Its digest, if that is remembered. */
  readonly digest?: Digest;
}

const MAX_BYTES = 8 * 1024 * 1024;

/** Name of the files about a place in the memory of collections. */
export function placeFileName(place: string): string {
  return createHash('sha256').update(place, 'utf8').digest('hex');
}

/** In the directory of places: marks that all of its files have the canonical spelling of their place. */
export const ONE_SPELLING = 'one-spelling';

/**
 * Whether a memory may know places by spellings that earlier versions had: then a place that is not found by
 * canonical one may still be there.
 * @param path directory of the memory, as of TrustDirectory
 */
export function mayHaveOldSpellings(path: string): boolean {
  const places = join(path, 'places');
  return existsSync(places) && !existsSync(join(places, ONE_SPELLING));
}

/**
 * Looks whether a collection was seen at a place, without loading what reads the memory properly: enough to
 * ask for the head early. Whatever is wrong with a file is for the proper reader to tell.
 * @param path directory of the memory, as of TrustDirectory
 * @param place in its canonical spelling
 * @returns undefined where none was seen
 */
export function peekHead(path: string, place: string): HeadPeek | undefined {
  const name = placeFileName(place);
  try {
    const seen = readSmallFile(join(path, 'places', `${name}.json`), MAX_BYTES);
    if (seen === undefined) return undefined;
    const { id } = parseJsonObject(seen, { what: place });
    if (typeof id !== 'string' || !/^[0-9a-f]{64}$/.test(id)) return {};
    const head = readSmallFile(join(path, 'collections', id, 'heads', name), MAX_BYTES);
    const end = head?.indexOf(0x0a) ?? -1;
    if (head === undefined || end < 0) return {};
    const { digest } = parseJsonObject(head.subarray(0, end), { what: place });
    return typeof digest === 'string' && isDigest(digest) ? { digest } : {};
  } catch {
    return {};
  }
}
