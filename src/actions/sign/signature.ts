import type { Certificate } from '../../crypto/certificate.ts';
import { checkSigningChain, checkValidAt } from '../../crypto/certificate-profile.ts';
import { checkChainOrder } from '../../crypto/chain.ts';
import type { Signer } from '../../crypto/signer.ts';
import { formatTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { type ManifestContent, parseCarried } from '../../oci/manifest.ts';
import { platformEntries } from '../../oci/platform.ts';
import { pushBlobs } from '../../oci/push-blobs.ts';
import type { CallOptions, ManifestFetcher, Target } from '../../oci/target.ts';
import {
  type ArtifactKind,
  buildSignatureArtifact,
  type SignatureArtifact,
} from '../../signatures/artifact.ts';
import { RELEASE_PURPOSE, RESERVED_ANNOTATION_PREFIX } from '../../signatures/formats.ts';
import { buildNotationCose } from '../../signatures/notation-cose.ts';
import { askForEnvelope } from '../../signatures/notation-envelope.ts';
import { buildNotationJws } from '../../signatures/notation-jws.ts';
import { notationAlgorithms } from '../../signatures/notation-payload.ts';
import { buildBundle } from '../../signatures/sigstore-bundle.ts';
import type { StatementParts } from '../../signatures/statement.ts';
import type { WitnessedBundle } from '../../signatures/witnessed-bundle.ts';
import type { FulcioIdentity } from '../../sigstore/fulcio-identity.ts';
import type { Witness } from '../../sigstore/witness.ts';
import { fetchByTag, type ImageName } from '../verify/image.ts';
import { entryName, fetchEntries } from '../verify/missing-images.ts';
import type { ExistingSignatures, IntendedSignature } from './existing.ts';
import { inParallel } from './in-parallel.ts';

/** What a detached signature is to be like. */
export interface SignatureWish {
  /** Certificates of the key, leaf first, root last: a Notation signature. Those of the signer if left out. Without any: a Sigstore bundle. */
  readonly chain?: readonly Certificate[] | undefined;
  /** Envelope of a Notation signature, JWS if left out; `bundle`: a Sigstore bundle although the key has certificates. */
  readonly envelope?: 'jws' | 'cose' | 'bundle' | undefined;
  /** Signed along with the image. */
  readonly annotations?: ReadonlyMap<string, string> | undefined;
  readonly expiry?: Date | undefined;
  /** A predicate type, for a signature that means something other than "released". Bare keys only. */
  readonly purpose?: string | undefined;
  /** Of an index: sign each platform's image as well. */
  readonly recursive?: boolean | undefined;
  /** A Sigstore instance that sees the signature before it is stored: for keyless ones, and for those in a log. */
  readonly witness?: Witness | undefined;
  /** A time-stamp authority that countersigns a Notation signature before it is stored. */
  readonly stamp?: Stamp | undefined;
  /** Of an attestation: its predicate, a JSON object. */
  readonly predicate?: Uint8Array | undefined;
}

/** Asks a time-stamp authority about a signature. @returns its token, which has been verified */
export type Stamp = (signature: Uint8Array, options: CallOptions) => Promise<Uint8Array>;

export interface SignManifestOptions extends SignatureWish, CallOptions {
  readonly signer: Signer;
  readonly now: Date;
  /** Name and version of the program, for the signatures that say it. */
  readonly agent: string;
  /** How many platforms are signed at the same time; 8 if left out. */
  readonly concurrency?: number | undefined;
  /** Signatures that the images have: one that is equal is not made again. Left out, each is made. */
  readonly existing?: ExistingSignatures | undefined;
}

export interface SignImageOptions extends SignManifestOptions {
  /** The reference as the user wrote it, for messages. */
  readonly name: string;
}

/** A signature that was stored and is listed. */
export interface SignedImage {
  readonly image: Descriptor;
  /** Of an entry of the index: its platform. */
  readonly platform?: string;
  readonly kind: ArtifactKind;
  /** Digest of the signature's manifest. */
  readonly signature: Digest;
  /** Of a keyless signature: whom its certificate was issued to. */
  readonly identity?: FulcioIdentity;
  /** It was there before, and no other was made. */
  readonly already: boolean;
}

export interface SignResult {
  /** The image that the reference resolved to at the moment of signing. */
  readonly image: Descriptor;
  /** Of platforms first; the image itself last. */
  readonly signatures: readonly SignedImage[];
}

/**
 * Signs an image (spec/signatures.md, "Signing"). The tag is resolved once; what is signed is the
 * digest. Returns when the target lists every signature.
 * @throws BullaError usage, key-invalid, certificate-invalid, certificate-expired before anything is
 *   written; not-found, digest-mismatch; what the target throws
 */
export async function signImage(
  target: Target,
  reference: ImageName,
  options: SignImageOptions,
): Promise<SignResult> {
  checkSignature(options.signer, options, options.now);
  const content = await fetchToSign(target, reference, options);
  return await signManifest(target, content, await platformsToSign(target, content, options), options);
}

/**
 * The manifest that a reference resolves to now, in one request.
 * @param options `name` is the reference as the user wrote it
 * @throws BullaError not-found, digest-mismatch, usage without tag and digest; what the source throws
 */
export async function fetchToSign(
  source: ManifestFetcher,
  { tag, digest }: ImageName,
  { name, signal }: Pick<SignImageOptions, 'name' | 'signal'>,
): Promise<ManifestContent> {
  return tag === undefined && digest !== undefined
    ? await source.fetchManifest(digest, { signal })
    : await fetchByTag(source, tag, digest, name, { signal });
}

/**
 * Signs a manifest that was fetched. The lists of signatures of platforms are separate, so several are signed at the
 * same time; the index comes last, so that where its signature is, those of all platforms are.
 * @param platforms of {@link platformsToSign}
 * @throws BullaError as {@link signImage}
 */
export async function signManifest(
  target: Target,
  content: ManifestContent,
  platforms: readonly PlatformImage[],
  options: SignManifestOptions,
): Promise<SignResult> {
  checkSignature(options.signer, options, options.now);
  const { existing } = options;
  existing?.expect(content.descriptor.digest);
  for (const { descriptor } of platforms) existing?.expect(descriptor.digest);
  const signatures = await inParallel(platforms, options.concurrency ?? 8, ({ descriptor, platform }) =>
    signOne(target, descriptor, options, platform),
  );
  return {
    image: content.descriptor,
    signatures: [...signatures, await signOne(target, content.descriptor, options)],
  };
}

/**
 * Whether a key can make such a signature. Nothing is signed.
 * @throws BullaError usage, key-invalid, certificate-invalid, certificate-expired
 */
export function checkSignature(signer: Signer, wish: SignatureWish, now: Date): void {
  const { annotations = new Map(), expiry } = wish;
  for (const name of annotations.keys()) {
    if (name === '' || name.startsWith(RESERVED_ANNOTATION_PREFIX)) {
      throw new BullaError('usage', `the annotation ${JSON.stringify(name)} cannot be chosen`, {
        hint: `names that begin with ${RESERVED_ANNOTATION_PREFIX} have a meaning of their own`,
      });
    }
  }
  if (expiry !== undefined && expiry <= now) {
    throw new BullaError('usage', `the signature would have expired at ${formatTime(expiry)} already`, {
      hint: 'give a future time with --expires, such as 90d',
    });
  }
  const chain = chainOf(signer, wish);
  if (wish.stamp !== undefined && kindOf(chain, wish) === 'sigstore-bundle')
    throw new BullaError('usage', 'a time-stamp authority countersigns signatures with certificates', {
      hint: 'give a key with certificates; bundles get their time stamp with --tlog and a signing config',
    });
  if (chain.length === 0) checkBare(wish);
  else checkCertified(signer, chain, wish, now);
}

/** The certificates that go into the signature; none for a Sigstore bundle. */
function chainOf(
  signer: Signer,
  { chain, envelope, witness, predicate }: SignatureWish,
): readonly Certificate[] {
  if (envelope !== 'bundle' && witness === undefined && predicate === undefined)
    return chain ?? signer.certificates ?? [];
  if (chain === undefined || chain.length === 0) return [];
  throw new BullaError('usage', 'a Sigstore bundle by a key carries no certificates', {
    hint: 'leave out --cert-chain, or --signature-format bundle',
  });
}

function checkBare({ envelope, purpose }: SignatureWish): void {
  if (envelope !== undefined && envelope !== 'bundle') {
    throw new BullaError(
      'usage',
      `an envelope (${envelope}) can be chosen for signatures with certificates only`,
      {
        hint: 'give the certificates of the key with --cert-chain, or leave the format out',
      },
    );
  }
  if (purpose !== undefined && !/^[a-z][a-z0-9+.-]*:[!-~]{1,1024}$/i.test(purpose)) {
    throw new BullaError('usage', `${JSON.stringify(purpose)} is not a predicate type`, {
      hint: 'a predicate type is a URI, such as https://example.com/scan/v1',
    });
  }
}

/** Nothing is signed that notation would refuse. */
function checkCertified(
  signer: Signer,
  chain: readonly Certificate[],
  { purpose }: SignatureWish,
  now: Date,
): void {
  if (purpose !== undefined && purpose !== RELEASE_PURPOSE) {
    throw new BullaError('usage', 'a signature with a certificate has no purpose', {
      hint: 'Notation has none: sign with a bare key of its own, without --cert-chain',
    });
  }
  const where = 'the given certificate chain';
  checkChainOrder(chain, signer.publicKey, where);
  if (!notationAlgorithms(signer.publicKey).some(({ id }) => id === signer.algorithm.id)) {
    throw new BullaError(
      'key-invalid',
      `Notation does not sign with ${signer.algorithm.id} and this ${signer.publicKey.type} key`,
      {
        hint: 'use a P-256, P-384 or P-521 key, or RSA of 2048, 3072 or 4096 bits',
      },
    );
  }
  checkSigningChain(chain);
  checkValidAt(chain, now);
}

/** An image of an index that is to be signed on its own. */
export interface PlatformImage {
  readonly descriptor: Descriptor;
  readonly platform: string;
}

/**
 * Each platform's image, once, as it is in the target: with the size and type of its own bytes. None where platforms are
 * not to be signed.
 * @throws BullaError image-missing where the index names images that are not there
 */
export async function platformsToSign(
  target: Target,
  content: ManifestContent,
  options: SignManifestOptions,
): Promise<PlatformImage[]> {
  const manifest = parseCarried(content);
  if (options.recursive !== true || manifest.kind !== 'index') return [];
  const entries = [...new Map(platformEntries(manifest).map((entry) => [entry.digest, entry])).values()];
  const images = await fetchEntries(target, content.descriptor.digest, entries, signTheIndex, options);
  return entries.map((entry, at) => ({
    descriptor: (images[at] as ManifestContent).descriptor,
    platform: entryName(entry),
  }));
}

function signTheIndex(there: readonly string[]): string {
  const present = there.length === 0 ? '' : `only ${there.join(', ')} can be signed; `;
  return `${present}leave out --recursive to sign the index, which covers all that it names, or copy the missing images here first`;
}

async function signOne(
  target: Target,
  image: Descriptor,
  options: SignManifestOptions,
  platform?: string,
): Promise<SignedImage> {
  const of = platform === undefined ? { image } : { image, platform };
  const intended = intendedSignature(options);
  if (intended !== undefined) {
    const found = await options.existing?.find(image, intended, options.now);
    if (found !== undefined) return { ...of, kind: intended.kind, signature: found, already: true };
  }
  target.expectReferrerOf?.(image.digest);
  const { artifact, ...made } = await makeSignature(image, options);
  await pushBlobs(target, artifact.blobs, { signal: options.signal });
  // The port's promise: on return the manifest is listed among the image's referrers.
  await target.pushManifest(artifact.manifest, { signal: options.signal });
  return { ...of, ...made, signature: artifact.manifest.descriptor.digest, already: false };
}

/** What {@link makeSignature} would make; undefined where no two are equal: attestations, and what a log has seen. */
function intendedSignature(options: SignManifestOptions): IntendedSignature | undefined {
  const { signer, annotations = new Map(), expiry, purpose = RELEASE_PURPOSE, witness, predicate } = options;
  if (witness !== undefined || predicate !== undefined) return undefined;
  const chain = chainOf(signer, options);
  const isStamped = options.stamp !== undefined;
  return {
    kind: kindOf(chain, options),
    key: signer.publicKey,
    chain,
    purpose,
    annotations,
    expiry,
    isStamped,
  };
}

function kindOf(chain: readonly Certificate[], { envelope }: SignatureWish): ArtifactKind {
  if (chain.length === 0) return 'sigstore-bundle';
  return envelope === 'cose' ? 'notation-cose' : 'notation-jws';
}

interface MadeSignature extends Pick<SignedImage, 'kind' | 'identity'> {
  readonly artifact: SignatureArtifact;
}

/** Makes the signature of an image, without storing it. */
export async function makeSignature(image: Descriptor, options: SignManifestOptions): Promise<MadeSignature> {
  const { signer, annotations = new Map(), expiry, now, agent } = options;
  const chain = chainOf(signer, options);
  const kind = kindOf(chain, options);
  if (kind === 'sigstore-bundle') {
    const purpose = options.purpose ?? RELEASE_PURPOSE;
    const statement = { digest: image.digest, annotations, purpose, expiry, predicate: options.predicate };
    const { bytes: envelope, identity } = await bundleOf(statement, signer, options);
    const details = { image, created: now, purpose };
    const artifact = buildSignatureArtifact(kind, envelope, details);
    return { kind, artifact, ...(identity !== undefined && { identity }) };
  }
  const build = kind === 'notation-cose' ? buildNotationCose : buildNotationJws;
  const { stamp, signal } = options;
  const stamping = stamp && ((signature: Uint8Array) => stamp(signature, { signal }));
  const parts = { image, annotations, signingTime: now, expiry, agent };
  const whole = await askForEnvelope(parts, signer, chain, kind, { signal });
  if (whole !== undefined && stamp !== undefined)
    throw new BullaError('usage', 'a plug-in that makes whole envelopes cannot have them time-stamped', {
      hint: 'leave out --timestamp-url, or use a key that signs what it is given',
    });
  const envelope = whole ?? (await build(parts, signer, chain, stamping));
  return { kind, artifact: buildSignatureArtifact(kind, envelope, { image, created: now, chain }) };
}

async function bundleOf(
  statement: StatementParts,
  signer: Signer,
  { witness, signal }: SignManifestOptions,
): Promise<WitnessedBundle> {
  if (witness === undefined) return { bytes: await buildBundle(statement, signer) };
  const { buildWitnessedBundle } = await import('../../signatures/witnessed-bundle.ts');
  return await buildWitnessedBundle(statement, signer, witness, { signal });
}
