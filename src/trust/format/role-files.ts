import type { Descriptor } from '../../oci/descriptor.ts';
import { publishedVersion, type RepositoryFiles } from '../../tuf/edit/repository.ts';
import { parseFileName } from '../../tuf/role-name.ts';
import type { TrustObject } from './object.ts';

/** A role's file in an object, by what its name claims. */
export interface ListedFile {
  readonly role: string;
  readonly version: number;
  readonly descriptor: Descriptor;
}

/** The metadata files that an object lists with a version in their names. */
export function* roleFilesIn(object: TrustObject): Generator<ListedFile> {
  for (const [name, descriptor] of object.files) {
    const claimed = parseFileName(name);
    if (claimed !== undefined) yield { ...claimed, descriptor };
  }
}

/** The file of a role that an object lists; of several, the one that claims the highest version. */
export function findRoleFile(object: TrustObject, role: string): ListedFile | undefined {
  let found: ListedFile | undefined;
  for (const file of roleFilesIn(object))
    if (file.role === role && (found === undefined || file.version > found.version)) found = file;
  return found;
}

/** Whether an object lists a root or targets newer than those of `files`. */
export function hasNewerTrust(object: TrustObject, files: RepositoryFiles): boolean {
  return [...roleFilesIn(object)].some(
    ({ role, version }) => (role === 'root' || role === 'targets') && version > publishedVersion(files, role),
  );
}
