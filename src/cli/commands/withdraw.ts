import type { Command } from 'commander';
import { addCollectionOptions, type CollectionFlags } from '../flags/collection-flags.ts';
import { addTrustKeyOptions, type TrustKeyFlags } from '../flags/key-flags.ts';
import type { Cli, Context } from '../shell/context.ts';

interface WithdrawFlags extends CollectionFlags, TrustKeyFlags {
  readonly yes?: true;
}

export function register(program: Command, cli: Cli): void {
  addTrustKeyOptions(addCollectionOptions(program.command('withdraw')))
    .summary('take back a staged change')
    .description(
      'Removes a change that bulla pending lists. A change that none of your keys has signed is only removed ' +
        'after confirmation. Where the registry removes nothing, its tag is moved to an empty object. The ' +
        'signatures are not revoked: a copy of the change stays valid until the collection changes.',
    )
    .argument('<repository>', 'HOST/REPOSITORY, or oci:DIR')
    .argument('<id>', 'id of a staged change')
    .option('-y, --yes', 'do not ask; a change of others must then be given by all digits of its id')
    .action(async (repository: string, id: string, flags: WithdrawFlags, command: Command) => {
      await withdraw(await cli.open(command), repository, id, flags);
    });
}

async function withdraw(context: Context, text: string, id: string, flags: WithdrawFlags): Promise<void> {
  const [{ withdrawStage }, { openChangePlace, repositoryIn }, render, { confirm }, change] =
    await Promise.all([
      import('../../actions/change/withdraw.ts'),
      import('../flags/change-flags.ts'),
      import('../render/pending-text.ts'),
      import('../shell/confirm.ts'),
      import('../../trust/approve/change-id.ts'),
    ]);
  const { io, output } = context;
  const place = await openChangePlace(context, repositoryIn(text), flags, flags);
  const { waiting, isOwn, removed, overwritten } = await withdrawStage(place, id, {
    onFound: (found) => output.told(render.waitingLines(found, true)),
    confirm: async (found) => {
      const isAgreed = flags.yes === true && change.isWholeId(id);
      const hint = `none of your keys has signed it; to withdraw it anyway, give its whole id and --yes: ${found.id}`;
      await confirm(io, `None of your keys has signed ${found.id}. Withdraw it?`, isAgreed, 'it stays', hint);
    },
  });
  if (overwritten.length > 0)
    output.info(`the registry removes nothing: ${overwritten.join(', ')} leads to an empty object now`);
  output.result(waiting.id, {
    collection: place.name,
    place: place.place,
    ...render.waitingJson(waiting),
    own: isOwn,
    removed,
    overwritten,
  });
}
