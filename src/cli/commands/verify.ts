import type { Command } from 'commander';
import { fetchEarly } from '../../actions/early.ts';
import type { Cli, Context, Image } from '../context.ts';
import { addNameOptions, type NameFlags } from '../name-flags.ts';
import { addPlatformOptions, type PlatformFlags } from '../platform-flags.ts';
import { addTrustOptions, type TrustFlags } from '../trust.ts';
import { turn } from '../turn.ts';

export function register(program: Command, cli: Cli): void {
  addNameOptions(addPlatformOptions(addTrustOptions(program.command('verify'))))
    .summary('verify the name and the signatures of an image, and print its digest')
    .description(
      'Prints REPOSITORY@DIGEST, and nothing else on standard output, if the image is what was asked for: run that, not the tag.\n' +
        'Where a trust collection is pinned, was seen, or is asked for (--signer, --root, …), the tag must be signed in it, and the digest is the signed one; with --key or --ca there must be detached signatures as well.\n' +
        'Elsewhere detached signatures decide: by --key and --ca, or by the default key of the key store; without such a key nothing does.',
    )
    .argument('<reference>', 'image, by tag or digest')
    .action(async (text: string, flags: TrustFlags & PlatformFlags & NameFlags, command: Command) => {
      const context = await cli.open(command);
      const opened = await context.openImage(text);
      const signal = untilFailure(context);
      // While answers are on their way, the code that judges them is loaded: a third of the time is saved.
      const image = early(opened, flags, signal);
      await turn();
      const { beginName } = await import('../begun-name.ts');
      const begun = await beginName(context, image, flags, signal);
      await turn();
      const { printVerified } = await import('../verifying.ts');
      await printVerified(context, text, image, flags, begun);
    });
}

/** The image with its manifest asked for already. */
function early(image: Image, { drift }: NameFlags, signal: AbortSignal): Image {
  const { tag } = image.reference;
  if (tag !== undefined && drift === false) return image;
  const source = fetchEarly(image.source, tag ?? image.version, { signal });
  source.expectReferrers?.();
  return { ...image, source };
}

/** Gives up what was asked for early where the command fails meanwhile. */
function untilFailure(context: Context): AbortSignal {
  const giveUp = new AbortController();
  context.defer(async (ended) => {
    if (ended === 'badly') giveUp.abort();
  });
  return AbortSignal.any([context.signal, giveUp.signal]);
}
