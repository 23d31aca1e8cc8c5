import type { RecoveryCollection, RecoveryState } from './state.ts';
import {
  changeSteps,
  freshName,
  type LossDetails,
  missingHere,
  overSteps,
  type RecoveryPlan,
  type RecoveryStep,
  roleOf,
} from './steps.ts';

/** Where a copy of the repository may be, if the user named none. */
const SOME_BACKUP = 'oci:backup';

/** The newest head is put back, from the memory of this machine or from a copy. */
export function planOfRegistry(state: RecoveryState, loss: LossDetails): RecoveryPlan {
  const { repository, source, collection, missingImages } = state;
  const { lost, backup = SOME_BACKUP } = loss;
  const isLastResort = lost === 'registry' && source === 'served' && loss.backup === undefined;
  if (isLastResort && collection !== undefined) return planOfLastResort(state, collection);
  const online = collection?.roles.find(({ kind }) => kind === 'online');
  const canResign = online !== undefined && missingHere(online).length === 0;
  const putBack: RecoveryStep[] =
    source === 'remembered' && canResign
      ? [
          {
            command: ['bulla', 'resign', repository],
            why: 'this machine remembers the newest state, and puts it back; it ends with 21 because that is an alarm',
            exits: [0, 21, 22],
          },
        ]
      : [
          {
            command: ['bulla', 'copy', `${backup}:_trust`, `${repository}:_trust`],
            why: 'from a copy or a mirror of the repository; or run bulla resign on a machine that has the online key and saw the newest state',
          },
        ];
  const images = missingImages.map(({ tag }) => ({
    command: ['bulla', 'copy', `${backup}:${tag}`, `${repository}:${tag}`],
    why: 'a signed name whose image the registry does not have; without a copy, build and sign it again',
  }));
  return {
    lost,
    isStolen: false,
    keys: [],
    steps: [...putBack, ...images],
    readers:
      lost === 'trust-tag'
        ? [
            'readers that have seen or pinned the collection end with trust-invalid (exit 22): "no trust collection any more"; nothing is verified against the tags alone',
            'readers that know nothing of it see a repository without signed names',
          ]
        : [
            'readers that have seen a newer state end with trust-rollback (exit 21), and accept nothing older',
            'readers that remember nothing see the old names until the newest state is back',
          ],
    unsaved: [
      'images that were pushed, and names that were signed, after the backup, unless there is a copy of them',
      'signatures of images are not in the collection: bulla copy brings them from a mirror, else sign again',
    ],
    over: overSteps(state),
  };
}

/** The registry's old state is all that there is: new online keys make readers forget how new the lost state was. */
function planOfLastResort(state: RecoveryState, collection: RecoveryCollection): RecoveryPlan {
  const { repository, keyNames } = state;
  const online = roleOf(collection, 'online');
  const fresh = freshName('online', new Set(keyNames));
  const words = [
    online.role,
    ...online.keys.flatMap(({ keyid }) => ['--drop', keyid]),
    ...['--key', fresh, '--threshold', '1', '--restart'],
  ];
  return {
    lost: 'registry',
    isStolen: false,
    keys: online.keys.map(({ keyid }) => keyid),
    steps: [
      {
        command: ['bulla', 'key', 'generate', fresh],
        why: `only if no machine that publishes or re-signs remembers a newer state (run bulla recover there), and there is no copy (--backup): this makes the old state the newest`,
      },
      ...changeSteps(
        state,
        collection,
        words,
        [roleOf(collection, 'root')],
        'with new online keys, readers forget the versions that they have seen, and accept this state',
      ),
      {
        command: ['bulla', 'ls', repository],
        why: 'what was signed after the backup must be signed again, and what was revoked after it revoked again',
      },
    ],
    readers: [
      'readers that have seen a newer state end with trust-rollback (exit 21) until the online keys are replaced',
      'readers that remember nothing see the old names',
    ],
    unsaved: [
      'names that were signed, and revoked, after the backup: revoked names are valid again until you revoke them again',
      'root keys that were changed after the backup: readers that have seen the newer root end with trust-rollback, and must pin again',
    ],
    over: overSteps(state),
  };
}
