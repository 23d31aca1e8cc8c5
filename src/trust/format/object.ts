import { BullaError } from '../../errors.ts';
import { type Descriptor, inlineContent } from '../../oci/descriptor.ts';
import {
  type ImageManifest,
  type IndexManifest,
  type ManifestContent,
  parseManifest,
} from '../../oci/manifest.ts';
import type { BlobFetcher, CallOptions, ManifestFetcher } from '../../oci/target.ts';
import { binCount } from '../../tuf/hash-bins.ts';
import {
  BIN_BITS,
  BIN_PREFIX,
  CANDIDATE_MARK,
  FILE_NAME,
  FILE_TITLE,
  TRUST_LAYERS,
  TRUST_TYPES,
} from './vocabulary.ts';

/** From where trust objects are read. */
export interface ObjectSource extends ManifestFetcher, BlobFetcher {
  readonly name: string;
}

/** Where the bins of a large head are. */
export interface ShardList {
  /** Number of bits of the bins: 2^bits bins, spread evenly over the shards in order. */
  readonly bits: number;
  readonly shards: readonly Descriptor[];
}

/**
 * A head, candidate, stage or proof, taken apart. Nothing in it is signed but the files: it only says
 * where they are.
 */
export interface TrustObject {
  /** What the tag or digest named. */
  readonly content: ManifestContent;
  /** The manifest that lists the files: `content` itself, or the first entry of a large one. */
  readonly listing: ManifestContent;
  readonly kind: 'head' | 'stage' | 'proof';
  /** A head that is announced, and not yet moved to. */
  readonly isCandidate: boolean;
  readonly subject?: Descriptor | undefined;
  /** Metadata by file name as in a TUF repository (`3.root.json`, `timestamp.json`), but for bins in shards. */
  readonly files: ReadonlyMap<string, Descriptor>;
  /** Logs by role. */
  readonly logs: ReadonlyMap<string, Descriptor>;
  readonly bins?: ShardList | undefined;
}

const MAX_BITS = 16;
const KINDS: ReadonlyMap<string, TrustObject['kind']> = new Map([
  [TRUST_TYPES.head, 'head'],
  [TRUST_TYPES.stage, 'stage'],
  [TRUST_TYPES.proof, 'proof'],
]);
const LOG_NAME = /^(.+)\.log\.json$/;

/**
 * Takes apart a manifest of the collection; a large one needs a second request, for its listing.
 * @throws BullaError trust-invalid if it is not an object of a collection; content-invalid; what the source throws
 */
export async function openTrustObject(
  source: ObjectSource,
  content: ManifestContent,
  options: CallOptions = {},
): Promise<TrustObject> {
  const manifest = parseManifest(content);
  if (manifest.kind === 'manifest') return readListing(content, content, manifest);
  const [first, ...shards] = manifest.manifests.filter((entry) => entry.artifactType !== TRUST_TYPES.folded);
  if (first === undefined) throw unknownObject(content, 'an index without entries');
  const listing = await fetchEntry(source, first, options);
  const inner = parseManifest(listing);
  if (inner.kind !== 'manifest') throw unknownObject(content, 'an index of indexes');
  const isCandidate = manifest.annotations?.[CANDIDATE_MARK] !== undefined;
  return {
    ...readListing(content, listing, inner),
    isCandidate,
    bins: readShards(content, manifest, shards),
  };
}

async function fetchEntry(
  source: ObjectSource,
  entry: Descriptor,
  options: CallOptions,
): Promise<ManifestContent> {
  const bytes = inlineContent(entry, source.name);
  const { mediaType, digest, size } = entry;
  return bytes === undefined
    ? await source.fetchManifest(digest, options)
    : { descriptor: { mediaType, digest, size }, bytes };
}

