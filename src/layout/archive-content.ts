import type { FileHandle } from 'node:fs/promises';
import { openForReading, storageError } from '../disk/atomic.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { type Digest, isDigest } from '../oci/digest.ts';
import { fileSource, type Place, readPlace } from './byte-source.ts';
import { dockerSaveContent, parseDockerManifest, type RepoTags } from './docker-archive.ts';
import { EMPTY_INDEX, type LayoutIndex, MAX_INDEX_BYTES, parseLayoutIndex } from './index-file.ts';
import { inflate } from './inflate.ts';
import { damaged } from './tar-format.ts';
import { indexTar, placeOf, type TarIndex } from './tar-index.ts';

/** What is in an archive, and where. */
export interface ArchiveContent {
  readonly index: LayoutIndex;
  readonly blobs: ReadonlyMap<Digest, Place>;
  /** Names that docker's manifest.json gives images. */
  readonly repoTags: RepoTags;
  /** Whether docker's manifest.json is in it. */
  readonly isSaved: boolean;
  /** Whether it is a plain tar of a layout, which can be written anew with more in it. */
  readonly writable: boolean;
  /** Tells one state of the file from the next. */
  readonly version: string;
  close(): Promise<void>;
}

const MAX_VERSION_BYTES = 4096;
const MAX_DOCKER_MANIFEST_BYTES = 4 * 1024 * 1024;

/** What is not there yet. */
export const NO_CONTENT: ArchiveContent = {
  index: EMPTY_INDEX,
  blobs: new Map(),
  repoTags: new Map(),
  isSaved: false,
  writable: true,
  version: '',
  close: async () => undefined,
};

/**
 * Reads what is in an archive: a tar of a layout, the same compressed with gzip, or what `docker save`
 * of any age writes. Nothing is unpacked to disk but the gzip, and that under no name.
 * @throws BullaError not-found, content-invalid, storage-error
 */
export async function readArchive(path: string): Promise<ArchiveContent> {
  return await readArchiveFile(await openForReading(path), path);
}

/** As {@link readArchive}, of an open file, which is closed with the content. @param path for messages */
export async function readArchiveFile(original: FileHandle, path: string): Promise<ArchiveContent> {
  const where = `oci-archive:${path}`;
  let file = original;
  try {
    const found = await original.stat({ bigint: true });
    if (!found.isFile()) throw damaged(where, 'it is not a regular file');
    const isGzip = await startsWith(original, [0x1f, 0x8b]);
    if (isGzip) file = await inflate(original, where);
    else if (await isCompressedOtherwise(original)) throw unknownCompression(where);
    const { size } = await file.stat();
    const tar = await indexTar(fileSource(file, size, where), where);
    const content = await contentOf(tar, where);
    return {
      ...content,
      writable: content.writable && !isGzip,
      version: [found.ino, found.size, found.mtimeNs].join(' '),
      close: () => closeAll(file, original),
    };
  } catch (error) {
    await closeAll(file, original);
    throw storageError(`cannot read ${path}`, error);
  }
}

async function closeAll(...files: FileHandle[]): Promise<void> {
  for (const file of new Set(files)) await file.close();
}

type Content = Pick<ArchiveContent, 'index' | 'blobs' | 'repoTags' | 'isSaved' | 'writable'>;

/** Whether there is a layer as docker kept each of them before version 1.10, in a directory of its own. */
function isOldLayer(tar: TarIndex): boolean {
  for (const name of tar.files.keys()) {
    const [, id] = /^([0-9a-f]{64})\/layer\.tar$/.exec(name) ?? [];
    if (id !== undefined) return tar.files.has(`${id}/json`);
  }
  return false;
}

function tooOld(where: string): BullaError {
  return new BullaError(
    'content-invalid',
    `${where} was saved by docker before version 1.10: it has no manifest.json, and its layers have no digests to be signed`,
    {
      hint: 'load it with a version of docker that still reads it (docker load -i FILE), and save it again (docker save -o NEW IMAGE)',
    },
  );
}

async function contentOf(tar: TarIndex, where: string): Promise<Content> {
  const index = tar.files.get('index.json');
  const manifest = placeOf(tar, 'manifest.json');
  const json =
    manifest === undefined
      ? undefined
      : await bounded(manifest, MAX_DOCKER_MANIFEST_BYTES, 'manifest.json', where);
  const items = json === undefined ? [] : parseDockerManifest(json, `${where}: manifest.json`);
  if (index === undefined || !tar.files.has('oci-layout')) {
    if (json === undefined && (tar.files.has('repositories') || isOldLayer(tar))) throw tooOld(where);
    if (json === undefined)
      throw damaged(where, 'it has neither index.json and oci-layout nor manifest.json');
    return { ...(await dockerSaveContent(tar, items, where)), isSaved: true, writable: false };
  }
  await checkVersion(tar, where);
  const blobs = new Map<Digest, Place>();
  for (const [name, place] of tar.files) {
    const digest = digestOfName(name);
    if (digest !== undefined) blobs.set(digest, place);
  }
  const bytes = await bounded(index, MAX_INDEX_BYTES, 'index.json', where);
  return {
    index: parseLayoutIndex(bytes, `${where}: index.json`),
    blobs,
    repoTags: new Map(items.map((item) => [item.config, item.repoTags])),
    isSaved: json !== undefined,
    writable: true,
  };
}

async function checkVersion(tar: TarIndex, where: string): Promise<void> {
  const place = tar.files.get('oci-layout') as Place;
  const bytes = await bounded(place, MAX_VERSION_BYTES, 'oci-layout', where);
  const json = parseJsonObject(bytes, { what: `${where}: oci-layout` });
  if (json['imageLayoutVersion'] !== '1.0.0') throw damaged(where, 'it is a layout of an unknown version');
}

async function bounded(place: Place, maxBytes: number, name: string, where: string): Promise<Uint8Array> {
  if (place.size > maxBytes) throw damaged(where, `${name} has ${place.size} bytes`);
  return await readPlace(place);
}

function digestOfName(name: string): Digest | undefined {
  const match = /^blobs\/(sha256|sha512)\/([0-9a-f]+)$/.exec(name);
  const digest = `${match?.[1]}:${match?.[2]}`;
  return isDigest(digest) ? digest : undefined;
}

async function startsWith(file: FileHandle, magic: readonly number[]): Promise<boolean> {
  const bytes = Buffer.alloc(magic.length);
  const { bytesRead } = await file.read(bytes, 0, bytes.byteLength, 0);
  return bytesRead === magic.length && bytes.equals(Buffer.from(magic));
}

async function isCompressedOtherwise(file: FileHandle): Promise<boolean> {
  const magics = [
    [0x28, 0xb5, 0x2f, 0xfd],
    [0xfd, 0x37, 0x7a, 0x58, 0x5a],
    [0x42, 0x5a, 0x68],
  ];
  for (const magic of magics) if (await startsWith(file, magic)) return true;
  return false;
}

function unknownCompression(where: string): BullaError {
  return new BullaError('content-invalid', `${where} is compressed with zstd, xz or bzip2`, {
    hint: 'decompress it first (zstd -d, xz -d, bunzip2); plain tar and gzip are read',
  });
}
