import type { Command } from 'commander';
import { type VerifiedImage, verifyImage } from '../actions/verify.ts';
import { isDigest } from '../oci/digest.ts';
import { parsePlatform } from '../oci/platform.ts';
import { formatRepository } from '../oci/reference.ts';
import type { Requirements } from '../policy/requirements.ts';
import { describeEvidence } from '../policy/summary.ts';
import type { Context, Image } from './context.ts';

/** Flags that say which part of an index is meant. */
export interface PlatformFlags {
  readonly platform?: string;
  readonly eachPlatform?: true;
}

export function addPlatformOptions(command: Command): Command {
  return command
    .option('--platform <os/arch>', 'of an index: the image for this platform; a signed index speaks for it')
    .option('--each-platform', "also accept an unsigned index where every platform's image is signed");
}

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
