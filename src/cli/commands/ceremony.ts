import type { Command } from 'commander';
import { addInitKeyOptions } from '../flags/init-key-flags.ts';
import { addPassphraseOptions, addTrustKeyOptions } from '../flags/key-flags.ts';
import { collect } from '../flags/values.ts';
import type { Cli } from '../shell/context.ts';
import type { BeginFlags } from './ceremony/begin.ts';
import type { CeremonyFlags } from './ceremony/people.ts';

export function register(program: Command, cli: Cli): void {
  const group = program
    .command('ceremony')
    .summary('sign with root keys on a machine without a network, with a record on paper')
    .description(
      'Opens no network connection. begin makes the first root of a collection; sign signs what begin wrote, or what ' +
        '--export-unsigned of rotate, signer and others wrote elsewhere. Both show everything that is signed, have each ' +
        'person type the beginning of its digest, save after each signature, and keep a record to print and sign. ' +
        'What they write is published with --import-signed on a machine with a network (docs/ceremony.md).',
    );
  const begin = addPassphraseOptions(addInitKeyOptions(group.command('begin')))
    .summary('begin a collection with root keys that stay offline')
    .argument('<repository>', 'HOST/REPOSITORY that the collection is for')
    .requiredOption('--out <file>', 'file to write, and to carry to the next machine')
    .option('-k, --key <key>', 'root key to sign with, in turn: NAME, PATH or URI; repeatable', collect);
  addRecordOptions(begin).action(
    async (repository: string, flags: BeginFlags & CeremonyFlags, command: Command) => {
      const context = await cli.open(command);
      const { begin: start } = await import('./ceremony/begin.ts');
      await start(context, repository, flags);
    },
  );
  addRecordOptions(addTrustKeyOptions(group.command('sign')))
    .summary('sign what begin or --export-unsigned wrote; run it again to go on')
    .argument('<file>', 'file that was carried here')
    .option('--change <digest>', 'sign only the change with this digest, all of its digits')
    .action(async (file: string, flags: CeremonyFlags, command: Command) => {
      const context = await cli.open(command);
      const { sign } = await import('./ceremony/run.ts');
      await sign(context, file, flags);
    });
  group
    .command('show')
    .summary('show what a file of a ceremony holds and what it lacks')
    .argument('<file>', 'file of a ceremony')
    .action(async (file: string, _flags: unknown, command: Command) => {
      const context = await cli.open(command);
      const { show } = await import('./ceremony/run.ts');
      await show(context, file);
    });
}

function addRecordOptions(command: Command): Command {
  return command
    .option(
      '--person <name>',
      'who holds the key, for the record; repeatable, in the order of --key',
      collect,
    )
    .option('--record <file>', 'where the record is added (default: FILE.record.txt)')
    .option('-y, --yes', 'do not ask: for scripts that have compared the digest before');
}
