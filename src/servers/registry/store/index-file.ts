import { join } from 'node:path';
import { isErrno, readFileBounded, writeFileAtomic } from '../../../disk/atomic.ts';
import { utf8 } from '../../../encoding/bytes.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../../../encoding/json.ts';
import { BullaError, isBullaError, messageOf } from '../../../errors.ts';
import { algorithmOf, type Digest, digestOf, isDigest } from '../../../oci/digest.ts';
import { type CarriedManifest, MAX_MANIFEST_BYTES, parseCarried } from '../../../oci/manifest.ts';
import { isCarriedType, MEDIA_TYPES } from '../../../oci/media-types.ts';
import { isTag } from '../../../oci/reference.ts';
import { referrerDescriptor } from '../../../oci/referrers.ts';
import { isAnnotationsPlace, NO_ANNOTATIONS, placeOfAnnotations } from './annotations.ts';
import { blobPath } from './paths.ts';
import { type ManifestEntry, RepositoryIndex } from './repository.ts';

const REF_NAME = 'org.opencontainers.image.ref.name';
/**
 * Subject of a manifest, or `none`, on its descriptor in index.json: with it a start need not read
 * every manifest. Entries that others wrote have none, and are read.
 */
export const SUBJECT_ANNOTATION = 'vnd.bulla.registry.subject';
const NO_SUBJECT = 'none';
/** Beside a subject: where the annotations are that are listed with the manifest. */
export const LISTED_ANNOTATION = 'vnd.bulla.registry.listed';
/** Longer ones are not media types (RFC 6838 §4.2), and would be kept in memory and in the journal. */
const MAX_ARTIFACT_TYPE = 255;
/** 20,000 manifests take about 8 MB. */
const MAX_INDEX_BYTES = 1024 * 1024 * 1024;
const MAX_NESTING = 8;

/** The entry to remember of a manifest that was checked. */
export function entryOf(manifest: CarriedManifest, bytes: Uint8Array, digest: Digest): ManifestEntry {
  const descriptor = { mediaType: manifest.mediaType, digest, size: bytes.byteLength };
  const { artifactType } = referrerDescriptor({ descriptor, bytes }, manifest);
  return {
    ...descriptor,
    ...(isListedType(artifactType) && { artifactType }),
    ...(manifest.subject !== undefined && {
      subject: manifest.subject.digest,
      // Of annotations that clients could not read, a whole list would be unreadable.
      listed: manifest.annotations === undefined ? NO_ANNOTATIONS : placeOfAnnotations(bytes),
    }),
  };
}

function isListedType(artifactType: unknown): artifactType is string {
  return typeof artifactType === 'string' && artifactType.length <= MAX_ARTIFACT_TYPE;
}

/**
 * Writes a repository's index.json: an entry for each tag, and one for each manifest without a tag.
 * @throws BullaError storage-error
 */
export async function writeIndexFile(directory: string, index: RepositoryIndex): Promise<void> {
  const entries: string[] = [];
  for (const manifest of index.manifests.values()) {
    const tags = index.tagsOf(manifest.digest);
    if (tags.size === 0) entries.push(descriptorText(manifest, undefined));
    for (const tag of tags) entries.push(descriptorText(manifest, tag));
  }
  const text = `{"schemaVersion":2,"mediaType":"${MEDIA_TYPES.ociIndex}","manifests":[${entries.join(',')}]}`;
  await writeFileAtomic(join(directory, 'index.json'), utf8(text));
}

function descriptorText(manifest: ManifestEntry, tag: string | undefined): string {
  return JSON.stringify({
    mediaType: manifest.mediaType,
    digest: manifest.digest,
    size: manifest.size,
    artifactType: manifest.artifactType,
    annotations: {
      [REF_NAME]: tag,
      [SUBJECT_ANNOTATION]: manifest.subject ?? NO_SUBJECT,
      [LISTED_ANNOTATION]: manifest.listed,
    },
  });
}

/** What index.json holds. */
export interface ReadIndex {
  readonly index: RepositoryIndex;
  /** Whether an older server wrote it, so that manifests had to be read: it should be written anew. */
  readonly isBehind: boolean;
}

/**
 * Reads a repository's index.json, as this server, an older one or another tool wrote it. Entries whose
 * manifest is missing or damaged are left out and reported.
 * @throws BullaError storage-error; content-invalid if index.json is not an index
 */
