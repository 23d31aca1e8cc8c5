import { type Command, InvalidArgumentError } from 'commander';
import { formatTime } from '../../encoding/time.ts';
import { parseReference } from '../../oci/reference.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import { addCollectionOptions, type CollectionFlags } from '../flags/collection-flags.ts';
import type { Cli, Context } from '../shell/context.ts';

interface LogFlags extends CollectionFlags {
  readonly role?: string;
  readonly name?: string;
  readonly max?: number;
}

/** Changes that are shown unless more are asked for. */
const CHANGES_SHOWN = 50;

export function register(program: Command, cli: Cli): void {
  addCollectionOptions(program.command('log'))
    .summary('show who changed which name, and when')
    .description(
      'Shows the changes of names in the signed logs of a trust collection, newest first, and the time from which the logs are complete; then the changes of root keys.',
    )
    .argument('<repository>', 'repository, oci:DIR or oci-archive:FILE')
    .option('--role <role>', 'only changes of this role')
    .option('--name <tag>', 'only changes of this name')
    .option('-n, --max <n>', `most changes that are shown (default: ${CHANGES_SHOWN})`, wholeNumber)
    .action(async (text: string, flags: LogFlags, command: Command) => {
      await printLog(await cli.open(command), text, flags);
    });
}

async function printLog(context: Context, text: string, flags: LogFlags): Promise<void> {
  const [{ demandShown, keyNames }, { historyOf }, { historyJson, historyLines }] = await Promise.all([
    import('../flags/shown-collection.ts'),
    import('../../trust/report/history.ts'),
    import('../render/history-text.ts'),
  ]);
  const shown = await demandShown(context, parseReference(text), flags);
  const history = await historyOf(shown.copy);
  for (const { name } of shown.copy.delegations.roles)
    if (!history.since.has(name)) context.output.warn(`${name} has no log: another tool has made it`);
  const wanted = history.changes.filter(
    ({ role, entry }) =>
      (flags.role === undefined || role === flags.role) &&
      (flags.name === undefined ||
        entry.set?.has(flags.name) === true ||
        entry.unset?.has(flags.name) === true),
  );
  const drawing = {
    now: context.io.now(),
    keys: keyTexts(shown.copy, await keyNames(context)),
    only: flags.name,
    max: flags.max ?? CHANGES_SHOWN,
  };
  const { place, id } = shown.looked.collection;
  context.output.drawing(historyLines({ ...history, changes: wanted }, drawing), {
    place,
    collection: id,
    trusted: shown.trusted,
    since: Object.fromEntries([...history.since].map(([role, since]) => [role, formatTime(since)])),
    ...historyJson({ ...history, changes: wanted }, drawing),
  });
}

function keyTexts(copy: WorkingCopy, names: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const { keys } = copy.delegations;
  return new Map(
    [...keys].flatMap(([keyid, key]) => {
      const name = names.get(key.fingerprint ?? '');
      return name === undefined ? [] : [[keyid, name] as const];
    }),
  );
}

function wholeNumber(text: string): number {
  if (/^[0-9]{1,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number.');
}
