import type { Command } from 'commander';
import { addChangeOptions } from '../flags/change-flags.ts';
import { addCollectionOptions, type CollectionFlags } from '../flags/collection-flags.ts';
import { collect } from '../flags/values.ts';
import type { Cli } from '../shell/context.ts';
import type { SignerFlags } from './signer/change.ts';

export function register(program: Command, cli: Cli): void {
  const signer = program
    .command('signer')
    .summary('manage who may sign names in a trust collection')
    .description(
      'A signer is a role with its own keys. To require its signature on a name: bulla verify --signer NAME.\n' +
        'Changes need the key of targets (mostly the root key), and the signer’s key for its first file. If they are ' +
        'on other machines: --export-unsigned FILE here, bulla approve FILE there, --import-signed FILE here.',
    );
  addChangeOptions(signer.command('add'))
    .summary('add a signer, or give it other keys')
    .argument('<repository>', 'HOST/REPOSITORY, or oci:DIR')
    .argument('[name]', 'name of the role, such as ci or alice')
    .option(
      '-k, --key <key>',
      'public or private key of the signer: NAME, PATH, or env://VARIABLE; repeatable',
      collect,
    )
    .option('--threshold <n>', 'how many of its keys must sign together (default: 1)')
    .option('--path <pattern>', 'names that it may sign, such as "v*"; repeatable (default: all)', collect)
    .option('--expires <duration>', 'lifetime of its files (default: 1y)')
    .action(async (repository: string, name: string | undefined, flags: SignerFlags, command: Command) => {
      const context = await cli.open(command);
      const { add } = await import('./signer/change.ts');
      await add(context, repository, name, flags);
    });
  addChangeOptions(signer.command('rm'))
    .summary('remove a signer')
    .argument('<repository>', 'HOST/REPOSITORY, or oci:DIR')
    .argument('[name]', 'name of the role')
    .action(async (repository: string, name: string | undefined, flags: SignerFlags, command: Command) => {
      const context = await cli.open(command);
      const { remove } = await import('./signer/change.ts');
      await remove(context, repository, name, flags);
    });
  addCollectionOptions(signer.command('ls'))
    .summary('list who may sign names')
    .argument('<repository>', 'HOST/REPOSITORY, or oci:DIR')
    .action(async (repository: string, flags: CollectionFlags, command: Command) => {
      const context = await cli.open(command);
      const { list } = await import('./signer/list.ts');
      await list(context, repository, flags);
    });
}
