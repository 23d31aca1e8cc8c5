import { type FileMeta, parseFileMeta } from './file-meta.ts';
import type { MetadataFile } from './metadata-file.ts';
import { metaPath } from './role-name.ts';
import { parseSigned, type Signed } from './signed.ts';

/** Content of timestamp metadata (TUF 1.0.34 §4.6). */
export interface Timestamp extends Signed {
  readonly type: 'timestamp';
  readonly snapshot: FileMeta;
}

/** Content of snapshot metadata (TUF 1.0.34 §4.4). */
export interface Snapshot extends Signed {
  readonly type: 'snapshot';
  /** By METAPATH: the role's name, not encoded, and `.json`. */
  readonly meta: ReadonlyMap<string, FileMeta>;
}

/** @throws BullaError content-invalid (details.role) */
export function parseTimestamp(file: MetadataFile): Timestamp {
  const { fields, signed } = parseSigned(file, 'timestamp');
  const snapshot = fields.object('meta').object(metaPath('snapshot'));
  return { ...signed, type: 'timestamp', snapshot: parseFileMeta(snapshot, file.role) };
}

/** @throws BullaError content-invalid (details.role) */
export function parseSnapshot(file: MetadataFile): Snapshot {
  const { fields, signed } = parseSigned(file, 'snapshot');
  const meta = new Map<string, FileMeta>();
  for (const [path, entry] of fields.object('meta').objects())
    meta.set(path, parseFileMeta(entry, file.role));
  return { ...signed, type: 'snapshot', meta };
}
