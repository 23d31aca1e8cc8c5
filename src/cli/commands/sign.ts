import type { Command } from 'commander';
import { addNamingOptions } from '../flags/naming-flags.ts';
import { addSignOptions } from '../flags/sign-flags.ts';
import type { Cli } from '../shell/context.ts';
import type { SignCommandFlags } from './sign/run.ts';

export function register(program: Command, cli: Cli): void {
  addNamingOptions(addSignOptions(program.command('sign')))
    .summary('sign an image, and its name')
    .description(
      'Attaches a detached signature to an image. With a certificate chain it is a Notation signature, which notation verifies; with a bare key it is a Sigstore bundle, which cosign verifies.\n' +
        'A tag is resolved once; what is signed is the digest, which is printed.\n' +
        'Where the repository has a trust collection (bulla init), the tag itself is signed there, too: nobody can move it or roll it back unnoticed. Several references of one repository are one change.',
    )
    .argument('[reference...]', 'images of one repository, by tag or digest')
    .option('--from <file>', 'read references from a file, one a line; - is standard input')
    .option('--no-name', 'sign the image alone, not its name')
    .option('--name-only', 'sign the name alone, not the image')
    .option('--no-proof', 'attach no proof of the name to the image')
    .action(async (texts: readonly string[], flags: SignCommandFlags, command: Command) => {
      const context = await cli.open(command);
      const { sign } = await import('./sign/run.ts');
      await sign(context, texts, flags);
    });
}
