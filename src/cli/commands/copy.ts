import type { Command } from 'commander';
import { parsePlatform } from '../../oci/platform.ts';
import { parseReference } from '../../oci/reference.ts';
import { addSideOptions } from '../access.ts';
import type { Cli } from '../context.ts';
import { copyNamed } from '../copying.ts';

interface CopyFlags {
  readonly platform?: string;
  readonly referrers: boolean;
  readonly dryRun?: true;
}

export function register(program: Command, cli: Cli): void {
  const command = program
    .command('copy')
    .alias('cp')
    .summary('copy an image with its signatures, between registries, layouts and archives')
    .description(
      'Copies an image or an index with every platform and all that refers to it: signatures, attestations, SBOMs, ' +
        "cosign's tags. Bytes are never changed, what is there is not sent again, and the tag moves last.",
    )
    .argument('<source>', 'image, oci:DIR[:tag] or oci-archive:FILE[:tag]')
    .argument('<destination>', 'the same; without a tag it gets that of the source')
    .option('--platform <os/arch>', 'of an index, only the image for this platform')
    .option('--no-referrers', 'only the image, nothing that refers to it')
    .option('--dry-run', 'look at everything, write nothing')
    .action(async (from: string, to: string, flags: CopyFlags, invoked: Command) => {
      const context = await cli.open(invoked);
      const destination = parseReference(to);
      const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
      const image = await context.openImage(from, { side: 'from' });
      await copyNamed(context, image, destination, {
        side: 'to',
        platform,
        referrers: flags.referrers,
        dryRun: flags.dryRun,
      });
    });
  addSideOptions(command);
}
