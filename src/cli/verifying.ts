import { type VerifiedImage, verifyImage } from '../actions/verify.ts';
import { isDigest } from '../oci/digest.ts';
import { parsePlatform } from '../oci/platform.ts';
import { formatRepository } from '../oci/reference.ts';
import type { Requirements } from '../policy/requirements.ts';
import { describeEvidence, summarizeEvidence, summarizeRefusal } from '../policy/summary.ts';
import type { Context, Image } from './context.ts';
import type { PlatformFlags } from './platform-flags.ts';
import { requirementsOf, type TrustFlags } from './trust.ts';

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
  for (const found of verified.evidence) context.output.info(`signed by ${describeEvidence(found)}`);
  for (const { message } of verified.refusals) context.output.verbose(`not counted: ${message}`);
  if (tag !== undefined && digest === undefined) {
    const name = `${formatRepository(reference)}@${verified.image.digest}`;
    context.output.info(`the tag ${tag} itself is signed by nobody: use ${name}`);
  }
  return verified;
}

/**
 * What `bulla verify` does with an image.
 * @throws BullaError trust-unpinned before anything else; those of verifyNamed
 */
export async function printVerified(
  context: Context,
  text: string,
  named: Image,
  flags: TrustFlags & PlatformFlags,
): Promise<void> {
  const required = await requirementsOf(context, flags);
  const { image, signed, evidence, refusals } = await verifyNamed(context, text, named, required, flags);
  const name = `${formatRepository(named.reference)}@${image.digest}`;
  context.output.result(name, {
    reference: name,
    digest: image.digest,
    mediaType: image.mediaType,
    size: image.size,
    tag: named.reference.tag ?? null,
    signed,
    signatures: evidence.map(summarizeEvidence),
    notCounted: refusals.map(summarizeRefusal),
  });
}
