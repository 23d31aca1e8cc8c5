import type { Command } from 'commander';
import { parsePlatform } from '../../oci/platform.ts';
import { parseReference } from '../../oci/reference.ts';
import { addKeyOptions } from '../flags/key-flags.ts';
import { addNamingOptions } from '../flags/naming-flags.ts';
import { addSideOptions } from '../shell/access.ts';
import type { Cli } from '../shell/context.ts';
import type { NamingCopyFlags } from './copy/as.ts';

interface CopyCommandFlags extends NamingCopyFlags {
  readonly as?: true;
  readonly platform?: string;
  readonly referrers: boolean;
  readonly dryRun?: true;
}

export function register(program: Command, cli: Cli): void {
  const command = addNamingOptions(addKeyOptions(program.command('copy').alias('cp')))
    .summary('copy an image with its signatures, between registries, layouts and archives')
    .description(
      'Copies an image or an index with every platform and everything that refers to it: signatures, attestations, SBOMs, ' +
        "cosign's tags. Bytes are never changed, existing content is not sent again, and the tag moves last. The trust " +
        'collection of the source is copied too, if the destination has none or an older state of it; with --as the ' +
        'name is signed in the collection of the destination, with the available keys.',
    )
    .argument('<source>', 'image, oci:DIR[:tag] or oci-archive:FILE[:tag]')
    .argument('<destination>', 'the same; the default tag is that of the source')
    .option('--platform <os/arch>', 'of an index, only the image for this platform')
    .option('--no-referrers', 'only the image, nothing that refers to it')
    .option('--as', "sign the name in the destination's own collection, instead of copying the source's")
    .option('--no-proof', 'with --as: attach no proof of the name to the image')
    .option('--dry-run', 'read everything, write nothing')
    .action(async (from: string, to: string, flags: CopyCommandFlags, invoked: Command) => {
      const context = await cli.open(invoked);
      const destination = parseReference(to);
      const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
      const image = await context.openImage(from, { side: 'from' });
      const { referrers, dryRun } = flags;
      const copying = { side: 'to', platform, referrers, dryRun } as const;
      const { refuseNaming, runCopyAs } = await import('./copy/as.ts');
      if (flags.as === true) return await runCopyAs(context, image, destination, copying, flags);
      refuseNaming(flags);
      const { runCopy } = await import('./copy/run.ts');
      await runCopy(context, image, destination, copying);
    });
  addSideOptions(command);
}
