import type { Command } from 'commander';
import { addChangeOptions } from '../flags/change-flags.ts';
import { collect } from '../flags/values.ts';
import type { Cli } from '../shell/context.ts';
import type { RotateFlags } from './rotate/change.ts';

export function register(program: Command, cli: Cli): void {
  addChangeOptions(program.command('rotate'))
    .summary('give a role of a trust collection new keys, or renew it')
    .description(
      'ROLE is root (with targets, as long as both have the same keys), targets, names, a signer, or online ' +
        '(snapshot and timestamp). The new keys take the place of all present ones, unless --keep or --drop says ' +
        'otherwise. With --renew alone the same keys sign for another term.',
    )
    .argument('<repository>', 'HOST/REPOSITORY, or oci:DIR')
    .argument('[role]', 'root, targets, names, online, or the name of a signer')
    .option(
      '-k, --key <key>',
      'new key, public or private: NAME, PATH, or env://VARIABLE; repeatable',
      collect,
    )
    .option('--keep', 'keep the present keys beside the new ones')
    .option('--drop <keyid>', 'keep the present keys but this one; repeatable', collect)
    .option('--threshold <n>', 'how many keys have to sign together (default: as many as now)')
    .option('--renew', 'sign for another term')
    .option('--expires <duration>', 'for how long files of the role are signed from now on')
    .option(
      '--drop-unknown',
      'with --renew: take out of its files what bulla does not know, and so does not sign',
    )
    .option('--restart', 'with online: begin versions anew, after a thief of the old key pushed them up')
    .option(
      '--repair',
      'give ROLE a new log where the one it has cannot be read (bulla status tells): its names stay; takes the root key',
    )
    .action(async (repository: string, role: string | undefined, flags: RotateFlags, command: Command) => {
      const context = await cli.open(command);
      const { rotate } = await import('./rotate/change.ts');
      await rotate(context, repository, role, flags);
    });
}
