/** Media types by the names that the specifications give them. */
export const MEDIA_TYPES = {
  /** image-spec v1.1 */
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  empty: 'application/vnd.oci.empty.v1+json',
  octetStream: 'application/octet-stream',
  /** Docker image manifest version 2, schema 2 */
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const;

const INDEX_TYPES: ReadonlySet<string> = new Set([MEDIA_TYPES.ociIndex, MEDIA_TYPES.dockerManifestList]);

/** Every type of manifest that is understood. */
export const MANIFEST_TYPES: readonly string[] = [
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.dockerManifest,
  MEDIA_TYPES.dockerManifestList,
];

/**
 * Types of manifests that registries took before OCI 1.1 settled on the image manifest: what ORAS and Notation wrote
 * then still lies beside images. They are carried from place to place, and not read for anything else.
 */
const ARTIFACT_TYPES: readonly string[] = [
  'application/vnd.oci.artifact.manifest.v1+json',
  'application/vnd.cncf.oras.artifact.manifest.v1+json',
];

/** Every type of manifest that is carried; the Accept header of each request for one. */
export const CARRIED_TYPES: readonly string[] = [...MANIFEST_TYPES, ...ARTIFACT_TYPES];

/** Whether a media type is an index or a manifest list: a manifest whose children are manifests. */
export function isIndexType(mediaType: string): boolean {
  return INDEX_TYPES.has(mediaType);
}

/** Whether a media type is a manifest of any kind that is understood. */
export function isManifestType(mediaType: string): boolean {
  return MANIFEST_TYPES.includes(mediaType);
}

/** Whether a media type is an artifact manifest from before OCI 1.1, which is carried and not understood. */
export function isArtifactType(mediaType: string): boolean {
  return ARTIFACT_TYPES.includes(mediaType);
}

/** Whether a media type is a manifest of any kind that can be carried. */
export function isCarriedType(mediaType: string): boolean {
  return CARRIED_TYPES.includes(mediaType);
}

const FOREIGN =
  /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.v1\.tar(?:\+[a-z]+)?|docker\.image\.rootfs\.foreign\.diff\.tar(?:\.gzip)?)$/;

/**
 * Whether a media type is a layer that may not be distributed and lies elsewhere (its `urls`): it is
 * neither copied nor missed, as oras and crane do it.
 */
export function isForeignLayerType(mediaType: string): boolean {
  return FOREIGN.test(mediaType);
}
