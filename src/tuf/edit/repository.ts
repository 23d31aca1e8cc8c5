import { BullaError } from '../../errors.ts';
import { type Delegations, parseDelegations } from '../delegations.ts';
import { Fields } from '../fields.ts';
import type { FileMeta } from '../file-meta.ts';
import { DEFAULT_LIMITS } from '../limits.ts';
import { type MetadataFile, parseMetadataFile } from '../metadata-file.ts';
import {
  decodeRoleName,
  isRootFileName,
  isTopLevelRole,
  metadataFileName,
  metaPath,
  parseFileName,
} from '../role-name.ts';
import { parseRoot, type Root } from '../root.ts';
import { parseSnapshot, parseTimestamp } from '../snapshot.ts';
import { parseTargets } from '../targets.ts';

/** The loaded files of a repository; nothing is decided about them. */
export interface RepositoryFiles {
  /** Root files in order of their versions, without gaps; they need not begin with the first. */
  readonly roots: readonly MetadataFile[];
  readonly timestamp?: MetadataFile;
  readonly snapshot?: MetadataFile;
  /**
   * Targets and delegated roles. Roles that the snapshot lists may be missing here: an edit needs only
   * the files that it changes and those that vouch for them.
   */
  readonly roles: ReadonlyMap<string, MetadataFile>;
}

/** A repository without a single file. */
export const EMPTY_REPOSITORY: RepositoryFiles = { roots: [], roles: new Map() };

/**
 * Reads the metadata of a repository from its files by name (`3.root.json`, `timestamp.json`,
 * `7.names.json`, …). Of versions of one role the highest counts; files of other names are left aside.
 * @throws BullaError content-invalid (details.role): a file cannot be read, a root is missing in between
 */
export function readRepositoryFiles(files: ReadonlyMap<string, Uint8Array>): RepositoryFiles {
  const roots = readRoots(files);
  const last = roots.at(-1);
  // Without versions in front of names, `1.a.json` is the file of a role that is called `1.a`.
  const isVersioned = last === undefined || parseRoot(last).consistentSnapshot;
  const newest = new Map<string, { readonly version: number; readonly bytes: Uint8Array }>();
  for (const [fileName, bytes] of files) {
    const isNumbered = isVersioned && fileName !== metadataFileName('timestamp');
    const name = isNumbered ? parseFileName(fileName) : parsePlainFileName(fileName);
    if (name === undefined || name.role === 'root' || isRootFileName(fileName)) continue;
    if (name.version >= (newest.get(name.role)?.version ?? 0)) newest.set(name.role, { ...name, bytes });
  }
  const roles = new Map([...newest].map(([role, { bytes }]) => [role, read(bytes, role)]));
  const [timestamp, snapshot] = [roles.get('timestamp'), roles.get('snapshot')];
  roles.delete('timestamp');
  roles.delete('snapshot');
  return {
    roots,
    ...(timestamp !== undefined && { timestamp }),
    ...(snapshot !== undefined && { snapshot }),
    roles,
  };
}

/**
 * The files of a repository by the names under which it serves them (TUF 1.0.34 §6.2).
 * @throws BullaError content-invalid
 */
export function writeRepositoryFiles(repository: RepositoryFiles): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const { roots, timestamp, snapshot, roles } = repository;
  for (const root of roots) files.set(metadataFileName('root', parseRoot(root).version), root.bytes);
  const isConsistent = newestRoot(repository)?.consistentSnapshot ?? true;
  for (const file of [...roles.values(), ...(snapshot === undefined ? [] : [snapshot])]) {
    files.set(metadataFileName(file.role, isConsistent ? versionOf(file) : undefined), file.bytes);
  }
  if (timestamp !== undefined) files.set(metadataFileName('timestamp'), timestamp.bytes);
  return files;
}

/** Content of the newest root, not verified. @throws BullaError content-invalid */
export function newestRoot({ roots }: RepositoryFiles): Root | undefined {
  const file = roots.at(-1);
  return file === undefined ? undefined : parseRoot(file);
}

const listings = new WeakMap<MetadataFile, ReadonlyMap<string, FileMeta>>();

