import { BullaError } from '../errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { isBesideTag } from '../oci/reference.ts';
import { callableNames, isSavedBeside, type LayoutIndex, nameOfEntry } from './index-file.ts';
import type { ReferrerScan } from './referrer-scan.ts';

/**
 * The one image of a layout: the one with a name, or, where none has one, the one manifest that refers
 * to nothing. A trust collection is not an image.
 * @throws BullaError not-found where there is none, usage where there are several
 */
export async function onlyEntry(index: LayoutIndex, scan: ReferrerScan, where: string): Promise<Descriptor> {
  const named = index.entries.filter((entry) => isImageName(nameOfEntry(entry)));
  const candidates = named.length > 0 ? named : await roots(index, scan);
  const [first] = candidates;
  if (first === undefined) {
    throw new BullaError('not-found', `${where} holds no image`, { hint: 'check the path' });
  }
  if (candidates.some((entry) => entry.digest !== first.digest)) {
    const digests = new Set(candidates.map(({ digest }) => digest));
    const names = callableNames(index)
      .flatMap(({ name, digest }) => (digests.has(digest) ? [name] : []))
      .slice(0, 10);
    throw new BullaError('usage', `${where} holds ${candidates.length} images, and none was named`, {
      hint: `say which one: ${names.join(', ')}${candidates.length > names.length ? ', …' : ''}`,
    });
  }
  return first;
}

async function roots(index: LayoutIndex, scan: ReferrerScan): Promise<readonly Descriptor[]> {
  const found: Descriptor[] = [];
  for (const entry of index.entries) {
    if (nameOfEntry(entry) === undefined && !isSavedBeside(entry) && (await scan.standsAlone(entry)))
      found.push(entry);
  }
  return found;
}

function isImageName(name: string | undefined): boolean {
  return name !== undefined && !isBesideTag(name);
}
