import type { Command } from 'commander';
import { fetchEarly } from '../../actions/early.ts';
import type { Cli, Context, Image } from '../context.ts';
import { addPlatformOptions, type PlatformFlags } from '../platform-flags.ts';
import { addTrustOptions, type TrustFlags } from '../trust.ts';

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
      const image = early(context, await context.openImage(text));
      // While the manifest is on its way, the code that judges it is loaded: a third of the time is saved.
      const { printVerified } = await import('../verifying.ts');
      await printVerified(context, text, image, flags);
    });
}

/** The image with its manifest asked for already; given up where the command fails meanwhile. */
function early(context: Context, image: Image): Image {
  const giveUp = new AbortController();
  context.defer(async (ended) => {
    if (ended === 'badly') giveUp.abort();
  });
  const signal = AbortSignal.any([context.signal, giveUp.signal]);
  const source = fetchEarly(image.source, image.reference.tag ?? image.version, { signal });
  source.expectReferrers?.();
  return { ...image, source };
}
