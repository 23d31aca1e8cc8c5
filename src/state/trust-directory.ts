import { join } from 'node:path';
import { discard, makeDirectory, sweepTemporaries, syncDirectory, writeFileAtomic } from '../disk/atomic.ts';
import { readSmallFile, writeSmallFile } from '../disk/small-file.ts';
import { concatBytes, utf8 } from '../encoding/bytes.ts';
import { type JsonObject, parseJsonObject } from '../encoding/json.ts';
import { formatTime, parseTime } from '../encoding/time.ts';
import { BullaError, isBullaError } from '../errors.ts';
import { describe } from '../oci/descriptor.ts';
import { MAX_MANIFEST_BYTES } from '../oci/manifest.ts';
import { type CollectionId, parseCollectionId } from '../trust/binding.ts';
import { type CollectionMemory, type KnownHead, otherCollection, type TrustMemory } from '../trust/memory.ts';
import type { StateChange } from '../tuf/ports.ts';
import { placeFileName } from './head-peek.ts';
import { TrustedDirectory } from './trusted-directory.ts';

/** Only the owner may look: places tell what somebody works on. */
const OWNER_ONLY = 0o700;
const MAX_PLACE_BYTES = 64 * 1024;
const MAX_HEADER_BYTES = 64 * 1024;

/**
 * What is remembered of collections, in a directory (spec/trust-reading.md, "Memory"):
 * `places/` says which collection was verified where, `collections/ID/metadata/` holds its trusted
 * metadata and nothing else, `collections/ID/heads/` the head last seen at each place. Names of files
 * are hashes, so that no place is another's where the file system ignores case. Every file appears
 * whole, and any number of processes may use it at once.
 */
export class TrustDirectory implements TrustMemory {
  readonly isLasting: boolean = true;
  private readonly path: string;

  /** @param path made when something is to be remembered */
  constructor(path: string) {
    this.path = path;
  }

  async seen(place: string): Promise<CollectionId | undefined> {
    const path = this.placeFile(place);
    const bytes = readSmallFile(path, MAX_PLACE_BYTES);
    return bytes && readPlace(bytes, path, place);
  }

  async note(place: string, id: CollectionId): Promise<void> {
    const seen = await this.seen(place);
    if (seen === id) return;
    if (seen !== undefined) throw otherCollection(place, seen, id);
    await makeDirectory(join(this.path, 'places'), OWNER_ONLY);
    await sweepTemporaries(join(this.path, 'places'));
    try {
      const bytes = utf8(`${JSON.stringify({ place, id })}\n`);
      await writeFileAtomic(this.placeFile(place), bytes, { mode: 0o600, exclusive: true });
    } catch (error) {
      if (!isBullaError(error, 'conflict')) throw error;
      const other = await this.seen(place);
      if (other !== undefined && other !== id) throw otherCollection(place, other, id);
    }
  }

  async forget(place: string): Promise<void> {
    if ((await this.seen(place).catch(() => 'damaged')) === undefined) return;
    await discard(this.placeFile(place));
    await syncDirectory(join(this.path, 'places'));
  }

  async open(id: CollectionId): Promise<CollectionMemory> {
    const path = join(this.path, 'collections', id);
    const heads = join(path, 'heads');
    await makeDirectory(heads, OWNER_ONLY);
    return new DirectoryCollection(await TrustedDirectory.open(join(path, 'metadata')), heads);
  }

  private placeFile(place: string): string {
    return join(this.path, 'places', `${placeFileName(place)}.json`);
  }
}

class DirectoryCollection implements CollectionMemory {
  private readonly metadata: TrustedDirectory;
  private readonly heads: string;
  private swept = false;

  constructor(metadata: TrustedDirectory, heads: string) {
    this.metadata = metadata;
    this.heads = heads;
  }

  load(role: string): Promise<Uint8Array | undefined> {
    return this.metadata.load(role);
  }

  replace(changes: readonly StateChange[]): Promise<boolean> {
    return this.metadata.replace(changes);
  }

  keep(role: string, bytes: Uint8Array): Promise<void> {
    return this.metadata.keep(role, bytes);
  }

  async loadHead(place: string): Promise<KnownHead | undefined> {
    const bytes = readSmallFile(this.headFile(place), MAX_HEADER_BYTES + MAX_MANIFEST_BYTES);
    if (bytes === undefined) return undefined;
    try {
      return readHead(bytes, place);
    } catch (error) {
      // A power cut may leave anything, and without it the head is only fetched again.
      if (isBullaError(error, 'content-invalid')) return undefined;
      throw error;
    }
  }

  async keepHead(place: string, { content, refreshedAt }: KnownHead): Promise<void> {
    const { mediaType, digest } = content.descriptor;
    const header = { place, mediaType, digest, refreshedAt: formatTime(refreshedAt) };
    const bytes = concatBytes([utf8(`${JSON.stringify(header)}\n`), content.bytes]);
    // What killed processes left.
    if (!this.swept) await sweepTemporaries(this.heads);
    this.swept = true;
    writeSmallFile(this.headFile(place), bytes);
  }

  private headFile(place: string): string {
    return join(this.heads, placeFileName(place));
  }
}

function readPlace(bytes: Uint8Array, path: string, place: string): CollectionId {
  try {
    const json = parseJsonObject(bytes, { what: path });
    if (json['place'] === place) return parseCollectionId(textOf(json, 'id'));
    throw damaged(`it is about ${JSON.stringify(json['place'])}`);
  } catch (cause) {
    // Taking it for a place never seen would trust whoever is there now.
    throw new BullaError('storage-error', `what is remembered of ${place} cannot be read: ${path}`, {
      cause,
      hint: 'compare the root keys with those you know, then pin the repository anew: bulla pin',
    });
  }
}

function readHead(bytes: Uint8Array, place: string): KnownHead {
  const end = bytes.indexOf(0x0a);
  if (end < 0 || end > MAX_HEADER_BYTES) throw damaged('it has no header');
  const header = parseJsonObject(bytes.subarray(0, end), { what: 'the remembered head' });
  const manifest = bytes.subarray(end + 1);
  const descriptor = describe(textOf(header, 'mediaType'), manifest);
  const refreshedAt = parseTime(textOf(header, 'refreshedAt'));
  if (header['place'] !== place || header['digest'] !== descriptor.digest || refreshedAt === undefined)
    throw damaged('header and content do not agree');
  return { content: { descriptor, bytes: manifest }, refreshedAt };
}

function textOf(json: JsonObject, name: string): string {
  const value = json[name];
  if (typeof value === 'string') return value;
  throw damaged(`${name} is missing`);
}

function damaged(why: string): BullaError {
  return new BullaError('content-invalid', `a file of the trust memory is damaged: ${why}`, {
    hint: 'remove it, or pin the repository anew: bulla pin',
  });
}