/** What the snapshot lists, by METAPATH; empty where there is none. @throws BullaError content-invalid */
export function listedRoles({ snapshot }: RepositoryFiles): ReadonlyMap<string, FileMeta> {
  if (snapshot === undefined) return new Map();
  // Asked once for every bin of an edit.
  const known = listings.get(snapshot) ?? parseSnapshot(snapshot).meta;
  listings.set(snapshot, known);
  return known;
}

/** Version of a role's file that clients may have seen, 0 where there is none. @throws BullaError content-invalid */
export function publishedVersion(repository: RepositoryFiles, role: string): number {
  if (role === 'root') return newestRoot(repository)?.version ?? 0;
  if (role === 'timestamp' || role === 'snapshot') return versionOf(repository[role]);
  const listed = listedRoles(repository).get(metaPath(role))?.version ?? 0;
  return Math.max(listed, versionOf(repository.roles.get(role)));
}

/** Version that a file says it has; 0 where there is no file. @throws BullaError content-invalid */
export function versionOf(file: MetadataFile | undefined): number {
  return file === undefined ? 0 : new Fields(file.signed, file.role, 'signed').integer('version', 1);
}

/** What a targets role delegates, its names unread. @throws BullaError content-invalid */
export function delegationsIn(file: Pick<MetadataFile, 'role' | 'signed'>): Delegations | undefined {
  const fields = new Fields(file.signed, file.role, 'signed').optionalObject('delegations');
  return fields === undefined ? undefined : parseDelegations(fields, file.role);
}

/** The repository with other files in place of those of the same roles; a root is added at the end. */
export function withFiles(base: RepositoryFiles, files: Iterable<MetadataFile>): RepositoryFiles {
  const roles = new Map(base.roles);
  const top = new Map<string, MetadataFile>();
  for (const file of files) (isMeta(file.role) ? top : roles).set(file.role, file);
  const root = top.get('root');
  const timestamp = top.get('timestamp') ?? base.timestamp;
  const snapshot = top.get('snapshot') ?? base.snapshot;
  return {
    roots: root === undefined ? base.roots : [...base.roots, root],
    ...(timestamp !== undefined && { timestamp }),
    ...(snapshot !== undefined && { snapshot }),
    roles,
  };
}

/** Whether a file is what its role's files have to be. @throws BullaError content-invalid */
export function assertReadable(file: MetadataFile): void {
  if (file.role === 'root') parseRoot(file);
  else if (file.role === 'timestamp') parseTimestamp(file);
  else if (file.role === 'snapshot') parseSnapshot(file);
  else parseTargets(file);
}

function isMeta(role: string): boolean {
  return role !== 'targets' && isTopLevelRole(role);
}

/** `role.json`, as where no version stands in front of names. */
function parsePlainFileName(
  fileName: string,
): { readonly role: string; readonly version: number } | undefined {
  const role = decodeRoleName(/^([^/]+)\.json$/.exec(fileName)?.[1] ?? '');
  return role === undefined ? undefined : { role, version: 0 };
}

function readRoots(files: ReadonlyMap<string, Uint8Array>): readonly MetadataFile[] {
  const roots: { readonly version: number; readonly bytes: Uint8Array }[] = [];
  for (const [fileName, bytes] of files) {
    const name = parseFileName(fileName);
    if (name?.role === 'root') roots.push({ version: name.version, bytes });
  }
  return orderRoots(roots);
}

function orderRoots(
  roots: readonly { readonly version: number; readonly bytes: Uint8Array }[],
): readonly MetadataFile[] {
  const ordered = roots.toSorted((a, b) => a.version - b.version);
  for (const [index, { version }] of ordered.entries()) {
    const expected = (ordered[0]?.version ?? 0) + index;
    if (version === expected) continue;
    throw new BullaError('content-invalid', `root ${expected} is missing before root ${version}`, {
      hint: 'get all root files: clients go from one to the next',
      details: { role: 'root', expected, found: version },
    });
  }
  return ordered.map(({ bytes }) => parseMetadataFile(bytes, 'root', DEFAULT_LIMITS.rootBytes));
}

function read(bytes: Uint8Array, role: string): MetadataFile {
  return parseMetadataFile(bytes, role, DEFAULT_LIMITS.listedBytes);
}
