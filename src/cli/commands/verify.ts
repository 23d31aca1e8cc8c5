import type { Command } from 'commander';
import { fetchEarly } from '../../actions/verify/prefetch.ts';
import { BullaError } from '../../errors.ts';
import { addNameOptions, type NameFlags } from '../flags/name-flags.ts';
import { addPlatformOptions, type PlatformFlags } from '../flags/platform-flags.ts';
import { addTrustOptions, collect, type TrustFlags } from '../flags/signature-flags.ts';
import type { Cli, Context, Image } from '../shell/context.ts';
import { yieldToEventLoop } from '../shell/yield.ts';

export function register(program: Command, cli: Cli): void {
  addNameOptions(addPlatformOptions(addTrustOptions(program.command('verify'))))
    .summary('verify the name and the signatures of an image, and print its digest')
    .description(
      'Prints REPOSITORY@DIGEST, and nothing else on standard output, if the image is what was asked for: run that, not the tag.\n' +
        'Where a trust collection is pinned, was seen, or is asked for (--signer, --root, …), the tag must be signed in it, and the digest is the signed one; with --key or --ca there must be detached signatures as well.\n' +
        'With --notary the tag is looked up as docker does it, in targets/releases and then in targets, from a root that --root-key-id, --root, --root-ca, --notary-root-key or bulla pin --notary trusts.\n' +
        'Elsewhere detached signatures decide: by --key and --ca, or by the default key of the key store; without such a key nothing does.',
    )
    .argument('<reference>', 'image, by tag or digest')
    .option('--notary <url>', 'look the tag up in Notary v1: URL of a server, auto, or a directory')
    .option('--notary-root-key <file>', 'public root key of the Notary repository (PEM)')
    .option('--delegation <role>', 'with --notary: delegation that must have signed; repeatable', collect)
    .action(async (text: string, flags: TrustFlags & PlatformFlags & NameFlags, command: Command) => {
      const context = await cli.open(command);
      if (flags.notary !== undefined) {
        const { printVerifiedByNotary } = await import('../verifying-notary.ts');
        return await printVerifiedByNotary(context, text, { ...flags, notary: flags.notary });
      }
      refuseNotaryFlags(flags);
      const opened = await context.openImage(text);
      const signal = untilFailure(context);
      // While answers are on their way, the code that judges them is loaded: a third of the time is saved.
      const image = early(opened, flags, signal);
      await yieldToEventLoop();
      const { beginName } = await import('../begun-name.ts');
      const begun = await beginName(context, image, flags, signal);
      await yieldToEventLoop();
      const { printVerified } = await import('../verifying.ts');
      await printVerified(context, text, image, flags, begun);
    });
}

function refuseNotaryFlags({ notaryRootKey, delegation }: NameFlags): void {
  if (notaryRootKey === undefined && delegation === undefined) return;
  const flag = delegation === undefined ? '--notary-root-key' : '--delegation';
  throw new BullaError('usage', `${flag} is about a Notary server, and none is named`, {
    hint: 'add --notary URL, or --notary auto for the server that docker would ask',
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
