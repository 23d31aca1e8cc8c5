import type { Command } from 'commander';
import { addCollectionOptions, type CollectionFlags } from '../flags/collection-flags.ts';
import type { Cli } from '../shell/context.ts';

export function register(program: Command, cli: Cli): void {
  addCollectionOptions(program.command('pending'))
    .summary('list the changes that wait for signatures')
    .description(
      'What somebody has staged beside a trust collection: its id, what it changes, who has signed it and who may. ' +
        'Sign it with bulla approve REPOSITORY ID.',
    )
    .argument('<repository>', 'HOST/REPOSITORY, or oci:DIR')
    .option('--all', 'show every new name, also where there are very many')
    .action(async (repository: string, flags: CollectionFlags & { all?: true }, command: Command) => {
      const context = await cli.open(command);
      const { listWaiting } = await import('./approve/staged.ts');
      await listWaiting(context, repository, flags);
    });
}
