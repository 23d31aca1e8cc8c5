import type { Command } from 'commander';
import { BullaError, isBullaError } from '../../errors.ts';
import { parsePlatform } from '../../oci/platform.ts';
import { formatReference, parseReference, type Reference } from '../../oci/reference.ts';
import type { Requirements } from '../../policy/requirements.ts';
import type { Cli, Context } from '../context.ts';
import { copyNamed } from '../copying.ts';
import { addPlatformOptions, type PlatformFlags } from '../platform-flags.ts';
import { addTrustOptions, requirementsOf, type TrustFlags } from '../trust.ts';
import { verifyNamed } from '../verifying.ts';

interface PullFlags extends TrustFlags, PlatformFlags {
  readonly verify: boolean;
  readonly referrers: boolean;
}

export function register(program: Command, cli: Cli): void {
  addPlatformOptions(addTrustOptions(program.command('pull')))
    .summary('verify an image, then bring it into a layout or an archive')
    .description(
      'Verifies the signatures of an image and brings exactly what was verified, with its signatures, into a layout ' +
        '(oci:DIR) or an archive (oci-archive:FILE) that podman, docker and skopeo read. Takes the flags of verify; ' +
        'without any, and without a default key, it refuses.',
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
      // Whom to believe is settled before anything is asked of anybody.
      const required = flags.verify ? await requiredToPull(context, flags) : undefined;
      const image = await context.openImage(text);
      const destination = parseReference(to ?? defaultDestination(image.reference));
      if (required === undefined) {
        context.output.warn(`${text} was not verified (--no-verify)`);
        const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
        await copyNamed(context, image, destination, { referrers: flags.referrers, platform });
      } else {
        const verified = await verifyNamed(context, text, image, required, flags);
        await copyNamed(context, { ...image, version: verified.image.digest }, destination, {
          referrers: flags.referrers,
        });
      }
    });
}

/** Whoever says whom to believe does not want to go without looking. @throws BullaError usage */
function refuseTrust(flags: PullFlags): void {
  const { key, ca, certificateIdentity, threshold, purpose, annotation } = flags;
  const given = [key, ca, certificateIdentity, threshold, purpose, annotation];
  if (given.every((value) => value === undefined)) return;
  throw new BullaError('usage', '--no-verify is given along with what signatures must be like', {
    hint: 'leave one of them out: nothing is verified with --no-verify',
  });
}

/** @throws BullaError trust-unpinned, with the way to go on without verification */
async function requiredToPull(context: Context, flags: TrustFlags): Promise<Requirements> {
  try {
    return await requirementsOf(context, flags);
  } catch (cause) {
    if (!isBullaError(cause, 'trust-unpinned')) throw cause;
    throw new BullaError('trust-unpinned', `nothing was pulled: ${cause.message}`, {
      cause,
      hint: `${cause.hint ?? ''}; --no-verify pulls without looking at signatures`,
    });
  }
}

/** `oci:app` of `registry.example.com/team/app:v1`. @throws BullaError usage */
function defaultDestination(reference: Reference): string {
  if (reference.kind === 'registry') return `oci:${reference.repository.split('/').at(-1)}`;
  throw new BullaError('usage', `${formatReference(reference)} is here already`, {
    hint: 'say where to bring it: bulla pull REFERENCE oci:DIR',
  });
}
