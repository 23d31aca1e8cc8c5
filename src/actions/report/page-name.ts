import { digestOf } from '../../oci/digest.ts';

/** Name of the overview's file. */
export const OVERVIEW_FILE = 'index.html';

/** What {@link pageName} makes. */
export const PAGE_NAME: RegExp = /^[a-z0-9][a-z0-9.-]{0,60}-[0-9a-f]{16}\.html$/;

/**
 * Name of the file with the page of a collection: safe on every file system and in every URL, and another one for every
 * place, whatever the case of its letters.
 */
export function pageName(place: string): string {
  const words = place
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-/, '')
    .slice(0, 60)
    .replace(/-$/, '');
  return `${words || 'collection'}-${digestOf(Buffer.from(place)).slice(7, 23)}.html`;
}
