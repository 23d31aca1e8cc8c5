import type { FileHandle } from 'node:fs/promises';
import type { LayoutReference } from '../oci/reference.ts';
import { ArchiveFiles } from './archive.ts';
import { DirectoryFiles } from './directory.ts';
import { LayoutStore } from './store.ts';

export interface OpenLayoutOptions {
  /** It will be written to: make it where there is none. */
  readonly create?: boolean | undefined;
  /** For an archive: repository under which `docker load` files what is in it. */
  readonly imageName?: string | undefined;
}

/**
 * Opens what `oci:DIR` or `oci-archive:FILE` names. Without tag and digest, the reference means the
 * store's `onlyImage()`. After success it is closed with `close()`, after a failure with `abandon()`.
 *
 * An archive may be compressed with gzip, or be what `docker save` writes: then it can only be read.
 * @throws BullaError not-found, content-invalid, storage-error
 */
export async function openLayout(
  reference: LayoutReference,
  options: OpenLayoutOptions = {},
): Promise<LayoutStore> {
  const { path } = reference;
  const { create = false, imageName } = options;
  const files =
    reference.kind === 'layout'
      ? await DirectoryFiles.open(path, { create })
      : await ArchiveFiles.open(path, { create, imageName });
  return new LayoutStore(files);
}

/**
 * Opens an archive in an open file, only to be read; the file is closed with it, also after a failure.
 * @param path for messages
 * @throws BullaError content-invalid, storage-error
 */
export async function openArchiveFile(file: FileHandle, path: string): Promise<LayoutStore> {
  return new LayoutStore(await ArchiveFiles.ofFile(file, path));
}
