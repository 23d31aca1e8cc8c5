import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { placeOf } from '../../oci/place.ts';
import { formatRepository, type Reference } from '../../oci/reference.ts';
import type { BlobDirectory } from '../../state/blob-directory.ts';
import type { PinFile } from '../../state/pins.ts';
import { canonicalPlace } from '../../state/place.ts';
import type { TrustDirectory } from '../../state/trust-directory.ts';
import type { Context } from './context.ts';

const PINS = 'pins.json';

/** What this user remembers of collections. */
export async function trustMemory(context: Context): Promise<TrustDirectory> {
  const { TrustDirectory } = await import('../../state/trust-directory.ts');
  return new TrustDirectory(memoryPath(context));
}

/** Directory of what this user remembers of collections. */
export function memoryPath({ directories }: Context): string {
  return join(directories.state, 'trust');
}

/** Files of collections by digest. */
export async function blobCache({ directories }: Context): Promise<BlobDirectory> {
  const { BlobDirectory } = await import('../../state/blob-directory.ts');
  return new BlobDirectory(join(directories.cache, 'trust'));
}

/** The pins of this user. */
export async function pinFile({ directories }: Context): Promise<PinFile> {
  const { PinFile } = await import('../../state/pins.ts');
  return new PinFile(join(directories.config, PINS));
}

/** Whether there may be pins: most users have none, and the code that reads them takes time to load. */
export function mayHavePins({ directories }: Context): boolean {
  try {
    return lstatSync(join(directories.config, PINS), { throwIfNoEntry: false }) !== undefined;
  } catch {
    // The code that reads them reports what is wrong.
    return true;
  }
}

/**
 * The canonical spelling of the place that a reference names (spec/trust-reading.md, "Places"): `HOST/REPOSITORY`, or
 * `oci:` with the whole path. Never to be connected to.
 */
export function repositoryOf(context: Context, reference: Reference): string {
  return reference.kind === 'registry'
    ? placeOf(reference)
    : canonicalPlace(formatRepository({ ...reference, path: context.path(reference.path) }));
}

/** Whether the command runs unattended: then key ids cannot be compared. */
export function isCi({ io }: Context): boolean {
  const ci = io.env['CI'];
  return ci !== undefined && ci !== '' && ci !== 'false' && ci !== '0';
}
