import { type VerifiedImage, verifyImage } from '../actions/verify/image.ts';
import { isDigest } from '../oci/digest.ts';
import { parsePlatform } from '../oci/platform.ts';
import { formatRepository } from '../oci/reference.ts';
import type { Requirements } from '../policy/requirements.ts';
import { describeEvidence, summarizeEvidence, summarizeRefusal } from '../policy/summary.ts';
import type { PlatformFlags } from './flags/platform-flags.ts';
import type { Context, Image } from './shell/context.ts';

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
    context.output.info(`the tag ${tag} itself was not verified: use ${name}`);
  }
  return verified;
}

/** Tells people whose signatures count. */
export function tellSignatures(
  { output }: Context,
  { evidence, refusals }: Pick<VerifiedImage, 'evidence' | 'refusals'>,
): void {
  for (const found of evidence) output.info(`signed by ${describeEvidence(found)}`);
  for (const { message } of refusals) output.verbose(`not counted: ${message}`);
}

/** Detached signatures for `-o json` (spec/signatures.md, "Output"). */
export function signaturesJson({
  evidence,
  refusals,
}: Pick<VerifiedImage, 'evidence' | 'refusals'>): Record<string, unknown> {
  return { signatures: evidence.map(summarizeEvidence), notCounted: refusals.map(summarizeRefusal) };
}
