import type { Command } from 'commander';
import { BullaError, isBullaError } from '../../errors.ts';
import { parsePlatform } from '../../oci/platform.ts';
import { formatReference, parseReference, type Reference } from '../../oci/reference.ts';
import { beginName } from '../begun-name.ts';
import { copyNamed } from '../copying.ts';
import { addNameOptions, asksForName, type NameFlags } from '../flags/name-flags.ts';
import { addPlatformOptions, type PlatformFlags } from '../flags/platform-flags.ts';
import { addTrustOptions, type TrustFlags } from '../flags/signature-flags.ts';
import type { Cli, Context, Image } from '../shell/context.ts';
import { type VerifiedReference, verifyReference } from '../verifying.ts';

interface PullFlags extends TrustFlags, PlatformFlags, NameFlags {
  readonly verify: boolean;
  readonly referrers: boolean;
}

export function register(program: Command, cli: Cli): void {
  addNameOptions(addPlatformOptions(addTrustOptions(program.command('pull'))))
    .summary('verify an image, then bring it into a layout or an archive')
    .description(
      'Verifies the name or the signatures of an image, as verify does, and brings exactly what was verified, with its ' +
        "signatures and the repository's trust collection, into a layout (oci:DIR) or an archive (oci-archive:FILE) that " +
        'podman, docker and skopeo read. Of a signed name it brings the signed digest, whatever the tag points to. ' +
        'Takes the flags of verify; where nothing says whom to believe, it refuses.',
    )
    .argument('<reference>', 'image in a registry')
    .argument(
      '[destination]',
      'oci:DIR[:tag] or oci-archive:FILE[:tag]; oci:NAME after the repository if left out',
    )
    .option('--no-verify', 'bring it without looking at signatures')
    .option('--no-referrers', 'only the image, nothing that refers to it')
    .action(async (text: string, to: string | undefined, flags: PullFlags, invoked: Command) => {
      const context = await cli.open(invoked);
      if (!flags.verify) refuseTrust(flags);
      const given = to === undefined ? undefined : destinationOf(to);
      const image = await context.openImage(text);
      const destination = given ?? parseReference(defaultDestination(image.reference));
      const { referrers } = flags;
      if (!flags.verify) {
        context.output.warn(`${text} was not verified (--no-verify)`);
        const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
        return await copyNamed(context, image, destination, { referrers, platform });
      }
      const verified = await verifyToPull(context, text, image, flags);
      await copyNamed(context, { ...image, version: verified.image.digest }, destination, {
        referrers,
        // A name stands for the index, which does not come along with one platform's image.
        collection: flags.platform === undefined,
      });
    });
}

/** Whoever says whom to believe does not want to go without looking. @throws BullaError usage */
function refuseTrust(flags: PullFlags): void {
  const { key, ca, certificateIdentity, threshold, purpose, annotation } = flags;
  const given = [key, ca, certificateIdentity, threshold, purpose, annotation];
  if (given.every((value) => value === undefined) && !asksForName(flags)) return;
  throw new BullaError('usage', '--no-verify is given along with what names or signatures must be like', {
    hint: 'leave one of them out: nothing is verified with --no-verify',
  });
}

/** @throws BullaError as verifyReference; trust-unpinned says how to go on without verification */
async function verifyToPull(
  context: Context,
  text: string,
  image: Image,
  flags: PullFlags,
): Promise<VerifiedReference> {
  try {
    return await verifyReference(context, text, image, flags, await beginName(context, image, flags));
  } catch (cause) {
    if (!isBullaError(cause, 'trust-unpinned')) throw cause;
    throw new BullaError('trust-unpinned', `nothing was pulled: ${cause.message}`, {
      cause,
      hint: `${cause.hint ?? ''}; --no-verify pulls without looking at names and signatures`,
    });
  }
}

/** Where to bring it, which is not a registry. @throws BullaError usage */
function destinationOf(text: string): Reference {
  const destination = parseReference(text);
  if (destination.kind !== 'registry') return destination;
  throw new BullaError('usage', `${formatReference(destination)} is in a registry`, {
    hint: 'write oci:DIR or oci-archive:FILE; from one registry to another it is bulla copy',
  });
}

/** `oci:app` of `registry.example.com/team/app:v1`. @throws BullaError usage */
function defaultDestination(reference: Reference): string {
  if (reference.kind === 'registry') return `oci:${reference.repository.split('/').at(-1)}`;
  throw new BullaError('usage', `${formatReference(reference)} is here already`, {
    hint: 'say where to bring it: bulla pull REFERENCE oci:DIR',
  });
}
