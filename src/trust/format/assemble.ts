import { base64 } from '../../encoding/bytes.ts';
import { BullaError } from '../../errors.ts';
import {
  bareDescriptor,
  type Descriptor,
  describe,
  EMPTY_BYTES,
  EMPTY_DESCRIPTOR,
} from '../../oci/descriptor.ts';
import { buildArtifact, buildIndex, type ManifestContent } from '../../oci/manifest.ts';
import { type RepositoryFiles, writeRepositoryFiles } from '../../tuf/edit/repository.ts';
import { isBin } from '../../tuf/hash-bins.ts';
import { placeOfBin, shardCount } from './object.ts';
import { BIN_BITS, BIN_PREFIX, FILE_NAME, FILE_TITLE, TRUST_LAYERS, TRUST_TYPES } from './vocabulary.ts';

/** An object of a collection, ready to be pushed: blobs, then children, then the top. */
export interface Assembly {
  readonly blobs: readonly { readonly descriptor: Descriptor; readonly bytes: Uint8Array }[];
  readonly children: readonly ManifestContent[];
  readonly top: ManifestContent;
}

/** The log of a role: its bytes, or where they are already. */
export type LogPart = Uint8Array | Descriptor;

/** Bins of `names` by shard: a shard that did not change, or the descriptors of its bins. */
export interface BinParts {
  readonly bits: number;
  readonly shards: readonly (Descriptor | readonly Descriptor[])[];
}

/** What a head is put together from. */
export interface HeadParts {
  /** All files of the collection except bins that are not loaded. */
  readonly files: RepositoryFiles;
  readonly logs: ReadonlyMap<string, LogPart>;
  readonly bins?: BinParts | undefined;
}

/** Largest file that is put into the manifest itself, and most of all of them together, in bytes. */
const INLINE_FILE_BYTES = 192 * 1024;
const INLINE_BYTES = 768 * 1024;
/** Old roots are read by clients that were away for long: so much of them is in the manifest, newest first. */
const INLINE_ROOT_BYTES = 16 * 1024;

/** A head in its canonical form (spec/trust.md, "Head"); with bins, a large head. */
export function assembleHead(parts: HeadParts): Assembly {
  if (parts.bins === undefined) return assembleListing(TRUST_TYPES.head, parts, { inline: true });
  const { bits, shards } = parts.bins;
  const { top: listing, blobs } = assembleListing(TRUST_TYPES.head, parts, { inline: false, isBare: true });
  const made = shards.map((shard) => ('digest' in shard ? shard : assembleShard(shard)));
  const top = buildIndex({
    manifests: [
      bareDescriptor(listing.descriptor),
      ...made.map((shard) => ('bytes' in shard ? bareDescriptor(shard.descriptor) : bareDescriptor(shard))),
    ],
    annotations: { [BIN_BITS]: String(bits) },
  });
  const children = [...made.filter((shard) => 'bytes' in shard), listing];
  return { blobs: [...blobs, ...binBlobs(parts.files, bits)], children, top };
}

