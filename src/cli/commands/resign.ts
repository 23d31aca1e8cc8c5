import type { Command } from 'commander';
import { addCollectionOptions } from '../flags/collection-flags.ts';
import { addTrustKeyOptions } from '../flags/key-flags.ts';
import type { Cli } from '../shell/context.ts';
import type { ResignFlags } from './resign/pass.ts';

export function register(program: Command, cli: Cli): void {
  addTrustKeyOptions(addCollectionOptions(program.command('resign')))
    .summary('keep trust collections fresh, in one pass')
    .description(
      'Verifies each collection, publishes staged changes, and re-signs snapshot and timestamp after half of ' +
        'their lifetime. Only the online key is needed. For a timer or a CI job; `bulla serve resigner` ' +
        'does it continuously. Exit status 0: all are fresh.',
    )
    .argument(
      '[repository...]',
      'HOST/REPOSITORY, oci:DIR, or HOST/PREFIX/* for all below it; with --config and --all, none',
    )
    .option('--config <file>', 'configuration of the re-signer: pins, key, state')
    .option('--all', 'with --config: every collection in it')
    .option('--shard <i/n>', 'with --all: the i-th of n parts, counted from 0')
    .option(
      '--trust-served-head <digest>',
      'accept this head although its timestamp has expired, after you have checked it',
    )
    .option('--renew', 're-sign even if it is not due')
    .action(async (repositories: readonly string[], flags: ResignFlags, command: Command) => {
      const context = await cli.open(command);
      const { resign } = await import('./resign/pass.ts');
      cli.exitStatus = await resign(context, command, repositories, flags);
    });
}
