import type { Command } from 'commander';
import { EXIT_CODES } from '../../errors.ts';
import { parseReference } from '../../oci/reference.ts';
import type { CollectionStatus, StatusFinding } from '../../trust/report/status.ts';
import { addCollectionOptions, type CollectionFlags } from '../flags/collection-flags.ts';
import {
  addRepositoriesOptions,
  collectionsOf,
  isManyRepositories,
  type RepositoriesFlags,
} from '../flags/repositories.ts';
import { durationOf } from '../flags/values.ts';
import type { Cli, Context } from '../shell/context.ts';

interface StatusFlags extends CollectionFlags, RepositoriesFlags {
  readonly check?: true;
  readonly warnBefore?: string;
  readonly bins?: true;
}

export function register(program: Command, cli: Cli): void {
  addRepositoriesOptions(addCollectionOptions(program.command('status')))
    .summary('show what expires, waits, or conflicts in a trust collection')
    .description(
      'Shows when each role of a trust collection expires, which changes wait to be published or signed, and which conflict; and how to fix each. Of several repositories, one line for each says what is most urgent.',
    )
    .argument('[repository...]', 'repositories, oci:DIR or oci-archive:FILE; or HOST/PREFIX/*')
    .option(
      '--check',
      'exit with 20 if a role has expired or soon will, else 30 if there is a conflict, else 31 if something waits',
    )
    .option(
      '--warn-before <duration>',
      'report a role this long before its expiry (default: 30d; 3d for snapshot and timestamp)',
    )
    .option('--bins', 'read all bins to find the earliest expiry (by default, at most 256 are read)')
    .action(async (texts: readonly string[], flags: StatusFlags, command: Command) => {
      const context = await cli.open(command);
      const [text, ...others] = texts;
      const isOne = text !== undefined && others.length === 0 && !isManyRepositories(text, flags);
      const findings = isOne
        ? await printStatus(context, text, flags)
        : await printAll(context, texts, flags);
      // A collection that cannot be changed any more is a failure, with or without --check.
      if (findings.some(({ kind }) => kind === 'broken')) cli.exitStatus = EXIT_CODES['content-invalid'];
      else if (flags.check === true) cli.exitStatus = exitStatusOf(findings);
    });
}

interface FoundStatus {
  readonly status: CollectionStatus;
  readonly trusted: boolean;
}

async function statusAt(context: Context, text: string, flags: StatusFlags): Promise<FoundStatus> {
  const [{ readStatus }, { demandShown }, { SYSTEM_CHANCE }] = await Promise.all([
    import('../../actions/inspect/status.ts'),
    import('../flags/shown-collection.ts'),
    import('../../servers/system.ts'),
  ]);
  const warnBefore = durationOf('--warn-before', flags.warnBefore, '12h, 30d');
  const { opened, copy, trusted } = await demandShown(context, parseReference(text), flags);
  const status = await readStatus(opened.target, copy, {
    ...{ now: context.io.now(), warnBefore, chance: SYSTEM_CHANCE, signal: context.signal },
    allBins: flags.bins,
    onWarning: (message) => context.output.warn(message),
  });
  return { status, trusted };
}

/** @returns what was found */
async function printStatus(
  context: Context,
  text: string,
  flags: StatusFlags,
): Promise<readonly StatusFinding[]> {
  const { statusJson, statusLines } = await import('../render/status-text.ts');
  const { status, trusted } = await statusAt(context, text, flags);
  const now = context.io.now();
  context.output.drawing(statusLines(status, text, now), { trusted, ...statusJson(status, text, now) });
  return status.findings;
}

/**
 * One line for each repository, and one about all.
 * @returns what was found in all of them
 * @throws BullaError with the code of the worst failure, where the status of one could not be read
 */
async function printAll(
  context: Context,
  texts: readonly string[],
  flags: StatusFlags,
): Promise<readonly StatusFinding[]> {
  const [{ runMany }, { statusJson, statusLine }, { givenReferences }] = await Promise.all([
    import('../shell/many.ts'),
    import('../render/status-text.ts'),
    import('../flags/reference-list.ts'),
  ]);
  const [pattern] = texts;
  const repositories =
    texts.length < 2 && isManyRepositories(pattern, flags)
      ? await collectionsOf(context, pattern, flags)
      : await givenReferences(context, texts, flags.from);
  const findings: StatusFinding[] = [];
  const work = (text: string): Promise<FoundStatus> => statusAt(context, text, flags);
  await runMany(context, repositories, 'shown', work, ({ status, trusted }, text) => {
    const now = context.io.now();
    findings.push(...status.findings);
    const json = { given: text, trusted, ...statusJson(status, text, now) };
    context.output.drawing([statusLine(status, text, now)], json);
  });
  return findings;
}

function exitStatusOf(findings: readonly StatusFinding[]): number {
  const kinds = new Set(findings.map(({ kind }) => kind));
  if (kinds.has('expiry')) return EXIT_CODES['trust-expired'];
  if (kinds.has('conflict')) return EXIT_CODES.conflict;
  const waits = kinds.has('waiting') || kinds.has('unsigned') || kinds.has('structure') || kinds.has('newer');
  return waits ? EXIT_CODES.staged : 0;
}