/** What a stage is put together from: role files, bins among them, and the logs of those roles. */
export interface StageParts {
  /** Metadata files by their names in a TUF repository. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly logs: ReadonlyMap<string, LogPart>;
}

/** A stage in its canonical form (spec/trust.md, "Stage"). */
export function assembleStage({ files, logs }: StageParts): Assembly {
  return assembleFiles(TRUST_TYPES.stage, files, logs, { inline: true });
}

/** What a proof is put together from. */
export interface ProofParts {
  readonly subject: Descriptor;
  /** Root chain, timestamp, snapshot, and the roles and bins that name the subject. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** A proof in its canonical form (spec/trust-copying.md, "Proofs"). */
export function assembleProof({ subject, files }: ProofParts): Assembly {
  return assembleFiles(TRUST_TYPES.proof, files, new Map(), {
    inline: false,
    subject: bareDescriptor(subject),
  });
}

/**
 * Bins by shard after a change: shards without a changed bin stay, and need not have been read.
 * @param opened bins of the present shards that hold a changed bin, by number of the shard
 */
export function spreadBins(
  files: RepositoryFiles,
  bits: number,
  present: readonly Descriptor[] = [],
  opened: ReadonlyMap<number, readonly Descriptor[]> = new Map(),
): BinParts {
  const shards: (Descriptor | Descriptor[])[] = Array.from(
    { length: shardCount(bits) },
    (_, shard) => present[shard] ?? [],
  );
  for (const [role, { bytes }] of files.roles) {
    const bin = binNumber(bits, role);
    if (bin === undefined) continue;
    const { shard, at } = placeOfBin(bits, bin);
    const list = shards[shard] as Descriptor | Descriptor[];
    const bins = 'digest' in list ? openedShard(opened, shard) : list;
    bins[at] = describe(TRUST_LAYERS.metadata, bytes);
    shards[shard] = bins;
  }
  return { bits, shards };
}

function openedShard(opened: ReadonlyMap<number, readonly Descriptor[]>, shard: number): Descriptor[] {
  const bins = opened.get(shard);
  if (bins !== undefined) return [...bins];
  throw new BullaError('internal', `a bin of shard ${shard} changed, and the shard was not read`, {
    hint: 'please report this with the command that was run',
  });
}

interface ListingOptions {
  readonly inline: boolean;
  /** Files are named once, so that reading one name of many fetches few bytes. */
  readonly isBare?: boolean;
  readonly subject?: Descriptor;
}

function assembleListing(
  artifactType: string,
  { files, logs, bins }: HeadParts,
  options: ListingOptions,
): Assembly {
  const listed = new Map(
    [...files.roles].filter(([role]) => bins === undefined || binNumber(bins.bits, role) === undefined),
  );
  return assembleFiles(artifactType, writeRepositoryFiles({ ...files, roles: listed }), logs, options);
}

function assembleFiles(
  artifactType: string,
  files: ReadonlyMap<string, Uint8Array>,
  logs: ReadonlyMap<string, LogPart>,
  { inline, isBare = false, subject }: ListingOptions,
): Assembly {
  const named = (name: string) => namesOf(name, isBare);
  const inlined = inline ? chooseInline(files) : new Set();
  const blobs: { descriptor: Descriptor; bytes: Uint8Array }[] = [
    { descriptor: EMPTY_DESCRIPTOR, bytes: EMPTY_BYTES },
  ];
  const layers: Descriptor[] = [];
  for (const [name, bytes] of files) {
    const descriptor = describe(TRUST_LAYERS.metadata, bytes, { annotations: named(name) });
    layers.push(inlined.has(name) ? { ...descriptor, data: base64(bytes) } : descriptor);
    blobs.push({ descriptor: bareDescriptor(descriptor), bytes });
  }
  for (const [role, part] of [...logs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const descriptor = 'digest' in part ? bareDescriptor(part) : describe(TRUST_LAYERS.log, part);
    layers.push({ ...descriptor, annotations: named(`${role}.log.json`) });
    if (!('digest' in part)) blobs.push({ descriptor, bytes: part });
  }
  const top = buildArtifact({
    artifactType,
    layers,
    ...(subject !== undefined && { subject }),
  });
  return { blobs, children: [], top };
}

function namesOf(name: string, isBare: boolean): Readonly<Record<string, string>> {
  return isBare ? { [FILE_TITLE]: name } : { [FILE_NAME]: name, [FILE_TITLE]: name };
}

/** Names of the files that the manifest carries itself, so that one request brings all of a small collection. */
function chooseInline(files: ReadonlyMap<string, Uint8Array>): ReadonlySet<string> {
  const chosen = new Set<string>();
  let [left, roots] = [INLINE_BYTES, INLINE_ROOT_BYTES];
  for (const [name, { byteLength }] of [...files].reverse()) {
    const isRoot = /^[0-9]+\.root\.json$/.test(name);
    if (byteLength > INLINE_FILE_BYTES || byteLength > left || (isRoot && byteLength > roots)) continue;
    left -= byteLength;
    if (isRoot) roots -= byteLength;
    chosen.add(name);
  }
  return chosen;
}

function assembleShard(bins: readonly Descriptor[]): ManifestContent {
  return buildArtifact({ artifactType: TRUST_TYPES.shard, layers: bins.map(bareDescriptor) });
}

function binBlobs(files: RepositoryFiles, bits: number): Assembly['blobs'] {
  return [...files.roles].flatMap(([role, { bytes }]) =>
    binNumber(bits, role) === undefined
      ? []
      : [{ descriptor: describe(TRUST_LAYERS.metadata, bytes), bytes }],
  );
}

/** Number of a bin of `names`; undefined for other roles. */
function binNumber(bits: number, role: string): number | undefined {
  const layout = { bitLength: bits, namePrefix: BIN_PREFIX };
  return isBin(layout, role) ? Number.parseInt(role.slice(BIN_PREFIX.length + 1), 16) : undefined;
}
