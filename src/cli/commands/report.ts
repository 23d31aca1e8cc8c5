import type { Command } from 'commander';
import { addCollectionOptions } from '../flags/collection-flags.ts';
import type { Cli } from '../shell/context.ts';
import type { ReportFlags } from './report/run.ts';

export function register(program: Command, cli: Cli): void {
  addCollectionOptions(program.command('report'))
    .summary('show the state of trust collections to people, also as web pages')
    .description(
      'Shows who may sign what, which names are signed, what expires when, what waits, what was changed, and what ' +
        'needs attention. With --html, writes an overview and a page for each collection; they load nothing from elsewhere. ' +
        'A collection that cannot be read is part of the report, and the exit status is that of the worst such failure.',
    )
    .argument('[repository...]', 'HOST/REPOSITORY, oci:DIR or oci-archive:FILE')
    .option('--config <file>', 'also report on the collections in this configuration of the re-signer')
    .option('--html <dir>', 'write index.html and a page for each collection to this directory')
    .option('--check', 'also exit with an error if something needs attention, as bulla status --check does')
    .option(
      '--warn-before <duration>',
      'report a role this long before its expiry (default: 30d; 3d for snapshot and timestamp)',
    )
    .action(async (repositories: readonly string[], flags: ReportFlags, command: Command) => {
      const context = await cli.open(command);
      const { printReport } = await import('./report/run.ts');
      cli.exitStatus = await printReport(context, repositories, flags);
    });
}
