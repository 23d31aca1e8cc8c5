/**
 * Sign, verify and copy images from a program: what the command does, without its flags and its output.
 *
 * ```ts
 * import { copy, openRepository, parseReference, requirements, verifyImage } from 'bulla';
 * ```
 */
export { type CopyCount, type CopyOptions, type CopyResult, copy } from '../actions/copy/copy.ts';
export type { CopyEvent, OnCopyEvent } from '../actions/copy/progress.ts';
export { type ImageConfig, type Inspection, inspectManifest } from '../actions/inspect/manifest.ts';
export { listSignatures, removeSignatures } from '../actions/inspect/signatures.ts';
export { readTree, type TreeManifest, type TreeNode, type TreeOptions } from '../actions/inspect/tree.ts';
export { type SignedImage, type SignOptions, type SignResult, signImage } from '../actions/sign/signature.ts';
export {
  type ImageName,
  type VerifiedImage,
  type VerifyOptions,
  verifyImage,
} from '../actions/verify/image.ts';
export { type Algorithm, type AlgorithmId, algorithm, type KeyType } from '../crypto/algorithm.ts';
export { type Certificate, parseCertificates } from '../crypto/certificate.ts';
export { parseIdentity, type TrustedIdentity } from '../crypto/identity.ts';
export { type PublicKey, parsePublicKeyPem, publicKeyPem } from '../crypto/public-key.ts';
export { createSigner, type Signer } from '../crypto/signer.ts';
export type {
  KeyBackEnd,
  KeyHandle,
  KeySources,
  PassphraseRequest,
  PassphraseSource,
  SignMessages,
} from '../keystore/back-end.ts';
export { type KeySigner, keyOf, openKey } from '../keystore/key-of.ts';
export { Keystore } from '../keystore/store.ts';
export { type Requirements, requirements } from '../policy/requirements.ts';
export type { Evidence, Refusal } from '../signatures/evidence.ts';
export * from './oci.ts';
