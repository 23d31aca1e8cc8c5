import type { Command } from 'commander';
import { formatRepository } from '../../oci/reference.ts';
import { summarizeEvidence, summarizeRefusal } from '../../policy/summary.ts';
import type { Cli } from '../context.ts';
import { addTrustOptions, requirementsOf, type TrustFlags } from '../trust.ts';
import { addPlatformOptions, type PlatformFlags, verifyNamed } from '../verifying.ts';

export function register(program: Command, cli: Cli): void {
  addPlatformOptions(addTrustOptions(program.command('verify')))
    .summary('verify the signatures of an image, and print its digest')
    .description(
      'Prints REPOSITORY@DIGEST, and nothing else on standard output, if the signatures on the image are what was asked for: run that, not the tag.\n' +
        'Without --key and --ca, signatures by the default key of the key store count; without such a key nothing does.',
    )
    .argument('<reference>', 'image, by tag or digest')
    .action(async (text: string, flags: TrustFlags & PlatformFlags, command: Command) => {
      const context = await cli.open(command);
      const required = await requirementsOf(context, flags);
      const named = await context.openImage(text);
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
    });
}
