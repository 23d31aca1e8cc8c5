import type { Command } from 'commander';
import { addCollectionOptions, type CollectionFlags } from '../flags/collection-flags.ts';
import type { Cli, Context } from '../shell/context.ts';

interface PendingFlags extends CollectionFlags {
  readonly all?: true;
}

export function register(program: Command, cli: Cli): void {
  addCollectionOptions(program.command('pending'))
    .summary('list the changes that wait for signatures')
    .description(
      'Lists the changes staged beside a trust collection: id, content, who has signed and who may sign. ' +
        'Sign it with bulla approve REPOSITORY ID.',
    )
    .argument('<repository>', 'HOST/REPOSITORY, or oci:DIR')
    .option('--all', 'show every new name, even if there are very many')
    .action(async (repository: string, flags: PendingFlags, command: Command) => {
      await printPending(await cli.open(command), repository, flags);
    });
}

async function printPending(context: Context, text: string, flags: PendingFlags): Promise<void> {
  const [{ openCopy }, { listPending }, { openChangePlace, repositoryIn }, render, { pieces }] =
    await Promise.all([
      import('../../actions/change/place.ts'),
      import('../../actions/change/pending.ts'),
      import('../flags/change-flags.ts'),
      import('../render/pending-text.ts'),
      import('../render/printer.ts'),
    ]);
  const { output } = context;
  const opened = await openChangePlace(context, repositoryIn(text), flags, {}, {});
  const copy = await openCopy(opened);
  const { clock, chance, signal } = opened.publish;
  const list = await listPending(opened.target, copy, { now: clock.now(), chance, signal });
  const { waiting, refused } = list;
  output.result(waiting.flatMap((one) => render.waitingLines(one, flags.all !== true)).flatMap(pieces), {
    collection: copy.collection.name,
    place: opened.place,
    id: copy.collection.id,
    pending: waiting.map(render.waitingJson),
    refused: refused.map(({ tag, code, message }) => ({ tag, code, message })),
  });
  for (const { tag, message } of refused) output.warn(`${tag} is ignored: ${message}`);
  if (waiting.length === 0) output.info(`nothing waits at ${opened.place}`);
}
