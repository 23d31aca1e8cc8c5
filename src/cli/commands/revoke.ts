import type { Command } from 'commander';
import { addKeyOptions } from '../flags/key-flags.ts';
import { addNamingOptions } from '../flags/naming-flags.ts';
import type { Cli } from '../shell/context.ts';
import type { RevokeFlags } from './revoke/run.ts';

export function register(program: Command, cli: Cli): void {
  addNamingOptions(addKeyOptions(program.command('revoke')))
    .summary('remove names from the trust collection')
    .description(
      'Removes tags of a repository from its trust collection, so that they are no longer signed, and logs it: no change that was made before restores them. ' +
        'The image, its tag in the registry and its detached signatures stay (see bulla signature rm).',
    )
    .argument('[reference...]', 'tags of one repository')
    .option('--from <file>', 'read references from a file, one per line; - is standard input')
    .action(async (texts: readonly string[], flags: RevokeFlags, command: Command) => {
      const context = await cli.open(command);
      const { revoke } = await import('./revoke/run.ts');
      await revoke(context, texts, flags);
    });
}
