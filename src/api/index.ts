/**
 * Sign, verify and copy images from a program: what the command does, from a textual reference, with typed results.
 *
 * ```ts
 * import { sign, verify } from 'bulla';
 *
 * await sign('registry.example.com/team/app:v1', { key: 'release' });
 * const { runnable } = await verify('registry.example.com/team/app:v1');
 * ```
 *
 * {@link Config} says what a function works with; left out, it works as the command does for the user of the process.
 * Below the functions that do what a command does stand their parts, which take repositories instead of references.
 */

export type { InitResult, KeyedRole, MadeCollection } from '../actions/change/init.ts';
export type { Revoked, RevokedName } from '../actions/change/revoke.ts';
export type { CopiedCollection } from '../actions/copy/collection.ts';
export {
  type CopyCount,
  type CopyOptions as CopyContentOptions,
  type CopyResult,
  copy as copyContent,
} from '../actions/copy/copy.ts';
export type { CopiedImage } from '../actions/copy/image.ts';
export type { Outcome as OutcomeOfMany } from '../actions/copy/many.ts';
export type { CopyEvent, OnCopyEvent } from '../actions/copy/progress.ts';
export type { CopiedRepository, PrunedTag, RepositoryTag } from '../actions/copy/repository.ts';
export type { RepositoryCounts } from '../actions/copy/repository-outcome.ts';
export { type ImageConfig, type Inspection, inspectManifest } from '../actions/inspect/manifest.ts';
export { listSignatures, removeSignatures } from '../actions/inspect/signatures.ts';
export { readTree, type TreeManifest, type TreeNode, type TreeOptions } from '../actions/inspect/tree.ts';
export type { Alarm, AlarmKind, AlarmPolicy } from '../actions/renew/alarms.ts';
export type { PassReport, PassResult } from '../actions/renew/pass.ts';
export type { Failure, Outcome, RenewedCollection, Work } from '../actions/renew/report.ts';
export type {
  Attention,
  ReadCollection,
  Report,
  ReportedChange,
  ReportedCollection,
  ReportedKey,
  ReportedName,
  ReportedRole,
  ReportedRoot,
  ReportedStage,
  ReportState,
  UnreadCollection,
} from '../actions/report/report.ts';
export type { MissingProof, Signed, SignedNames, Subject } from '../actions/sign/sign.ts';
export {
  type SignedImage,
  type SignImageOptions,
  type SignResult,
  signImage,
} from '../actions/sign/signature.ts';
export type { SyncDocument, SyncEntryDocument } from '../actions/sync/schema.ts';
export type { SyncedRepository, SyncFailure, SyncReport } from '../actions/sync/sync.ts';
export type { PolicyAnswer } from '../actions/verify/by-policy.ts';
export type { Drift, DriftRule, RunnableImage } from '../actions/verify/drift.ts';
export {
  type ImageName,
  type VerifiedImage,
  type VerifyOptions as VerifyImageOptions,
  verifyImage,
} from '../actions/verify/image.ts';
export type { NameEvidence, Verified } from '../actions/verify/verify.ts';
export { type Algorithm, type AlgorithmId, algorithm, type KeyType } from '../crypto/algorithm.ts';
export { type Certificate, parseCertificates } from '../crypto/certificate.ts';
export { parseIdentity, type TrustedIdentity } from '../crypto/identity.ts';
export type { MlDsaType } from '../crypto/ml-dsa-keys.ts';
export { type PublicKey, parsePublicKeyPem, publicKeyPem } from '../crypto/public-key.ts';
export {
  createSigner,
  type EnvelopeRequest,
  type OpeningOptions,
  type Signer,
  type SigningOptions,
} from '../crypto/signer.ts';
export { HttpPool, type HttpPoolOptions } from '../http/pool.ts';
export type {
  KeyBackEnd,
  KeyHandle,
  KeySources,
  PassphraseRequest,
  PassphraseSource,
  SignMessages,
} from '../keystore/back-end.ts';
export type { KeySigner } from '../keystore/key-of.ts';
export { Keystore } from '../keystore/store.ts';
export type { NotaryPin } from '../notary/pin.ts';
export type { AcceptedEvidence } from '../policy/decision.ts';
export type {
  NameRule,
  NotaryRule,
  Policy,
  PolicyMode,
  PolicyRule,
  PolicyVerdict,
  SignatureRule,
} from '../policy/file/policy.ts';
export type { KeylessDocument } from '../policy/file/schema.ts';
export { type Requirements, requirements } from '../policy/requirements.ts';
export type { Evidence, Refusal } from '../signatures/evidence.ts';
export type { Directories } from '../state/directories.ts';
export type { CollectionFiles } from '../trust/change/create.ts';
export type { NamedContent } from '../trust/format/log.ts';
export type { Published } from '../trust/publish/publish-options.ts';
export type { SignerState } from '../trust/publish/signer-state.ts';
export type { Collection } from '../trust/read/collection.ts';
export { type BlobCache, ProcessBlobCache, ProcessMemory, type TrustMemory } from '../trust/read/memory.ts';
export type { Pin, PinnedTrust } from '../trust/read/pin.ts';
export type { CollectionStatus, RoleStatus, StatusFinding } from '../trust/report/status.ts';
export { type Attested, type AttestOptions, attest } from './attest.ts';
export { type InitOptions, init, type RevokeOptions, revoke } from './change.ts';
export type { Config } from './config.ts';
export {
  type Copied,
  type CopyAsOptions,
  type CopyOptions,
  copy,
  type Pulled,
  type PullOptions,
  type Pushed,
  type PushOptions,
  pull,
  push,
} from './copy.ts';
export {
  type CopiedAll,
  type CopyAllOptions,
  copyAll,
  type SyncOptions,
  sync,
} from './copy-all.ts';
export { beginExperiment, type Experiment } from './experiments.ts';
export { type KeyOptions, keyOf } from './keys.ts';
export * from './oci.ts';
export {
  explainPolicy,
  type PolicyExpectation,
  type PolicyExplanation,
  type PolicyTestResult,
  readPolicy,
  testPolicy,
  type VerifyByPolicyOptions,
  type VerifyManyByPolicyOptions,
  verifyByPolicy,
  verifyManyByPolicy,
} from './policy.ts';
export type { LoadedPolicy } from './policy-files.ts';
export type { ChangeOptions, CollectionOptions, PublishingOptions } from './publishing.ts';
export { type ResignOptions, resign, type Status, type StatusOptions, status } from './renew.ts';
export { type ReportOptions, report, reportPages, writeReport } from './report.ts';
export { type SignedImages, type SignOptions, sign } from './sign.ts';
export type { SigstoreInstance, SigstoreSigning } from './sigstore.ts';
export { type VerifyManyOptions, type VerifyOptions, verify, verifyMany } from './verify.ts';
