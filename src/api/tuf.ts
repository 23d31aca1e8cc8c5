/** The TUF engine as a library: `bulla/tuf`. */
export { BullaError, type ErrorCode, isBullaError } from '../errors.ts';
export { HttpPool, type HttpPoolOptions } from '../http/pool.ts';
export { DirectoryMirror } from '../mirror/directory.ts';
export { HttpMirror, type HttpMirrorOptions } from '../mirror/http.ts';
export { saveTarget } from '../mirror/save-target.ts';
export { type NotaryKey, parseNotaryKey } from '../notary/keys.ts';
export { TrustedDirectory } from '../state/trusted-directory.ts';
export { type RefreshOptions, refresh, TufClient } from '../tuf/client.ts';
export { contentPath, isContentOf, verifiedContent } from '../tuf/content.ts';
export type { RoleKeys } from '../tuf/delegation-keys.ts';
export {
  type DelegatedRole,
  type Delegations,
  delegationOf,
  delegationsFor,
  type SuccinctRoles,
} from '../tuf/delegations.ts';
export {
  holderOf,
  removeTargetFrom,
  setTargetIn,
  spreadOverBins,
  spreadOverHashBins,
} from '../tuf/edit/bins.ts';
export { type EditOptions, RepositoryEdit } from '../tuf/edit/edit.ts';
export type { KeyChoice } from '../tuf/edit/key-list.ts';
export {
  collisionFreeVersions,
  consecutiveVersions,
  DEFAULT_POLICY,
  defaultLifetime,
  type EditPolicy,
  formatVersion,
  type LifetimePolicy,
  type VersionPolicy,
} from '../tuf/edit/policy.ts';
export type { PreparedEdit } from '../tuf/edit/prepared-edit.ts';
export {
  EMPTY_REPOSITORY,
  type RepositoryFiles,
  readRepositoryFiles,
  writeRepositoryFiles,
} from '../tuf/edit/repository.ts';
export type { RootContent } from '../tuf/edit/root-content.ts';
export {
  type MissingSignatures,
  PendingFile,
  type SignatureDemand,
  type TufSigner,
  tufSigner,
} from '../tuf/edit/signing.ts';
export type { NewDelegation, NewTarget, PathTrust, TargetsContent } from '../tuf/edit/targets-content.ts';
export type { FileMeta, Hashes } from '../tuf/file-meta.ts';
export { type BinLayout, binCount, binFor, binNames, isBin } from '../tuf/hash-bins.ts';
export { keyIdWarnings } from '../tuf/key-warnings.ts';
export { type KeyVerifier, keyIdOf, TufKey, tufKeyOf } from '../tuf/keys.ts';
export { DEFAULT_LIMITS, type TufLimits } from '../tuf/limits.ts';
export { MemoryFetcher, MemoryStateStore } from '../tuf/memory.ts';
export {
  composeMetadataFile,
  type MetadataFile,
  parseMetadataFile,
  signedMessage,
  type TufSignature,
} from '../tuf/metadata-file.ts';
export { matchesPathPattern } from '../tuf/path-pattern.ts';
export type { MetadataFetcher, StateChange, TargetFetcher, TrustedStateStore } from '../tuf/ports.ts';
export {
  decodeRoleName,
  encodeRoleName,
  metadataFileName,
  type TopLevelRole,
  targetFilePath,
} from '../tuf/role-name.ts';
export { parseRoot, type Root, topLevelKeys } from '../tuf/root.ts';
export type { FoundTarget, SearchOptions } from '../tuf/search.ts';
export { type Signed, SPEC_VERSION } from '../tuf/signed.ts';
export { parseSnapshot, parseTimestamp, type Snapshot, type Timestamp } from '../tuf/snapshot.ts';
export { parseTargets, type TargetFile, type Targets } from '../tuf/targets.ts';
export {
  assertThreshold,
  type CountOptions,
  countSignatures,
  type SignatureCount,
} from '../tuf/threshold.ts';
export {
  type CachedUse,
  type Delegator,
  type MetadataRequest,
  type Trusted,
  TrustedMetadata,
  type TrustedMetadataOptions,
} from '../tuf/trusted-metadata.ts';
