import type { Command } from 'commander';
import { collect } from '../flags/values.ts';
import type { Cli } from '../shell/context.ts';
import type { SyncFlags } from './sync/run.ts';

export function register(program: Command, cli: Cli): void {
  program
    .command('sync')
    .summary('keep repositories in step with others, by a file')
    .description(
      'Copies the images, repositories and registries of a file, with signatures and signed names, as copy does: once, ' +
        'or again and again. The file is much like that of regsync; see spec/sync.md. A failure of one entry does not ' +
        'stop the others, and is reported by the exit status. When it stays, the log goes to stderr, one JSON object per ' +
        'line, /healthz, /readyz and /metrics are served over HTTP, and the file is read again on SIGHUP and when it ' +
        'changes.',
    )
    .option('--config <file>', 'what to copy where; YAML or JSON')
    .option('--once', 'copy everything once, whatever the file says of intervals, and print a report')
    .option(
      '--every <duration>',
      'stay, and copy everything this often, such as 10m (default: as the file says)',
    )
    .option('--policy <file>', 'policy file that judges what entries with verify: true copy')
    .option('--dry-run', 'with --once: read everything, write nothing')
    .option('--listen <host:port>', 'where to listen while it stays (default: 127.0.0.1:8090)')
    .option(
      '--host <name>',
      'name of this server, in addition to localhost and IP addresses; repeatable',
      collect,
    )
    .action(async (flags: SyncFlags, command: Command) => {
      const context = await cli.open(command);
      const { runSync } = await import('./sync/run.ts');
      await runSync(context, command, flags);
    });
}
