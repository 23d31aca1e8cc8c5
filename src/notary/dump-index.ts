import { isDelegationName } from './role-name.ts';

/** What an index says of a saved file. */
export interface IndexedFile {
  /** `root.json`, `1.root.json`, `targets/a.json`, `timestamp.key`. */
  readonly name: string;
  readonly length: number;
  /** Hex. */
  readonly sha256: string;
  /** Headers that say when the server made the file. */
  readonly headers: Readonly<Record<string, string>>;
}

/** `index.json` beside the saved files of one repository (spec/notary.md, "Dumps"). */
export interface DumpIndex {
  readonly version: 1;
  readonly gun: string;
  /** Where the files were fetched. */
  readonly server: string;
  /** RFC 3339: when they were fetched. */
  readonly savedAt: string;
  readonly files: readonly IndexedFile[];
  /** Files that should be there and that the server does not have. */
  readonly missing: readonly string[];
}

/** Whether a file of trust data is called so. No such name can leave a directory. */
export function isDumpFileName(name: string): boolean {
  const role = /^(.+)\.json$/.exec(name)?.[1];
  if (role === undefined) return name === 'timestamp.key' || name === 'snapshot.key';
  return /^(?:(?:[1-9]\d{0,15}\.)?root|targets|snapshot|timestamp)$/.test(role) || isDelegationName(role);
}
