import { isBullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { type CarriedManifest, childrenOf, parseCarried } from '../../oci/manifest.ts';
import { isCarriedType } from '../../oci/media-types.ts';
import { Fault } from './faults.ts';
import { entryOf } from './store/index-file.ts';
import type { ManifestEntry } from './store/repository.ts';
import type { Store, StoredRepository } from './store/store.ts';

/** Layers that registries are not meant to have (image-spec, "Non-Distributable Layers"). */
const ELSEWHERE =
  /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.v1\.tar|docker\.image\.rootfs\.foreign\.diff\.tar)/;
/** The tag of referrers for registries without their API (distribution-spec, "Referrers Tag Schema"). */
const FALLBACK_TAG = /^sha(?:256|512)-[0-9a-f]{64}$/;
const MAX_CHILDREN = 10_000;

/** Type of a pushed manifest, from its Content-Type. @throws Fault 400 */
export function manifestTypeOf(header: string | undefined): string {
  const type = header?.split(';', 1)[0]?.trim() ?? '';
  if (isCarriedType(type)) return type;
  throw new Fault(
    400,
    'MANIFEST_INVALID',
    `Content-Type must be the type of an OCI image manifest or index, of docker's schema 2, or of an artifact manifest`,
  );
}

/** What must be known about a pushed manifest. Its other content need not be kept. */
export interface Pushed {
  readonly kind: CarriedManifest['kind'];
  readonly entry: ManifestEntry;
  /** Its parts; its subject is not one of them. */
  readonly children: readonly Pick<Descriptor, 'mediaType' | 'digest' | 'size'>[];
}

/** Parses what was pushed. @throws Fault 400 */
export function parsePushed(bytes: Uint8Array, mediaType: string, digest: Digest): Pushed {
  try {
    const manifest = parseCarried({ descriptor: { mediaType, digest, size: bytes.byteLength }, bytes });
    const children = childrenOf(manifest);
    if (children.length > MAX_CHILDREN + (manifest.kind === 'manifest' ? 1 : 0))
      throw new Fault(400, 'MANIFEST_INVALID', `the manifest lists more than ${MAX_CHILDREN} things`);
    return {
      kind: manifest.kind,
      entry: entryOf(manifest, bytes, digest),
      children: children.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
    };
  } catch (error) {
    if (isBullaError(error, 'content-invalid')) throw new Fault(400, 'MANIFEST_INVALID', error.message);
    throw error;
  }
}

/**
 * Whether everything that a manifest refers to is in the repository. Its subject need not be, nor
 * layers that are fetched from elsewhere, nor entries of a fallback index: clients add to that list
 * without looking, and one deleted entry must not stop them.
 * @returns the fault to answer with, or undefined where nothing is missing
 */
export async function missingContent(
  store: Store,
  repository: StoredRepository | undefined,
  { kind, children }: Pushed,
  tags: readonly string[],
): Promise<Fault | undefined> {
  if (kind !== 'index') return missingBlob(store, repository, children);
  if (tags.some((tag) => FALLBACK_TAG.test(tag))) return undefined;
  const blobs: Pushed['children'][number][] = [];
  for (const child of children) {
    if (repository?.index.manifests.has(child.digest) === true) continue;
    if (isCarriedType(child.mediaType)) return missing(`manifest ${child.digest}`);
    blobs.push(child);
  }
  return missingBlob(store, repository, blobs);
}

async function missingBlob(
  store: Store,
  repository: StoredRepository | undefined,
  blobs: Pushed['children'],
): Promise<Fault | undefined> {
  const looked = new Set<string>();
  for (const blob of blobs) {
    const claim = `${blob.digest} ${blob.size}`;
    if (looked.has(claim) || ELSEWHERE.test(blob.mediaType)) continue;
    looked.add(claim);
    const size =
      repository === undefined ? undefined : await store.blobs.size(repository.layout, blob.digest);
    if (size === undefined) return missing(`blob ${blob.digest}`);
    if (size !== blob.size) {
      return new Fault(
        400,
        'SIZE_INVALID',
        `blob ${blob.digest} has ${size} bytes, and the manifest says ${blob.size}`,
      );
    }
  }
  return undefined;
}

function missing(what: string): Fault {
  return new Fault(
    400,
    'MANIFEST_BLOB_UNKNOWN',
    `the manifest refers to ${what}, which is not in this repository`,
  );
}
