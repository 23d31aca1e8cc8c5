import type { Command } from 'commander';
import { addChangeOptions } from '../flags/change-flags.ts';
import { addRepositoriesOptions } from '../flags/repositories.ts';
import { collect } from '../flags/values.ts';
import type { Cli } from '../shell/context.ts';
import type { RotateFlags } from './rotate/change.ts';

export function register(program: Command, cli: Cli): void {
  addRepositoriesOptions(addChangeOptions(program.command('rotate')))
    .summary('give a role of a trust collection new keys, or renew it')
    .description(
      'ROLE is root (with targets, as long as both have the same keys), targets, names, a signer, or online ' +
        '(snapshot and timestamp). The new keys replace all current ones, unless --keep or --drop limits ' +
        'it. With --renew alone, the same keys sign for another lifetime. With a pattern, --from or --all, it changes many ' +
        'collections, with one line for each and one exit status.',
    )
    .argument(
      '[repository]',
      'HOST/REPOSITORY, oci:DIR, or HOST/PREFIX/* for many; none with --from and --all',
    )
    .argument('[role]', 'root, targets, names, online, or the name of a signer')
    .option(
      '-k, --key <key>',
      'new key, public or private: NAME, PATH, or env://VARIABLE; repeatable',
      collect,
    )
    .option('--keep', 'keep the current keys in addition to the new ones')
    .option('--drop <keyid>', 'keep the current keys except this one; repeatable', collect)
    .option('--threshold <n>', 'how many keys must sign together (default: unchanged)')
    .option('--renew', 'sign for another lifetime')
    .option('--expires <duration>', 'lifetime of the files of the role from now on')
    .option(
      '--drop-unknown',
      'with --renew: remove from its files the members that bulla does not know, and therefore does not sign',
    )
    .option('--restart', 'with online: restart versions, after a thief of the old key has raised them')
    .option(
      '--repair',
      'give ROLE a new log if its log cannot be read (bulla status reports it): its names are kept; needs the root key',
    )
    .action(
      async (first: string | undefined, second: string | undefined, flags: RotateFlags, command: Command) => {
        const context = await cli.open(command);
        const { rotate } = await import('./rotate/change.ts');
        await rotate(
          context,
          [first, second].flatMap((word) => word ?? []),
          flags,
        );
      },
    );
}
