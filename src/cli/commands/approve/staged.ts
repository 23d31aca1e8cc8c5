import { approveStaged } from '../../../actions/change/approve.ts';
import type { Waiting } from '../../../actions/change/pending.ts';
import { BullaError } from '../../../errors.ts';
import { isWholeId } from '../../../trust/approve/change-id.ts';
import { openChangePlace, repositoryIn } from '../../flags/change-flags.ts';
import { awaitsSigners } from '../../flags/publish-flags.ts';
import { progressText, waitingJson, waitingLines } from '../../render/pending-text.ts';
import { confirmSigning } from '../../shell/confirm.ts';
import type { Context } from '../../shell/context.ts';
import { type ApproveFlags, tellWhole } from './flags.ts';

/** `bulla approve REPOSITORY ID` */
export async function approveAt(
  context: Context,
  repository: string,
  id: string,
  flags: ApproveFlags,
): Promise<void> {
  const { io, output } = context;
  if (flags.out !== undefined)
    throw new BullaError('usage', '--out is for bulla approve FILE', {
      hint: 'the signature of a staged change is pushed to the registry',
    });
  const named = flags.change ?? id;
  const place = await openChangePlace(context, repositoryIn(repository), flags, flags);
  const { waiting, stage, published } = await approveStaged(place, id, {
    expected: flags.change,
    dryRun: flags.dryRun,
    awaitsSigners: awaitsSigners(flags, place),
    onWarning: (message) => output.warn(message),
    onFound: (found) => tellWhole(output, named, waitingLines(found, false)),
    confirm: async (found) => {
      // With --yes nothing is read here: the change that was looked at before is given by its whole id.
      if (flags.yes === true && !isWholeId(named)) throw shortened(id, found);
      await confirmSigning(io, `Sign ${found.id}?`, flags.yes === true);
    },
  });
  if (stage !== null && published === null)
    for (const missing of waiting.missing) output.info(`signed; ${progressText(missing)}`);
  output.result(published ?? stage ?? waiting.id, {
    collection: place.name,
    place: place.place,
    ...waitingJson(waiting),
    stage,
    published,
  });
}

function shortened(id: string, waiting: Waiting): BullaError {
  return new BullaError('usage', `${id} is only the beginning of an id, and --yes needs all of it`, {
    hint: `another change may begin with the same digits: if ${waiting.id} is what you have looked at, give that`,
    details: { id: waiting.id },
  });
}
