import { subjectOf } from '../../crypto/certificate.ts';
import { formatTime } from '../../encoding/time.ts';
import { BullaError, type ErrorCode, isBullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { parseManifest } from '../../oci/manifest.ts';
import type { CallOptions, Source, Target } from '../../oci/target.ts';
import { keylessIdentity } from '../../policy/signers.ts';
import type { Claims, Envelope, SignatureKind } from '../../signatures/envelope.ts';
import { mapConcurrently } from '../copy/concurrency.ts';
import { meteredSource } from '../copy/metered-source.ts';
import { fetchByTag, type ImageName } from '../verify/image.ts';
import {
  LargeEnvelopes,
  type OpenedSignature,
  openLegacySignatures,
  openSignature,
} from '../verify/signature-reading.ts';
import { fetchLegacyManifest, isCandidate } from '../verify/signature-search.ts';

/** Most signatures that are listed with what they say. */
export const MAX_LISTED = 1000;
/** Most bytes that are read of them; the others are listed by their digests. */
export const MAX_LISTED_BYTES: number = 64 * 1024 * 1024;
const BATCH = 8;

/** A signature and what it says. Nothing of it was verified. */
export interface ListedSignature {
  /** Digest of its manifest. */
  readonly signature: Digest;
  readonly kind: SignatureKind | null;
  /** Who it says it is by: a certificate's subject, or the hint of a key. */
  readonly signer: string | null;
  /** SHA-256 of each certificate, leaf first. */
  readonly certificates: readonly string[];
  readonly purpose: string | null;
  readonly annotations: Readonly<Record<string, string>>;
  readonly signingTime: string | null;
  readonly expires: string | null;
  /** What is wrong with it, where it could not be read. */
  readonly problem: { readonly code: ErrorCode; readonly message: string } | null;
}

export interface SignatureList {
  readonly image: Descriptor;
  readonly signatures: readonly ListedSignature[];
}

/**
 * Lists an image's detached signatures of every kind, wherever they are kept, with what they say; the
 * signers of `inspect`. The result is unverified: use verify to decide.
 * @throws BullaError not-found; what keeps the list from being complete
 */
export async function listSignatures(
  source: Source,
  reference: ImageName,
  options: CallOptions & { readonly name: string } & PartOptions,
): Promise<SignatureList> {
  const { signal, name, part } = options;
  const image = await resolveImage(source, reference, name, { signal });
  return { image, signatures: await signaturesOf(source, image.digest, { signal, part }) };
}

export interface PartOptions {
  /** Be content with the beginning of a list that is too long. */
  readonly part?: boolean | undefined;
}

/** As {@link listSignatures}, for an image whose digest is known. */
export async function signaturesOf(
  source: Source,
  image: Digest,
  options: CallOptions & PartOptions,
): Promise<ListedSignature[]> {
  const signatures: ListedSignature[] = [];
  for await (const opened of eachSignature(source, image, options)) signatures.push(show(opened, image));
  return signatures;
}

/**
 * An image's detached signatures of every kind, wherever they are kept, each taken apart; nothing of them was verified.
 * @throws BullaError what keeps the list from being complete
 */
export async function* eachSignature(
  source: Source,
  image: Digest,
  { part = false, ...options }: CallOptions & PartOptions,
): AsyncGenerator<OpenedSignature> {
  const onCut = part ? () => undefined : undefined;
  const [listed, ...tagged] = await Promise.all([
    source.listReferrers(image, { ...options, fallbackToo: true, keep: isCandidate, onCut }),
    fetchLegacyManifest(source, image, options),
    fetchLegacyManifest(source, image, options, 'att'),
  ]);
  const found = listed.filter(isCandidate);
  const candidates = part ? found.slice(0, MAX_LISTED) : found;
  if (candidates.length > MAX_LISTED) {
    throw new BullaError(
      'content-invalid',
      `${source.name} lists ${candidates.length} signatures of ${image}`,
      {
        hint: `no more than ${MAX_LISTED} are shown; have an account with write permission remove some of them`,
      },
    );
  }
  const meter = meteredSource(source);
  const opening = { ...options, large: new LargeEnvelopes(() => meter.bytes >= MAX_LISTED_BYTES) };
  const opens = [
    ...candidates.map(({ digest }) => ({
      digest,
      open: () => openSignature(meter.source, digest, image, opening),
    })),
    ...tagged.flatMap((legacy) =>
      (legacy === undefined ? [] : openLegacySignatures(meter.source, legacy, opening)).map((open) => ({
        digest: legacy?.descriptor.digest as Digest,
        open: async () => [await open()],
      })),
    ),
  ];
  for (let at = 0; at < opens.length; at += BATCH) {
    const batch = opens.slice(at, at + BATCH);
    if (meter.bytes >= MAX_LISTED_BYTES) yield* batch.map(({ digest }) => unread(digest));
    else yield* (await Promise.all(batch.map(({ open }) => open()))).flat();
  }
}

/** One that comes after as many bytes as are read: it can be seen, and removed. */
function unread(manifest: Digest): OpenedSignature {
  const message = `not read: what is listed before it has ${MAX_LISTED_BYTES} bytes`;
  const hint = 'remove what is not needed: bulla signature rm';
  return { manifest, problem: new BullaError('content-invalid', message, { hint }) };
}

/** Descriptor of the image that a reference names. */
export async function resolveImage(
  source: Source,
  { tag, digest }: ImageName,
  name: string,
  options: CallOptions,
): Promise<Descriptor> {
  if (tag === undefined && digest !== undefined)
    return (await source.fetchManifest(digest, options)).descriptor;
  return (await fetchByTag(source, tag, digest, name, options)).descriptor;
}

/** Who it says it is by. Fulcio's certificates have no subject: the identity stands in extensions. */
export function signerOf(envelope: Envelope): string | null {
  const [leaf] = envelope.certificates;
  if (leaf === undefined) return envelope.keyHint ?? null;
  const identity = keylessIdentity(envelope);
  return identity === undefined ? subjectOf(leaf) : `${identity.subject} (${identity.issuer})`;
}

function show(opened: OpenedSignature, image: Digest): ListedSignature {
  const claims = opened.envelope === undefined ? opened.problem : claimsOf(opened.envelope);
  if (claims instanceof BullaError) {
    const { code, message } = claims;
    const kind = opened.envelope?.kind ?? null;
    return { ...NOTHING, signature: opened.manifest, kind, problem: { code, message } };
  }
  const envelope = opened.envelope as NonNullable<OpenedSignature['envelope']>;
  const { kind, certificates } = envelope;
  const target = claims.targets.find(({ digest }) => digest === image);
  return {
    signature: opened.manifest,
    kind,
    signer: signerOf(envelope),
    certificates: certificates.map(({ thumbprint }) => thumbprint),
    purpose: claims.purpose,
    annotations: Object.fromEntries(target?.annotations ?? []),
    signingTime: claims.signingTime === undefined ? null : formatTime(claims.signingTime),
    expires: claims.expiry === undefined ? null : formatTime(claims.expiry),
    problem:
      target === undefined
        ? { code: 'digest-mismatch', message: `it signs ${claims.targets[0]?.digest ?? 'nothing known'}` }
        : null,
  };
}

const NOTHING = {
  signer: null,
  certificates: [],
  purpose: null,
  annotations: {},
  signingTime: null,
  expires: null,
} as const;

function claimsOf(envelope: NonNullable<OpenedSignature['envelope']>): Claims | BullaError {
  try {
    return envelope.claims();
  } catch (error) {
    if (isBullaError(error)) return error;
    throw error;
  }
}

/**
 * Removes signatures from an image, with their entries in the fallback index. What is not a signature
 * of this image is left alone.
 * @param chosen digests of signature manifests; undefined for all
 * @returns the digests that were removed
 * @throws BullaError not-found where a chosen one is not a signature of the image; what the target throws
 */
export async function removeSignatures(
  target: Target,
  reference: ImageName,
  chosen: readonly Digest[] | undefined,
  options: CallOptions & { readonly name: string },
): Promise<readonly Digest[]> {
  // Of a flooded list, the beginning can be removed, and then what comes next.
  const { image, signatures } = await listSignatures(target, reference, { ...options, part: true });
  const listed = [...new Set(signatures.map(({ signature }) => signature))];
  const own = await mapConcurrently(listed, BATCH, (digest) => isOwn(target, digest, image.digest, options));
  const known = listed.filter((_, index) => own[index]);
  const stranger = chosen?.find((digest) => !known.includes(digest));
  if (stranger !== undefined) {
    throw new BullaError('not-found', `${stranger} is not a signature of ${options.name}`, {
      hint: '`bulla signature ls` shows the signatures of the image',
    });
  }
  const removed = [...new Set(chosen ?? known)];
  // One after the other: each removal rewrites the same fallback index.
  for (const digest of removed) await target.deleteManifest(digest, { signal: options.signal });
  return removed;
}

/**
 * Whether a listed signature belongs to the image. A list may name anything, and what it names is about
 * to be deleted: the manifest itself must say so, or stand at cosign's tag.
 */
async function isOwn(target: Target, digest: Digest, image: Digest, options: CallOptions): Promise<boolean> {
  try {
    const content = await target.fetchManifest(digest, { signal: options.signal });
    if (parseManifest(content).subject?.digest === image) return true;
    const tagged = [
      await fetchLegacyManifest(target, image, options),
      await fetchLegacyManifest(target, image, options, 'att'),
    ];
    return tagged.some((legacy) => legacy?.descriptor.digest === digest);
  } catch (error) {
    if (isBullaError(error, 'not-found', 'content-invalid')) return false;
    throw error;
  }
}
