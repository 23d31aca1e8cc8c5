import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { discard, isErrno, makeDirectory, storageError, writeFileAtomic } from '../disk/atomic.ts';
import { withLock } from '../disk/lock.ts';
import { base64, fromBase64 } from '../encoding/bytes.ts';
import { canonicalRfc8785 } from '../encoding/canonical.ts';
import { parseJson } from '../encoding/json.ts';
import { formatTime, parseTime } from '../encoding/time.ts';
import { BullaError, isBullaError } from '../errors.ts';
import { describe } from '../oci/descriptor.ts';
import type { Tag } from '../oci/reference.ts';
import { describeIssues, listOf } from '../oci/shape.ts';
import type { CollectionId } from '../trust/format/binding.ts';
import { kindOfTag } from '../trust/format/vocabulary.ts';
import { encodeRecord, MAX_RECORD_BYTES, parseRecord } from '../trust/publish/signer-record.ts';
import {
  type AnnouncedObject,
  NO_RECORD,
  type SignerRecord,
  type SignerState,
} from '../trust/publish/signer-state.ts';
import { readOwnFile } from './own-file.ts';

/** Only the owner may write: write access decides which heads this signer trusts. */
const OWNER_ONLY = 0o700;
const REMOVE_PENDING = 'remove that file: what it announced has to be published again';
const REMOVE_RECORD =
  'restore that file from a backup, or remove it: what it announced has to be published again';
/** Largest file of an announced object that is written and read. */
const MAX_PENDING_BYTES = 128 * 1024 * 1024;

const part = z.strictObject({ mediaType: z.string(), data: z.string() });
const pendingSchema = z.strictObject({
  version: z.literal(1),
  tag: z.string().check(z.refine((tag) => isPendingTag(tag), 'not the tag of a candidate or stage')),
  ids: listOf(z.string().check(z.regex(/^[0-9a-f]{32}$/, 'not an id of a change'))),
  madeAt: z.string().check(z.refine((text) => parseTime(text) !== undefined, 'not a time')),
  blobs: listOf(part),
  children: listOf(part),
  top: part,
});
type Part = z.infer<typeof part>;

/**
 * The state of signers in a directory (spec/trust-publishing.md, "State of signers"): `ID/record.json`,
 * and `ID/pending/TAG.json` for what was announced. Every file appears whole; processes take turns.
 */
export class SignerStateDirectory implements SignerState {
  readonly isLasting: boolean = true;
  private readonly path: string;

  /** @param path made when something is to be stored */
  constructor(path: string) {
    this.path = path;
  }

  async load(id: CollectionId): Promise<SignerRecord | undefined> {
    const path = this.recordFile(id);
    const bytes = readOwnFile(path, MAX_RECORD_BYTES, REMOVE_RECORD);
    return bytes && parseRecord(bytes, id, path);
  }

  async update(id: CollectionId, change: (present: SignerRecord) => SignerRecord): Promise<void> {
    await makeDirectory(join(this.path, id), OWNER_ONLY);
    await withLock(join(this.path, id, '.lock'), async (lock) => {
      const next = change((await this.load(id)) ?? NO_RECORD);
      await lock.assertHeld();
      await writeFileAtomic(this.recordFile(id), encodeRecord(id, next), { mode: 0o600 });
    });
  }

  async pending(id: CollectionId): Promise<readonly AnnouncedObject[]> {
    const directory = join(this.path, id, 'pending');
    const objects: AnnouncedObject[] = [];
    for (const name of await namesIn(directory)) {
      const tag = /^(.+)\.json$/.exec(name)?.[1];
      if (tag === undefined || !isPendingTag(tag)) continue;
      const path = join(directory, name);
      const bytes = readOwnFile(path, MAX_PENDING_BYTES, REMOVE_PENDING);
      // Another process may have forgotten it meanwhile.
      if (bytes !== undefined) objects.push(readPending(bytes, path));
    }
    return objects;
  }

  async keep(id: CollectionId, object: AnnouncedObject): Promise<boolean> {
    if (sizeOf(object) > MAX_PENDING_BYTES) return false;
    await makeDirectory(join(this.path, id, 'pending'), OWNER_ONLY);
    await writeFileAtomic(this.pendingFile(id, object.tag), writePending(object), { mode: 0o600 });
    return true;
  }

  async drop(id: CollectionId, tag: Tag): Promise<void> {
    await discard(this.pendingFile(id, tag));
  }

  private recordFile(id: CollectionId): string {
    return join(this.path, id, 'record.json');
  }

  private pendingFile(id: CollectionId, tag: Tag): string {
    return join(this.path, id, 'pending', `${tag}.json`);
  }
}

function isPendingTag(text: string): boolean {
  return (
    /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/.test(text) &&
    ['candidate', 'stage'].includes(kindOfTag(text as Tag) ?? '')
  );
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw storageError(`cannot read ${directory}`, error);
  }
}

/** Most bytes that {@link writePending} makes, without making them. */
function sizeOf({ assembly: { blobs, children, top }, ids }: AnnouncedObject): number {
  const parts = [...blobs, ...children, top];
  const each = ({ descriptor, bytes }: AnnouncedObject['assembly']['top']): number =>
    4 * Math.ceil(bytes.byteLength / 3) + JSON.stringify(descriptor.mediaType).length + 64;
  return parts.reduce((sum, part) => sum + each(part), 1024 + 40 * ids.length);
}

function writePending({ tag, ids, madeAt, assembly }: AnnouncedObject): Uint8Array {
  const partOf = ({ descriptor, bytes }: AnnouncedObject['assembly']['top']): Part => ({
    mediaType: descriptor.mediaType,
    data: base64(bytes),
  });
  return canonicalRfc8785({
    version: 1,
    tag,
    ids: [...ids],
    madeAt: formatTime(madeAt),
    blobs: assembly.blobs.map(partOf),
    children: assembly.children.map(partOf),
    top: partOf(assembly.top),
  });
}

function readPending(bytes: Uint8Array, path: string): AnnouncedObject {
  try {
    const parsed = pendingSchema.safeParse(parseJson(bytes, { what: path, maxBytes: MAX_PENDING_BYTES }));
    if (!parsed.success) throw damaged(path, describeIssues(parsed.error));
    const { tag, ids, madeAt, blobs, children, top } = parsed.data;
    const read = ({ mediaType, data }: Part): AnnouncedObject['assembly']['top'] => {
      const content = fromBase64(data);
      if (content === undefined) throw damaged(path, 'not base64');
      return { descriptor: describe(mediaType, content), bytes: content };
    };
    const assembly = { blobs: blobs.map(read), children: children.map(read), top: read(top) };
    return { tag: tag as Tag, ids, madeAt: parseTime(madeAt) as Date, assembly };
  } catch (error) {
    throw isBullaError(error, 'content-invalid') ? damaged(path, error.message, error) : error;
  }
}

function damaged(path: string, why: string, cause?: unknown): BullaError {
  return new BullaError('storage-error', `${path} cannot be read: ${why}`, {
    ...(cause !== undefined && { cause }),
    hint: REMOVE_PENDING,
  });
}