function readListing(
  content: ManifestContent,
  listing: ManifestContent,
  manifest: ImageManifest,
): TrustObject {
  const kind = KINDS.get(manifest.artifactType ?? '');
  if (kind === undefined)
    throw unknownObject(content, `artifactType ${JSON.stringify(manifest.artifactType)}`);
  const files = new Map<string, Descriptor>();
  const logs = new Map<string, Descriptor>();
  for (const layer of manifest.layers) {
    const name = layer.annotations?.[FILE_NAME] ?? layer.annotations?.[FILE_TITLE];
    if (name === undefined) continue;
    const role = layer.mediaType === TRUST_LAYERS.log ? LOG_NAME.exec(name)?.[1] : undefined;
    if (role !== undefined) addOnce(logs, role, layer, content);
    else if (layer.mediaType === TRUST_LAYERS.metadata) addOnce(files, name, layer, content);
  }
  const isCandidate = manifest.annotations?.[CANDIDATE_MARK] !== undefined;
  return { content, listing, kind, isCandidate, subject: manifest.subject, files, logs };
}

function addOnce(
  map: Map<string, Descriptor>,
  name: string,
  layer: Descriptor,
  content: ManifestContent,
): void {
  const known = map.get(name);
  if (known !== undefined && known.digest !== layer.digest)
    throw unknownObject(content, `two different files called ${JSON.stringify(name.slice(0, 160))}`);
  map.set(name, layer);
}

function readShards(
  content: ManifestContent,
  manifest: IndexManifest,
  shards: readonly Descriptor[],
): ShardList | undefined {
  if (shards.length === 0) return undefined;
  const bits = Number(manifest.annotations?.[BIN_BITS]);
  if (Number.isInteger(bits) && bits >= 1 && bits <= MAX_BITS && shards.length === shardCount(bits))
    return { bits, shards };
  throw unknownObject(
    content,
    `${shards.length} shards for bins of ${manifest.annotations?.[BIN_BITS]} bits`,
  );
}

/** How many shards hold the bins: about as many as each of them has bins, so that neither list grows long. */
export function shardCount(bits: number): number {
  return 2 ** Math.floor(bits / 2);
}

/** Where a bin's descriptor is: the number of its shard, and its place in it. */
export function placeOfBin(bits: number, bin: number): { readonly shard: number; readonly at: number } {
  const perShard = binCount({ bitLength: bits, namePrefix: BIN_PREFIX }) / shardCount(bits);
  return { shard: Math.floor(bin / perShard), at: bin % perShard };
}

/**
 * Descriptors of the bins in a shard, in order.
 * @throws BullaError trust-invalid, content-invalid; what the source throws
 */
export async function openShard(
  source: ObjectSource,
  bins: ShardList,
  shard: Descriptor,
  options: CallOptions = {},
): Promise<readonly Descriptor[]> {
  const content = await fetchEntry(source, shard, options);
  const manifest = parseManifest(content);
  const expected = 2 ** bins.bits / shardCount(bins.bits);
  if (
    manifest.kind === 'manifest' &&
    manifest.artifactType === TRUST_TYPES.shard &&
    manifest.layers.length === expected
  )
    return manifest.layers;
  throw unknownObject(content, `not a shard of ${expected} bins`);
}

/**
 * Bytes of a file of an object: those in the descriptor, else the blob, both verified.
 * @throws BullaError content-invalid; what the source throws
 */
export async function fetchFile(
  source: ObjectSource,
  descriptor: Descriptor,
  maxBytes: number,
  options: CallOptions = {},
): Promise<Uint8Array> {
  if (descriptor.size > maxBytes) throw tooLarge(source, descriptor, maxBytes);
  return inlineContent(descriptor, source.name) ?? (await source.fetchBlob(descriptor, maxBytes, options));
}

function tooLarge(source: ObjectSource, { digest, size }: Descriptor, maxBytes: number): BullaError {
  return new BullaError(
    'content-invalid',
    `${source.name}: ${digest} has ${size} bytes, and ${maxBytes} are allowed`,
    {
      hint: 'no honest file of a collection is that large',
    },
  );
}

function unknownObject({ descriptor }: ManifestContent, what: string): BullaError {
  return new BullaError('trust-invalid', `${descriptor.digest} is not trust metadata: ${what}`, {
    hint: 'another object was pushed to a tag of the collection, or a newer tool made it',
    details: { digest: descriptor.digest, reason: 'object' },
  });
}
