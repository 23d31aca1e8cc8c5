/** Values and ports of the OCI specifications, and the places that content can be in: `bulla/oci`. */
export { BullaError, type ErrorCode, EXIT_CODES, isBullaError } from '../errors.ts';
export { type OpenLayoutOptions, openLayout } from '../layout/open.ts';
export { streamOf, verifiedStream } from '../oci/content.ts';
export {
  type Annotations,
  checkContent,
  type Descriptor,
  describe,
  EMPTY_BYTES,
  EMPTY_DESCRIPTOR,
  inlineContent,
  type Platform,
} from '../oci/descriptor.ts';
export { type Digest, type DigestAlgorithm, digestOf, isDigest, parseDigest } from '../oci/digest.ts';
export {
  type ArtifactManifest,
  type ArtifactParts,
  buildArtifact,
  buildIndex,
  type CarriedManifest,
  childrenOf,
  type ImageManifest,
  type IndexManifest,
  MAX_MANIFEST_BYTES,
  type Manifest,
  type ManifestContent,
  mediaTypeOfManifest,
  parseManifest,
} from '../oci/manifest.ts';
export { isIndexType, isManifestType, MANIFEST_TYPES, MEDIA_TYPES } from '../oci/media-types.ts';
export { MemoryStore } from '../oci/memory.ts';
export { formatPlatform, type PlatformSelector, parsePlatform } from '../oci/platform.ts';
export {
  cosignTags,
  fallbackTag,
  formatReference,
  formatRepository,
  isTag,
  type LayoutReference,
  parseReference,
  parseTag,
  type Reference,
  type RegistryReference,
  type Tag,
  withDigest,
} from '../oci/reference.ts';
export type {
  BlobFetcher,
  BlobOutcome,
  BlobPusher,
  CallOptions,
  Deleter,
  ManifestFetcher,
  ManifestPusher,
  PushBlobOptions,
  PushManifestOptions,
  ReferrersLister,
  ReferrersOptions,
  Resolver,
  Source,
  TagLister,
  Target,
} from '../oci/target.ts';
export {
  openRepository,
  RegistryClient,
  type RegistryClientOptions,
  type RepositoryOptions,
} from '../registry/client.ts';
export { type Credentials, type CredentialsProvider, fixedCredentials } from '../registry/credentials.ts';
export { type CredentialFilesOptions, storedCredentials } from '../registry/stored-credentials.ts';
