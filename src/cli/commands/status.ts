import { randomInt } from 'node:crypto';
import type { Command } from 'commander';
import { parseDuration } from '../../encoding/time.ts';
import { BullaError, EXIT_CODES, isBullaError } from '../../errors.ts';
import { parseReference } from '../../oci/reference.ts';
import type { Beside, StatusFinding } from '../../trust/report/status.ts';
import { addCollectionOptions, type CollectionFlags } from '../flags/collection-flags.ts';
import type { Shown } from '../flags/shown-collection.ts';
import type { Cli, Context } from '../shell/context.ts';

interface StatusFlags extends CollectionFlags {
  readonly check?: true;
  readonly warnBefore?: string;
  readonly bins?: true;
}

/** More bins are read only if that is asked for. */
const BINS_READ = 256;

export function register(program: Command, cli: Cli): void {
  addCollectionOptions(program.command('status'))
    .summary('show what of a trust collection expires, waits, or is in conflict')
    .description(
      'Shows until when each role of a trust collection counts, which changes wait to be taken up or to be signed, and which are in conflict; and for each what to do about it.',
    )
    .argument('<repository>', 'repository, oci:DIR or oci-archive:FILE')
    .option(
      '--check',
      'exit with 20 if a role has expired or soon will, else 30 if there is a conflict, else 31 if something waits',
    )
    .option(
      '--warn-before <duration>',
      'how long before its expiry a role is reported (default: 30d; 3d for snapshot and timestamp)',
    )
    .option(
      '--bins',
      `read all bins to see which expires first (more than ${BINS_READ} are not read otherwise)`,
    )
    .action(async (text: string, flags: StatusFlags, command: Command) => {
      cli.exitStatus = await printStatus(await cli.open(command), text, flags);
    });
}

/** @returns the status of the command */
async function printStatus(context: Context, text: string, flags: StatusFlags): Promise<number> {
  const [{ demandShown }, { statusOf }, { statusJson, statusLines }] = await Promise.all([
    import('../flags/shown-collection.ts'),
    import('../../trust/report/status.ts'),
    import('../render/status-text.ts'),
  ]);
  const warnBefore = durationOf(flags.warnBefore);
  const shown = await demandShown(context, parseReference(text), flags);
  const now = context.io.now();
  const bins = shown.copy.bins?.bitLength ?? 0;
  const status = await statusOf(shown.copy, await besideHead(context, shown, now), {
    now,
    warnBefore,
    bins: flags.bins === true || 2 ** bins <= BINS_READ,
    signal: context.signal,
  });
  context.output.drawing(statusLines(status, text, now), {
    trusted: shown.trusted,
    ...statusJson(status, text, now),
  });
  // A collection that cannot be changed is a failure, with any flags.
  const broken = status.findings.find(({ kind }) => kind === 'broken');
  if (broken !== undefined) return EXIT_CODES['content-invalid'];
  return flags.check === true ? exitStatusOf(status.findings) : 0;
}

/** What lies beside the head; undefined where the registry does not let us list it. */
async function besideHead(context: Context, { opened, copy }: Shown, now: Date): Promise<Beside | undefined> {
  const [{ SiblingReader }, { readStagedChanges }] = await Promise.all([
    import('../../trust/candidates/siblings.ts'),
    import('../../trust/approve/stage-change.ts'),
  ]);
  const { target } = opened;
  const { signal } = context;
  const chance = { fraction: () => randomInt(2 ** 32) / 2 ** 32 };
  try {
    const found = await new SiblingReader(target, chance, { signal }).read(copy, now);
    return { found, staged: await readStagedChanges(target, copy, found.roleChanges, now, { signal }) };
  } catch (error) {
    if (!isBullaError(error, 'forbidden', 'unauthorized', 'registry-error', 'not-found')) throw error;
    context.output.warn(`what waits beside the head is not known: ${error.message}`);
    return undefined;
  }
}

function exitStatusOf(findings: readonly StatusFinding[]): number {
  const kinds = new Set(findings.map(({ kind }) => kind));
  if (kinds.has('expiry')) return EXIT_CODES['trust-expired'];
  if (kinds.has('conflict')) return EXIT_CODES.conflict;
  const waits = kinds.has('waiting') || kinds.has('unsigned') || kinds.has('structure') || kinds.has('newer');
  return waits ? EXIT_CODES.staged : 0;
}

function durationOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const milliseconds = parseDuration(text);
  if (milliseconds !== undefined) return milliseconds;
  throw new BullaError('usage', `--warn-before ${JSON.stringify(text)} is not a duration`, {
    hint: 'write 12h, 30d',
  });
}