export async function readIndexFile(
  directory: string,
  report: (problem: string) => void,
): Promise<ReadIndex> {
  const index = new RepositoryIndex();
  let isBehind = false;
  for (const item of await readEntries(directory)) {
    const { digest, mediaType } = item;
    if (typeof digest !== 'string' || !isDigest(digest)) continue;
    const name = annotationOf(item, REF_NAME);
    const tags = typeof name === 'string' && isTag(name) ? [name] : [];
    const manifest = index.manifests.get(digest) ?? entryIn(item, digest);
    if (manifest !== undefined) {
      index.apply({ op: 'put', manifest, tags });
      continue;
    }
    await adopt(directory, index, digest, mediaType, tags, report, 0);
    // What other tools wrote stays as it is until something changes.
    isBehind ||= isSubject(annotationOf(item, SUBJECT_ANNOTATION));
  }
  return { index, isBehind };
}

/** The entry as this server wrote it; undefined where the manifest has to be read. */
function entryIn(item: JsonObject, digest: Digest): ManifestEntry | undefined {
  const { mediaType, size, artifactType } = item;
  const subject = annotationOf(item, SUBJECT_ANNOTATION);
  if (typeof mediaType !== 'string' || typeof size !== 'number' || !isSubject(subject)) return undefined;
  const entry = { digest, mediaType, size, ...(isListedType(artifactType) && { artifactType }) };
  if (!isDigest(subject)) return entry;
  const listed = annotationOf(item, LISTED_ANNOTATION);
  return isAnnotationsPlace(listed) ? { ...entry, subject, listed } : undefined;
}

function isSubject(value: JsonValue | undefined): value is string {
  return typeof value === 'string' && (value === NO_SUBJECT || isDigest(value));
}

function annotationOf({ annotations }: JsonObject, name: string): JsonValue | undefined {
  return isJsonObject(annotations) ? annotations[name] : undefined;
}

/**
 * The entry of a journal that an older server wrote, with where its annotations are.
 * @throws BullaError storage-error
 */
export async function withListed(directory: string, entry: ManifestEntry): Promise<ManifestEntry> {
  if (entry.subject === undefined || isAnnotationsPlace(entry.listed)) return entry;
  try {
    const bytes = await readFileBounded(blobPath(directory, entry.digest), MAX_MANIFEST_BYTES);
    if (digestOf(bytes, algorithmOf(entry.digest)) !== entry.digest) return entry;
    const { mediaType, digest } = entry;
    const descriptor = { mediaType, digest, size: bytes.byteLength };
    return { ...entry, listed: entryOf(parseCarried({ descriptor, bytes }), bytes, digest).listed };
  } catch (error) {
    // It was collected since; the journal says so further on.
    if (isBullaError(error, 'not-found')) return entry;
    throw error;
  }
}

async function readEntries(directory: string): Promise<readonly JsonObject[]> {
  let bytes: Uint8Array;
  try {
    bytes = await readFileBounded(join(directory, 'index.json'), MAX_INDEX_BYTES);
  } catch (error) {
    if (isBullaError(error, 'not-found')) return [];
    throw error;
  }
  const what = `index.json of ${directory}`;
  const json = parseJsonObject(bytes, { what, maxBytes: MAX_INDEX_BYTES, floats: true });
  if (!Array.isArray(json['manifests'])) {
    throw new BullaError('content-invalid', `${what} has no list of manifests`, {
      hint: 'it is not an OCI image layout; move it out of the registry directory',
    });
  }
  return json['manifests'].filter(isJsonObject);
}

/** Takes in a manifest that another tool put here, with the manifests that it lists. */
async function adopt(
  directory: string,
  index: RepositoryIndex,
  digest: Digest,
  claimed: JsonValue | undefined,
  tags: readonly string[],
  report: (problem: string) => void,
  depth: number,
): Promise<void> {
  if (typeof claimed !== 'string' || !isCarriedType(claimed) || depth > MAX_NESTING) return;
  try {
    const bytes = await readFileBounded(blobPath(directory, digest), MAX_MANIFEST_BYTES);
    if (digestOf(bytes, algorithmOf(digest)) !== digest) {
      report(`the file of manifest ${digest} in ${directory} is damaged; it is not served`);
      return;
    }
    const descriptor = { mediaType: claimed, digest, size: bytes.byteLength };
    const manifest = parseCarried({ descriptor, bytes });
    index.apply({ op: 'put', manifest: entryOf(manifest, bytes, digest), tags });
    if (manifest.kind !== 'index') return;
    for (const child of manifest.manifests) {
      if (!index.manifests.has(child.digest))
        await adopt(directory, index, child.digest, child.mediaType, [], report, depth + 1);
    }
  } catch (error) {
    if (!isBullaError(error, 'not-found', 'content-invalid') && !isErrno(error, 'ENOENT')) throw error;
    // A platform that was not copied is common in layouts made by others; a tagged manifest is not.
    if (depth === 0) report(`manifest ${digest} in ${directory} cannot be served: ${messageOf(error)}`);
  }
}
