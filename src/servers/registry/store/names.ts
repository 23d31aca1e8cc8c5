import { join, sep } from 'node:path';
import { isRepositoryName } from '../../../oci/reference.ts';

/** Directory of the server's own files; no repository can have this name, for none starts with a dot. */
export const PRIVATE_DIRECTORY = '.bulla';

/** Names that mean something inside an OCI layout, so a repository below another must not be stored so. */
const TAKEN: ReadonlySet<string> = new Set(['blobs', 'index.json', 'oci-layout', 'ingest']);

/**
 * Directory of a repository, relative to the root. The components of its name are the directories,
 * except where one would be taken for a part of the parent's layout: that one gets a leading `_`,
 * which no component can have.
 */
export function directoryOf(repository: string): string {
  return join(...repository.split('/').map((part) => (TAKEN.has(part) ? `_${part}` : part)));
}

/** Inverse of {@link directoryOf}; undefined where the directory can't be a repository's. */
export function repositoryAt(directory: string): string | undefined {
  const parts = directory.split(sep).map((part) => (TAKEN.has(part.slice(1)) ? part.slice(1) : part));
  const name = parts.join('/');
  return isRepositoryName(name) && directoryOf(name) === directory ? name : undefined;
}

/** Whether a directory inside a repository's can hold another repository (`blobs` can't). */
export function mayHoldRepositories(part: string): boolean {
  return !TAKEN.has(part) && /^_?[a-z0-9]/.test(part);
}
