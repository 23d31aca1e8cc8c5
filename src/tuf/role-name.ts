import { BullaError } from '../errors.ts';

/** The roles that root delegates to (TUF 1.0.34 §2.1). */
export type TopLevelRole = 'root' | 'targets' | 'snapshot' | 'timestamp';

export const TOP_LEVEL_ROLES: readonly TopLevelRole[] = ['root', 'targets', 'snapshot', 'timestamp'];

export function isTopLevelRole(name: string): name is TopLevelRole {
  return (TOP_LEVEL_ROLES as readonly string[]).includes(name);
}

/** What is wrong with `name` as a name of a delegated role; undefined where nothing is. */
export function problemWithDelegatedName(name: string): string | undefined {
  if (name === '') return 'a delegated role needs a name';
  // Its file would be the top-level role's, in the repository and in the trusted state.
  if (isTopLevelRole(name)) return `${name} is a top-level role and cannot be delegated to`;
  return undefined;
}

/**
 * Whether a file name is that of a root, `N.root.json`. Without consistent snapshots it would be that of
 * a role called `N.root` as well.
 */
export function isRootFileName(fileName: string): boolean {
  return /^[1-9][0-9]*\.root\.json$/.test(fileName);
}

/**
 * A role's name as one URL or file name component: everything is percent-encoded but letters, digits
 * and `_.-~`, so that no name can leave its folder or become a query. python-tuf and go-tuf write the
 * same.
 */
export function encodeRoleName(name: string): string {
  return encodeURIComponent(name).replace(/[!'()*]/g, percentEncode);
}

/** Inverse of {@link encodeRoleName}; undefined where `text` is not exactly what it would write. */
export function decodeRoleName(text: string): string | undefined {
  try {
    const name = decodeURIComponent(text);
    return encodeRoleName(name) === text ? name : undefined;
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}

/**
 * File name of metadata on a repository, relative to the metadata URL: `N.role.json`, or `role.json`
 * where no version is given (TUF 1.0.34 §6.2; timestamp never has one, root always).
 */
export function metadataFileName(role: string, version?: number): string {
  const name = `${encodeRoleName(role)}.json`;
  return version === undefined ? name : `${version}.${name}`;
}

/**
 * Role and version of a metadata file by its name on a repository, `N.role.json`; the inverse of
 * {@link metadataFileName} with a version. What the file holds is not known from its name.
 * @returns undefined for every other name
 */
export function parseFileName(
  fileName: string,
): { readonly role: string; readonly version: number } | undefined {
  const [, number, encoded = ''] = /^([1-9][0-9]{0,15})\.([^/]+)\.json$/.exec(fileName) ?? [];
  const role = decodeRoleName(encoded);
  const version = Number(number);
  return role === undefined || !Number.isSafeInteger(version) ? undefined : { role, version };
}

/** Key under which a role stands in `meta` of snapshot and timestamp: not encoded. */
export function metaPath(role: string): string {
  return `${role}.json`;
}

/**
 * Path of a target file on a repository, relative to the targets URL: with `hash`, the digest stands
 * before the last component (TUF 1.0.34 §6.2).
 */
export function targetFilePath(targetPath: string, hash?: string): string {
  if (hash === undefined) return targetPath;
  const slash = targetPath.lastIndexOf('/') + 1;
  return `${targetPath.slice(0, slash)}${hash}.${targetPath.slice(slash)}`;
}

/**
 * Refuses target paths that would leave the folder they are relative to, on a disk or in a URL.
 * @throws BullaError content-invalid
 */
export function assertRelativePath(path: string): void {
  const parts = path.split('/');
  if (path !== '' && !path.includes('\0') && !path.includes('\\') && parts.every(isPlainPart)) return;
  throw new BullaError(
    'content-invalid',
    `${JSON.stringify(path.slice(0, 200))} is not a relative path without "." or ".."`,
    {
      hint: 'a target path is a/b/c: no leading slash, no empty part, no backslash',
      details: { path },
    },
  );
}

function isPlainPart(part: string): boolean {
  return part !== '' && part !== '.' && part !== '..';
}

function percentEncode(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}
