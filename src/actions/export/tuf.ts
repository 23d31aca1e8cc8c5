import { equalBytes } from '../../encoding/bytes.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { CallOptions, ManifestFetcher } from '../../oci/target.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { type ListedName, listNames, readBins } from '../../trust/report/listing.ts';
import { versionOf } from '../../tuf/edit/repository.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { type MetadataFile, parseMetadataFile } from '../../tuf/metadata-file.ts';
import { metadataFileName, targetFilePath } from '../../tuf/role-name.ts';
import { mapConcurrently } from '../copy/concurrency.ts';

/** Where a TUF repository is written; each file appears whole. */
export interface TufWriter {
  readMetadata(fileName: string, maxBytes: number): Promise<Uint8Array | undefined>;
  writeMetadata(fileName: string, bytes: Uint8Array): Promise<void>;
  writeTarget(path: string, bytes: Uint8Array): Promise<void>;
}

export interface ExportOptions extends CallOptions {
  readonly concurrency: number;
  /** From where to get the manifests, for the targets; without it only metadata is written. */
  readonly images?: ManifestFetcher | undefined;
}

/** What was exported. */
export interface ExportedTuf {
  /** How many metadata files. */
  readonly metadata: number;
  /** How many targets; undefined where none were asked for. */
  readonly targets?: number | undefined;
  /** Signed names whose manifests are not there any more. */
  readonly missing: readonly ListedName[];
}

/**
 * Writes a verified collection as a plain TUF repository that any TUF client reads. A client that reads it
 * meanwhile gets the old state or the new: no file but the timestamp ever changes, and that one comes last.
 * @throws BullaError conflict where another repository is there; trust-rollback where a newer state of this
 *   one is; trust-invalid, trust-expired, content-invalid; what source and writer throw
 */
export async function exportTuf(
  copy: WorkingCopy,
  writer: TufWriter,
  options: ExportOptions,
): Promise<ExportedTuf> {
  const { signal, concurrency, images } = options;
  const { roots, roles, snapshot, timestamp } = copy.files;
  await assertFits(writer, roots, timestamp);
  const targets = images && (await exportTargets(copy, writer, images, options));
  let metadata = 0;
  const write = async (file: MetadataFile): Promise<void> => {
    const version = file.role === 'timestamp' ? undefined : versionOf(file);
    await writer.writeMetadata(metadataFileName(file.role, version), file.bytes);
    metadata++;
  };
  const waiting: MetadataFile[] = [];
  const flush = async (): Promise<void> => {
    await mapConcurrently(waiting.splice(0), concurrency, write);
  };
  for await (const [, { file }] of readBins(copy, { signal })) {
    waiting.push(file);
    if (waiting.length >= 8 * concurrency) await flush();
  }
  await flush();
  for (const file of [...roles.values(), snapshot, ...roots, timestamp])
    if (file !== undefined) await write(file);
  return { metadata, targets: targets?.written, missing: targets?.missing ?? [] };
}

/** Nothing may be mixed into another repository, nor put above a newer state. */
async function assertFits(
  writer: TufWriter,
  [first]: readonly MetadataFile[],
  timestamp: MetadataFile | undefined,
): Promise<void> {
  const root = await writer.readMetadata(metadataFileName('root', 1), DEFAULT_LIMITS.rootBytes);
  if (root !== undefined && (first === undefined || !equalBytes(root, first.bytes)))
    throw new BullaError('conflict', 'another TUF repository is there already', {
      hint: 'export to another directory, or remove this one',
    });
  const present = await writer.readMetadata(metadataFileName('timestamp'), DEFAULT_LIMITS.timestampBytes);
  if (present === undefined) return;
  const from = versionOf(parseMetadataFile(present, 'timestamp', DEFAULT_LIMITS.timestampBytes));
  const to = versionOf(timestamp);
  if (from > to)
    throw new BullaError(
      'trust-rollback',
      `a newer state was exported before: timestamp ${from}, and this is ${to}`,
      {
        hint: 'the collection was rolled back, or another copy of it was exported here: bulla status',
        details: { role: 'timestamp', from, to },
      },
    );
}

async function exportTargets(
  copy: WorkingCopy,
  writer: TufWriter,
  images: ManifestFetcher,
  { concurrency, signal }: ExportOptions,
): Promise<{ readonly written: number; readonly missing: readonly ListedName[] }> {
  const missing: ListedName[] = [];
  let written = 0;
  const one = async (listed: ListedName): Promise<void> => {
    try {
      const { bytes } = await images.fetchManifest(listed.digest, { signal });
      await writer.writeTarget(targetFilePath(listed.name, listed.digest.slice('sha256:'.length)), bytes);
      written++;
    } catch (error) {
      if (!isBullaError(error, 'not-found')) throw error;
      missing.push(listed);
    }
  };
  for await (const names of listNames(copy, { signal })) await mapConcurrently(names, concurrency, one);
  return { written, missing };
}
