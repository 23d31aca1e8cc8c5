import type { RecoveryCollection, RecoveryRole, RecoveryState } from './state.ts';
import {
  changeSteps,
  idsOf,
  isExpired,
  type LossDetails,
  missingHere,
  overSteps,
  type RecoveryPlan,
  roleOf,
} from './steps.ts';

/** A clock is wrong for certain if it is off by more than this, in milliseconds. */
const CLOCK_MARGIN_MS = 5 * 60_000;

/** Files that are dated wrongly are signed again, now that the clock is right. */
export function planOfClock(
  state: RecoveryState,
  collection: RecoveryCollection,
  { lost }: LossDetails,
): RecoveryPlan {
  const { repository, now } = state;
  const wrong = collection.roles.filter((role) => isMisdated(role, collection, now));
  const offline = wrong.filter(({ kind }) => kind !== 'online');
  const isAhead = wrong.some(({ expires, lifetime }) => isTooLate(expires, lifetime, now));
  const online = roleOf(collection, 'online');
  // The first change makes the head fresh again.
  const vouched = isExpired(collection, now) ? ['--trust-served-head', collection.head] : [];
  const renewals = offline.map((role, at) => {
    const signing = role.kind === 'root' ? roleOf(collection, 'root') : role;
    return changeSteps(
      state,
      collection,
      [role.role, '--renew', ...(at === 0 ? vouched : [])],
      [signing],
      `the files of ${role.role} with the right time; snapshot and timestamp too`,
    );
  });
  const resign = {
    command: ['bulla', 'resign', repository, '--renew', ...vouched],
    why: 'snapshot and timestamp with the right time',
    ...(missingHere(online).length > 0 && { where: `where the online key is (${idsOf(online.keys)})` }),
  };
  return {
    lost,
    isStolen: false,
    keys: [],
    steps: [
      {
        command: ['date', '-u'],
        why: 'the clock must be right first',
        where: 'on every machine that signs',
      },
      ...renewals.flat(),
      ...(offline.length === 0 && wrong.length > 0 ? [resign] : []),
    ],
    readers: [
      'files that have expired: trust-expired (exit 20) until they are signed again',
      'files that are dated ahead: names verify; changes with a right date may be taken for older ones',
      'a reader whose own clock is wrong: only that clock has to be set',
    ],
    unsaved: isAhead
      ? [
          'files that are dated ahead stay valid until then for readers that remember nothing: to end that, rotate the keys of those roles',
        ]
      : [],
    over: overSteps(state),
  };
}

function isMisdated(
  { expires, lifetime }: RecoveryRole,
  { created }: RecoveryCollection,
  now: Date,
): boolean {
  const isFuture = created !== undefined && created.getTime() > now.getTime() + CLOCK_MARGIN_MS;
  return expires <= now || isTooLate(expires, lifetime, now) || isFuture;
}

function isTooLate(expires: Date, lifetime: number, now: Date): boolean {
  return expires.getTime() > now.getTime() + lifetime + CLOCK_MARGIN_MS;
}
