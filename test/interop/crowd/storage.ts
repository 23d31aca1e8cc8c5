import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Metadata files that were ever pushed to a registry, whatever its tags say now. */
export interface StoredMetadata {
  /** How many different files there are, by role. */
  readonly files: ReadonlyMap<string, number>;
  /** `COLLECTION ROLE VERSION` of which there are files with different bytes: poison for clients. */
  readonly twins: readonly string[];
  /** Most files of one role that were made above the same version: by so many a version could be drawn twice. */
  readonly crowding: number;
}

/** Versions from here on up to the next multiple are one draw each. */
const EPOCH = 2 ** 26;
/** What is larger is no metadata of these tests. */
const MAX_BYTES = 8 * 1024 * 1024;

interface Signed {
  readonly _type: string;
  readonly version: number;
  readonly bulla?: { readonly root?: string; readonly role?: string };
}

interface Manifest {
  readonly layers?: readonly { readonly data?: string }[];
}

/**
 * Reads everything below the directory of a registry: each keeps content as files of their own, under
 * names of its own. What was pushed and then deleted by its tag is still there as a blob.
 */
export async function storedMetadata(directory: string): Promise<StoredMetadata> {
  const hashes = new Map<string, Set<string>>();
  const note = (bytes: Buffer): void => {
    const signed = metadataIn(bytes);
    if (signed === undefined) return;
    const hash = createHash('sha256').update(bytes).digest('hex');
    const collection = signed.bulla?.root ?? hash;
    const key = [collection, signed.bulla?.role ?? signed._type, signed.version].join(' ');
    hashes.set(key, (hashes.get(key) ?? new Set()).add(hash));
  };
  for await (const path of filesBelow(directory)) {
    const bytes = await readIfThere(path);
    if (bytes?.[0] !== 0x7b) continue;
    note(bytes);
    for (const { data } of (parse(bytes) as Manifest | undefined)?.layers ?? [])
      if (typeof data === 'string') note(Buffer.from(data, 'base64'));
  }
  return summary(hashes);
}

function summary(hashes: ReadonlyMap<string, ReadonlySet<string>>): StoredMetadata {
  const files = new Map<string, number>();
  const epochs = new Map<string, number>();
  for (const [key, { size }] of hashes) {
    const [collection = '', role = '', version = ''] = key.split(' ');
    files.set(role, (files.get(role) ?? 0) + size);
    const epoch = [collection, role, Math.floor(Number(version) / EPOCH)].join(' ');
    epochs.set(epoch, (epochs.get(epoch) ?? 0) + size);
  }
  return {
    files,
    twins: [...hashes].filter(([, bytes]) => bytes.size > 1).map(([key]) => key),
    crowding: Math.max(0, ...epochs.values()),
  };
}

function metadataIn(bytes: Buffer): Signed | undefined {
  const value = parse(bytes) as { signed?: Signed; signatures?: unknown } | undefined;
  const isMetadata = Array.isArray(value?.signatures) && typeof value.signed?.version === 'number';
  return isMetadata ? value.signed : undefined;
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

async function* filesBelow(directory: string): AsyncGenerator<string> {
  for (const entry of await readdir(directory, { withFileTypes: true }).catch(() => [])) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else if (entry.isFile()) yield path;
  }
}

/** A registry may take an upload away meanwhile. */
async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return (await stat(path)).size > MAX_BYTES ? undefined : await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
