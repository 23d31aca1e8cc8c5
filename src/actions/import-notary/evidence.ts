import { encodeOwn } from '../../encoding/canonical.ts';
import { formatTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import type { NotaryRepository } from '../../notary/repository.ts';
import { isDelegationName } from '../../notary/role-name.ts';
import type { NotaryFileName, NotarySource } from '../../notary/source.ts';
import { type Descriptor, describe, EMPTY_BYTES, EMPTY_DESCRIPTOR } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { buildArtifact, parseManifest } from '../../oci/manifest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import type { Assembly } from '../../trust/format/assemble.ts';
import type { ObjectSource } from '../../trust/format/object.ts';
import type { TrustTarget } from '../../trust/format/ports.ts';
import { pushObject } from '../../trust/format/push.ts';
import { FILE_TITLE } from '../../trust/format/vocabulary.ts';

/** Where the evidence of the last import lies, so that nothing removes it. */
export const EVIDENCE_TAG: Tag = '_trust.notary' as Tag;
const EVIDENCE_TYPE = 'application/vnd.bulla.notary.evidence.v1';
const METADATA_TYPE = 'application/vnd.bulla.notary.metadata.v1+json';
const ORIGIN_TYPE = 'application/vnd.bulla.notary.origin.v1+json';
const ORIGIN_FILE = 'origin.json';
const MAX_FILE_BYTES = 64 * 1024 * 1024;
/** Root chain and roles together. */
const MAX_FILES = 2048;

/** Where imported trust data came from; signed in targets as `bulla.notary` without `place`. */
export interface NotaryOrigin {
  readonly gun: string;
  /** URL of the server, or the directory's last name: no path of a machine. */
  readonly place: string;
  /** When the state was still valid: where something had expired, when the first of it did. */
  readonly asOf?: Date | undefined;
}

/**
 * The verified files of a repository, byte for byte, as an artifact in its canonical form (spec/notary.md,
 * "Evidence"): the same state makes the same digest, and `oras pull` leaves a directory that
 * `bulla verify --notary` reads.
 */
export function assembleEvidence(repository: NotaryRepository, origin: NotaryOrigin): Assembly {
  const files = new Map<string, Uint8Array>();
  for (const { file, content } of repository.roots) files.set(`${content.version}.root.json`, file.bytes);
  files.set('root.json', repository.root.file.bytes);
  files.set('timestamp.json', repository.timestamp.file.bytes);
  files.set('snapshot.json', repository.snapshot.file.bytes);
  for (const { name, file } of repository.roles.values())
    if (file !== undefined) files.set(`${name}.json`, file.bytes);
  const { gun, place, asOf } = origin;
  const about = encodeOwn({
    version: 1,
    gun,
    place,
    ...(asOf !== undefined && { asOf: formatTime(asOf) }),
  });
  const blobs = [{ descriptor: EMPTY_DESCRIPTOR, bytes: EMPTY_BYTES }];
  const layer = (type: string, name: string, bytes: Uint8Array): Descriptor => {
    const descriptor = describe(type, bytes);
    blobs.push({ descriptor, bytes });
    return { ...descriptor, annotations: { [FILE_TITLE]: name } };
  };
  const layers = [
    layer(ORIGIN_TYPE, ORIGIN_FILE, about),
    ...[...files].sort(byName).map(([name, bytes]) => layer(METADATA_TYPE, name, bytes)),
  ];
  return { blobs, children: [], top: buildArtifact({ artifactType: EVIDENCE_TYPE, layers }) };
}

/** Stores evidence and reads it back. @throws BullaError what the target throws */
export async function pushEvidence(
  target: TrustTarget,
  evidence: Assembly,
  options: CallOptions,
): Promise<Digest> {
  await pushObject(target, evidence, EVIDENCE_TAG, new Set(), options);
  const { digest } = evidence.top.descriptor;
  await target.fetchManifest(digest, options);
  return digest;
}

/**
 * The files of an earlier import, by the digest that targets sign.
 * @throws BullaError content-invalid; not-found where it was removed; what the source throws
 */
export async function openEvidence(
  source: ObjectSource,
  digest: Digest,
  options: CallOptions,
): Promise<NotarySource> {
  const manifest = parseManifest(await source.fetchManifest(digest, options));
  if (manifest.kind !== 'manifest' || manifest.artifactType !== EVIDENCE_TYPE)
    throw malformed(digest, `it is not of type ${EVIDENCE_TYPE}`);
  const files = new Map<string, Descriptor>();
  for (const { annotations, ...descriptor } of manifest.layers.slice(0, MAX_FILES)) {
    const name = annotations?.[FILE_TITLE];
    if (name !== undefined) files.set(name, descriptor);
  }
  return new EvidenceSource(source, digest, files, options);
}

class EvidenceSource implements NotarySource {
  readonly place: string;
  private readonly source: ObjectSource;
  private readonly files: ReadonlyMap<string, Descriptor>;
  private readonly options: CallOptions;

  constructor(
    source: ObjectSource,
    digest: Digest,
    files: ReadonlyMap<string, Descriptor>,
    options: CallOptions,
  ) {
    this.place = `evidence ${digest}`;
    this.source = source;
    this.files = files;
    this.options = options;
  }

  async fetch({ role, version }: NotaryFileName, maxBytes: number): Promise<Uint8Array | undefined> {
    const isKnown = ['root', 'targets', 'snapshot', 'timestamp'].includes(role) || isDelegationName(role);
    const descriptor = this.files.get(version === undefined ? `${role}.json` : `${version}.${role}.json`);
    if (!isKnown || descriptor === undefined) return undefined;
    return await this.source.fetchBlob(descriptor, Math.min(maxBytes, MAX_FILE_BYTES), this.options);
  }
}

function malformed(digest: Digest, why: string): BullaError {
  return new BullaError('content-invalid', `evidence ${digest} is malformed: ${why}`, {
    hint: 'it was made by another tool, or replaced; import again into a new repository',
  });
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
