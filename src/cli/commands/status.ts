import type { Command } from 'commander';
import { EXIT_CODES } from '../../errors.ts';
import { parseReference } from '../../oci/reference.ts';
import type { StatusFinding } from '../../trust/report/status.ts';
import { addCollectionOptions, type CollectionFlags } from '../flags/collection-flags.ts';
import { durationOf } from '../flags/values.ts';
import type { Cli, Context } from '../shell/context.ts';

interface StatusFlags extends CollectionFlags {
  readonly check?: true;
  readonly warnBefore?: string;
  readonly bins?: true;
}

export function register(program: Command, cli: Cli): void {
  addCollectionOptions(program.command('status'))
    .summary('show what expires, waits, or conflicts in a trust collection')
    .description(
      'Shows when each role of a trust collection expires, which changes wait to be published or signed, and which conflict; and how to fix each.',
    )
    .argument('<repository>', 'repository, oci:DIR or oci-archive:FILE')
    .option(
      '--check',
      'exit with 20 if a role has expired or soon will, else 30 if there is a conflict, else 31 if something waits',
    )
    .option(
      '--warn-before <duration>',
      'report a role this long before its expiry (default: 30d; 3d for snapshot and timestamp)',
    )
    .option('--bins', 'read all bins to find the earliest expiry (by default, at most 256 are read)')
    .action(async (text: string, flags: StatusFlags, command: Command) => {
      cli.exitStatus = await printStatus(await cli.open(command), text, flags);
    });
}

/** @returns the status of the command */
async function printStatus(context: Context, text: string, flags: StatusFlags): Promise<number> {
  const [{ readStatus }, { demandShown }, { SYSTEM_CHANCE }, { statusJson, statusLines }] = await Promise.all(
    [
      import('../../actions/inspect/status.ts'),
      import('../flags/shown-collection.ts'),
      import('../../servers/system.ts'),
      import('../render/status-text.ts'),
    ],
  );
  const warnBefore = durationOf('--warn-before', flags.warnBefore, '12h, 30d');
  const { opened, copy, trusted } = await demandShown(context, parseReference(text), flags);
  const now = context.io.now();
  const status = await readStatus(opened.target, copy, {
    ...{ now, warnBefore, chance: SYSTEM_CHANCE, signal: context.signal },
    allBins: flags.bins,
    onWarning: (message) => context.output.warn(message),
  });
  context.output.drawing(statusLines(status, text, now), { trusted, ...statusJson(status, text, now) });
  // A collection that cannot be changed any more is a failure, with or without --check.
  const broken = status.findings.find(({ kind }) => kind === 'broken');
  if (broken !== undefined) return EXIT_CODES['content-invalid'];
  return flags.check === true ? exitStatusOf(status.findings) : 0;
}

function exitStatusOf(findings: readonly StatusFinding[]): number {
  const kinds = new Set(findings.map(({ kind }) => kind));
  if (kinds.has('expiry')) return EXIT_CODES['trust-expired'];
  if (kinds.has('conflict')) return EXIT_CODES.conflict;
  const waits = kinds.has('waiting') || kinds.has('unsigned') || kinds.has('structure') || kinds.has('newer');
  return waits ? EXIT_CODES.staged : 0;
}
