import type { Command } from 'commander';
import { verifyImage } from '../../actions/verify.ts';
import { isDigest } from '../../oci/digest.ts';
import { formatRepository } from '../../oci/reference.ts';
import { describeEvidence, summarizeEvidence, summarizeRefusal } from '../../policy/summary.ts';
import type { Cli } from '../context.ts';
import { addTrustOptions, requirementsOf, type TrustFlags } from '../trust.ts';

interface VerifyFlags extends TrustFlags {
  readonly platform?: string;
  readonly eachPlatform?: true;
}

export function register(program: Command, cli: Cli): void {
  addTrustOptions(program.command('verify'))
    .summary('verify the signatures of an image, and print its digest')
    .description(
      'Prints REPOSITORY@DIGEST, and nothing else on standard output, if the signatures on the image are what was asked for: run that, not the tag.\n' +
        'Without --key and --ca, signatures by the default key of the key store count; without such a key nothing does.',
    )
    .argument('<reference>', 'image, by tag or digest')
    .option('--platform <os/arch>', 'of an index: the image for this platform; a signed index speaks for it')
    .option('--each-platform', "also accept an unsigned index where every platform's image is signed")
    .action(async (text: string, flags: VerifyFlags, command: Command) => {
      const context = await cli.open(command);
      const required = await requirementsOf(context, flags);
      const { source, reference, version } = await context.openImage(text);
      const { tag } = reference;
      const digest = isDigest(version) ? version : undefined;
      const verified = await verifyImage(
        source,
        { tag, digest },
        {
          name: text,
          required,
          signal: context.signal,
          platform: flags.platform,
          eachPlatform: flags.eachPlatform,
        },
      );
      const { image, signed, evidence, refusals } = verified;
      const name = `${formatRepository(reference)}@${image.digest}`;
      for (const found of evidence) context.output.info(`signed by ${describeEvidence(found)}`);
      for (const { message } of refusals) context.output.verbose(`not counted: ${message}`);
      if (tag !== undefined && digest === undefined) {
        context.output.info(`the tag ${tag} itself is signed by nobody: use ${name}`);
      }
      context.output.result(name, {
        reference: name,
        digest: image.digest,
        mediaType: image.mediaType,
        size: image.size,
        tag: tag ?? null,
        signed,
        signatures: evidence.map(summarizeEvidence),
        notCounted: refusals.map(summarizeRefusal),
      });
    });
}
