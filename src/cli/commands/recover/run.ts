import { recoveryPlan } from '../../../actions/recover/plan.ts';
import { readRecovery } from '../../../actions/recover/read.ts';
import { LOSSES, type Loss, type LossDetails } from '../../../actions/recover/steps.ts';
import { BullaError } from '../../../errors.ts';
import { formatRepository, parseReference } from '../../../oci/reference.ts';
import { repositoryIn } from '../../flags/change-flags.ts';
import { type CollectionFlags, openCollection } from '../../flags/collection-flags.ts';
import { keystoreOf } from '../../flags/keys.ts';
import { keysAtHand } from '../../flags/trust-keys.ts';
import { recoveryJson, recoveryLines } from '../../render/recovery-text.ts';
import { choose } from '../../shell/confirm.ts';
import type { Context } from '../../shell/context.ts';

export interface RecoverFlags extends CollectionFlags {
  readonly lost?: Loss;
  readonly key?: readonly string[];
  readonly stolen?: true;
  readonly backup?: string;
}

/** What each loss is, for a person who is asked. */
const QUESTIONS: Readonly<Record<Loss, string>> = {
  'publisher-key': 'the key of a publisher: a laptop or a CI job that signs names was stolen or lost',
  'online-key': 'the online key, which re-signs the timestamp',
  'root-key': 'one of several root keys',
  'only-root-key': 'the only root key, or more of them than the threshold allows',
  registry: 'the registry was restored from a backup',
  clock: 'the clock of a machine that signs was wrong',
  'trust-tag': 'the tag _trust was deleted or overwritten',
};

/** `bulla recover` */
export async function recover(context: Context, text: string, flags: RecoverFlags): Promise<void> {
  const reference = repositoryIn(text);
  const { output, settings, signal } = context;
  const lost = flags.lost ?? (await askLoss(context));
  const asks = lost === 'only-root-key' && flags.lost === undefined;
  const isStolen = flags.stolen ?? (asks ? await askStolen(context) : undefined);
  const { backup } = flags;
  const opened = await openCollection(context, reference, flags);
  const before =
    backup === undefined
      ? undefined
      : await openCollection(context, parseReference(backup), { collection: opened.name });
  const stored = await keystoreOf(context).list();
  const looksForImages = lost === 'registry' || lost === 'trust-tag';
  const state = await readRecovery({
    repository: formatRepository(reference),
    opened,
    ...(looksForImages && { images: await context.openSource(reference) }),
    ...(before !== undefined && { backup: before }),
    keys: keysAtHand(context, {}),
    keyNames: new Set(stored.map(({ name }) => name)),
    kept: new Map(
      stored.flatMap((key) => ('kept' in key && key.kept !== undefined ? [[key.name, key.kept.uri]] : [])),
    ),
    concurrency: settings.concurrency,
    signal,
    onWarning: (message) => output.warn(message),
  });
  const loss: LossDetails = { lost, keys: flags.key ?? [], isStolen, backup };
  const plan = recoveryPlan(state, loss);
  output.drawing(recoveryLines(plan, state.repository), recoveryJson(plan, state));
}

/** @throws BullaError usage without a terminal */
async function askLoss(context: Context): Promise<Loss> {
  const answer = await choose(
    context.io,
    'What was lost?',
    LOSSES.map((loss) => QUESTIONS[loss]),
  );
  const lost = answer === undefined ? undefined : LOSSES[answer];
  if (lost !== undefined) return lost;
  throw new BullaError('usage', 'it is not clear what was lost, and there is no terminal to ask on', {
    hint: `give --lost, one of: ${LOSSES.join(', ')}`,
  });
}

async function askStolen({ io }: Context): Promise<boolean> {
  const answer = await choose(io, 'Can someone else have the key?', [
    'yes: it was stolen, or copied',
    'no: it was destroyed, or its passphrase is forgotten',
  ]);
  return answer !== 1;
}
