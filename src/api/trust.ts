/** Reading trust collections as a library: `bulla/trust`. */
export type { Drift, DriftRule, RunnableImage } from '../actions/verify/drift.ts';
export {
  type NameTrust,
  type VerifiedName,
  type VerifyNameOptions,
  verifyName,
} from '../actions/verify/name.ts';
export { BullaError, type ErrorCode, isBullaError } from '../errors.ts';
export { BlobDirectory } from '../state/blob-directory.ts';
export { PinFile, readPins } from '../state/pins.ts';
export { TrustDirectory } from '../state/trust-directory.ts';
export { type CollectionId, collectionIdOf, parseCollectionId } from '../trust/format/binding.ts';
export { anchorFor, type TrustStart } from '../trust/read/bootstrap.ts';
export {
  type Anchor,
  type Anchored,
  type Collection,
  type ReadOptions,
  readCollection,
} from '../trust/read/collection.ts';
export { type Freshness, freshnessOf } from '../trust/read/freshness.ts';
export {
  type BlobCache,
  type CollectionMemory,
  type KnownHead,
  ProcessMemory,
  type TrustMemory,
} from '../trust/read/memory.ts';
export { findName, type NameQuestion, type SignedName } from '../trust/read/names.ts';
export { checkPin, collectionUnder, findPin, type Pin, type PinnedTrust } from '../trust/read/pin.ts';
export type { RootFiles } from '../trust/read/root-chain.ts';
