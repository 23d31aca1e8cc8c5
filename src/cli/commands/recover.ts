import { type Command, Option } from 'commander';
import { LOSSES } from '../../actions/recover/steps.ts';
import { addCollectionOptions } from '../flags/collection-flags.ts';
import { collect } from '../flags/values.ts';
import type { Cli } from '../shell/context.ts';
import type { RecoverFlags } from './recover/run.ts';

export function register(program: Command, cli: Cli): void {
  addCollectionOptions(program.command('recover'))
    .summary('lead through the recovery from a stolen key, a lost root, or a damaged registry')
    .description(
      'Asks what was lost, looks at the collection and at the keys of this machine, and prints the commands that recover ' +
        'from it, in order; what readers see meanwhile; and what cannot be saved. It changes nothing itself.\n' +
        'Keys of publishers and online keys are treated as stolen: the new key does not take in what the old one has staged.',
    )
    .argument('<repository>', 'HOST/REPOSITORY, or oci:DIR')
    .addOption(new Option('--lost <what>', 'what was lost').choices(LOSSES))
    .option('-k, --key <key>', 'the lost key: its id, or its name in the key store; repeatable', collect)
    .option('--stolen', 'with only-root-key: someone else may have the key')
    .option(
      '--backup <copy>',
      'a copy or mirror of the repository from before the loss: HOST/REPOSITORY, oci:DIR or oci-archive:FILE',
    )
    .action(async (repository: string, flags: RecoverFlags, command: Command) => {
      const context = await cli.open(command);
      const { recover } = await import('./recover/run.ts');
      await recover(context, repository, flags);
    });
}
