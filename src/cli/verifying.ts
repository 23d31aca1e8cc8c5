import { type VerifiedImage, verifyImage } from '../actions/verify.ts';
import type { VerifiedName } from '../actions/verify-name.ts';
import { isBullaError } from '../errors.ts';
import { isDigest } from '../oci/digest.ts';
import { parsePlatform } from '../oci/platform.ts';
import { formatRepository } from '../oci/reference.ts';
import type { Requirements } from '../policy/requirements.ts';
import { describeEvidence, summarizeEvidence, summarizeRefusal } from '../policy/summary.ts';
import type { BegunName } from './begun-name.ts';
import type { Context, Image } from './context.ts';
import type { NameFlags } from './name-flags.ts';
import type { PlatformFlags } from './platform-flags.ts';
import { asksForSignatures, requirementsOf, type TrustFlags } from './trust.ts';

/**
 * Verifies the image that a command line names, and tells people who signed it.
 * @param text the reference as it was written
 * @throws BullaError as verifyImage
 */
export async function verifyNamed(
  context: Context,
  text: string,
  { source, reference, version }: Image,
  required: Requirements,
  flags: PlatformFlags,
): Promise<VerifiedImage> {
  const { tag } = reference;
  const digest = isDigest(version) ? version : undefined;
  const { eachPlatform } = flags;
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  const options = { name: text, required, signal: context.signal, platform, eachPlatform };
  const verified = await verifyImage(source, { tag, digest }, options);
  tellSignatures(context, verified);
  if (tag !== undefined && digest === undefined) {
    const name = `${formatRepository(reference)}@${verified.image.digest}`;
    context.output.info(`the tag ${tag} itself is signed by nobody: use ${name}`);
  }
  return verified;
}

function tellSignatures(
  { output }: Context,
  { evidence, refusals }: Pick<VerifiedImage, 'evidence' | 'refusals'>,
): void {
  for (const found of evidence) output.info(`signed by ${describeEvidence(found)}`);
  for (const { message } of refusals) output.verbose(`not counted: ${message}`);
}

/** An image that may be run: by its signed name, by its detached signatures, or by both. */
export interface VerifiedReference extends Pick<VerifiedName, 'image' | 'signed' | 'evidence' | 'refusals'> {
  /** For `-o json`: who says what the name stands for; null where no name was looked up. */
  readonly name: Readonly<Record<string, unknown>> | null;
}

/**
 * Verifies what a command line names: its tag in the trust collection, where that is pinned, was seen or
 * is asked for, and then detached signatures only if they are asked for too; else detached signatures.
 * @param begun from {@link beginName}
 * @throws BullaError trust-unpinned where nothing says whom to believe; as verifyName and verifyImage
 */
export async function verifyReference(
  context: Context,
  text: string,
  image: Image,
  flags: TrustFlags & PlatformFlags & NameFlags,
  begun: BegunName | undefined,
): Promise<VerifiedReference> {
  const { tag, digest } = image.reference;
  if (begun?.tag === undefined || tag === undefined) {
    const required = await requirementsOf(context, flags).catch((error: unknown) => refusal(error, begun));
    return { ...(await verifyNamed(context, text, image, required, flags)), name: null };
  }
  const required = asksForSignatures(flags) ? await requirementsOf(context, flags) : undefined;
  const { nameJson, verifyTag } = await import('./verifying-name.ts');
  const named = { text, source: image.source, tag, digest };
  const verified = await verifyTag(context, named, flags, begun, required);
  tellSignatures(context, verified);
  const { image: found, signed, evidence, refusals } = verified;
  return { image: found, signed, evidence, refusals, name: nameJson(verified) };
}

/** Where nothing says whom to believe, a collection that is there tells whom one could pin. */
async function refusal(error: unknown, begun: BegunName | undefined): Promise<never> {
  if (begun === undefined || !isBullaError(error, 'trust-unpinned')) throw error;
  const [{ readCollection }, { source, read }] = await Promise.all([
    import('../trust/collection.ts'),
    begun.open(),
  ]);
  await readCollection(source, read).catch((unpinned: unknown) => {
    if (isBullaError(unpinned, 'trust-unpinned')) throw unpinned;
  });
  throw error;
}

/**
 * What `bulla verify` does with an image.
 * @throws BullaError those of verifyReference
 */
export async function printVerified(
  context: Context,
  text: string,
  named: Image,
  flags: TrustFlags & PlatformFlags & NameFlags,
  begun: BegunName | undefined,
): Promise<void> {
  const verified = await verifyReference(context, text, named, flags, begun);
  const { image, signed, evidence, refusals } = verified;
  const name = `${formatRepository(named.reference)}@${image.digest}`;
  context.output.result(name, {
    reference: name,
    digest: image.digest,
    mediaType: image.mediaType ?? null,
    size: image.size,
    tag: named.reference.tag ?? null,
    signed,
    name: verified.name,
    signatures: evidence.map(summarizeEvidence),
    notCounted: refusals.map(summarizeRefusal),
  });
}
