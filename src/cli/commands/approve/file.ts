import { approveChange } from '../../../actions/change/approve.ts';
import { BullaError, isBullaError } from '../../../errors.ts';
import { keysAtHand } from '../../flags/trust-keys.ts';
import { printChangeFile, tellMissing } from '../../render/change-text.ts';
import { confirmSigning } from '../../shell/confirm.ts';
import type { Context } from '../../shell/context.ts';
import { trustMemory } from '../../shell/trust-stores.ts';
import { readChange, writeChange } from '../change/files.ts';
import { type ApproveFlags, tellWhole } from './flags.ts';

/** `bulla approve FILE` */
export async function approveFile(context: Context, path: string, flags: ApproveFlags): Promise<void> {
  const { io, output } = context;
  const file = await readChange(context, path).catch((cause: unknown) => {
    if (!isBullaError(cause, 'not-found')) throw cause;
    throw new BullaError('not-found', cause.message, {
      cause,
      hint: 'check the path; a change that is staged in a repository has an id: bulla pending REPOSITORY lists them',
    });
  });
  const { change, added } = await approveChange(file, keysAtHand(context, flags), {
    now: io.now(),
    memory: await trustMemory(context),
    expected: flags.change,
    dryRun: flags.dryRun,
    onWarning: (message) => output.warn(message),
    review: (shown) =>
      tellWhole(output, flags.change, [
        `a change of ${shown.name}, collection ${shown.change.id}`,
        `change ${shown.digest}`,
        ...shown.describe().map((line) => `  ${line}`),
      ]),
    confirm: () => confirmSigning(io, 'Sign this change?', flags.yes === true),
  });
  if (flags.dryRun === true) return printChangeFile(output, change, path);
  const out = flags.out ?? path;
  await writeChange(context, out, change, out === path);
  output.info(`signed with ${added} ${added === 1 ? 'signature' : 'signatures'}`);
  printChangeFile(output, change, out);
  tellMissing(output, change.missing(), out);
}
