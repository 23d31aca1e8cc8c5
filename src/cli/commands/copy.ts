import type { Command } from 'commander';
import { parsePlatform } from '../../oci/platform.ts';
import { parseReference } from '../../oci/reference.ts';
import { copyNamed } from '../copying.ts';
import { addKeyOptions } from '../flags/key-flags.ts';
import { addNamingOptions, type NamingFlags } from '../flags/naming-flags.ts';
import { addSideOptions } from '../shell/access.ts';
import type { Cli } from '../shell/context.ts';

export interface CopyCommandFlags extends NamingFlags {
  readonly as?: true;
  readonly proof: boolean;
  readonly platform?: string;
  readonly referrers: boolean;
  readonly dryRun?: true;
}

export function register(program: Command, cli: Cli): void {
  const command = addNamingOptions(addKeyOptions(program.command('copy').alias('cp')))
    .summary('copy an image with its signatures, between registries, layouts and archives')
    .description(
      'Copies an image or an index with every platform and all that refers to it: signatures, attestations, SBOMs, ' +
        "cosign's tags. Bytes are never changed, what is there is not sent again, and the tag moves last. The trust " +
        'collection of the source comes along, where the destination has none or an older state of it; with --as the ' +
        'name is signed in the collection that the destination has, with keys that are here.',
    )
    .argument('<source>', 'image, oci:DIR[:tag] or oci-archive:FILE[:tag]')
    .argument('<destination>', 'the same; without a tag it gets that of the source')
    .option('--platform <os/arch>', 'of an index, only the image for this platform')
    .option('--no-referrers', 'only the image, nothing that refers to it')
    .option(
      '--as',
      "sign the name in the destination's own collection, instead of bringing the source's along",
    )
    .option('--no-proof', 'with --as: attach no proof of the name to the image')
    .option('--dry-run', 'look at everything, write nothing')
    .action(async (from: string, to: string, flags: CopyCommandFlags, invoked: Command) => {
      const context = await cli.open(invoked);
      const destination = parseReference(to);
      const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
      const image = await context.openImage(from, { side: 'from' });
      const { copyAs, refuseNaming } = await import('./copy/as.ts');
      if (flags.as === true) return await copyAs(context, from, image, destination, flags);
      refuseNaming(flags);
      await copyNamed(context, image, destination, {
        side: 'to',
        platform,
        referrers: flags.referrers,
        dryRun: flags.dryRun,
      });
    });
  addSideOptions(command);
}
