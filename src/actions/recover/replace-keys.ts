import { BullaError } from '../../errors.ts';
import { planOfOnlyRoot } from './new-collection.ts';
import { newKeyStep } from './new-key.ts';
import type { RecoveryCollection, RecoveryKey, RecoveryName, RecoveryRole, RecoveryState } from './state.ts';
import {
  changeSteps,
  type Demand,
  dayOf,
  demandCollection,
  freshName,
  isExpired,
  type Loss,
  type LossDetails,
  overSteps,
  plain,
  type RecoveryPlan,
  type RecoveryStep,
} from './steps.ts';

/** Most names in one command. */
const NAMES_AT_ONCE = 20;

/** What of a role's keys has to be replaced, and what is left. */
interface Replacement {
  readonly role: RecoveryRole;
  readonly lost: readonly RecoveryKey[];
  readonly left: readonly RecoveryKey[];
  /** Names for the new keys. */
  readonly fresh: readonly string[];
}

/** The order in which roles lose keys. A change of online takes back versions of names that a thief has raised. */
const ORDER: readonly RecoveryRole['kind'][] = ['root', 'targets', 'online', 'names', 'signer'];

/** Keys of roles that are replaced, as far as the keys that are left allow it. */
export function planOfKeys(state: RecoveryState, loss: LossDetails): RecoveryPlan {
  const collection = demandCollection(state);
  const lost = lostKeys(collection, loss);
  const used = new Set(state.keyNames);
  const inOrder = collection.roles.toSorted((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
  const replacements = inOrder.flatMap((role): Replacement[] => {
    const gone = role.keys.filter(({ keyid }) => lost.has(keyid));
    if (gone.length === 0) return [];
    const left = role.keys.filter(({ keyid }) => !lost.has(keyid));
    return [{ role, lost: gone, left, fresh: gone.map(() => freshName(nameFor(role), used)) }];
  });
  const root = replacements.find(({ role }) => role.kind === 'root' || role.kind === 'targets');
  if (root !== undefined && root.left.length < root.role.threshold)
    return planOfOnlyRoot(state, collection, { ...loss, isStolen: loss.isStolen ?? true });
  const kinds = new Set(replacements.map(({ role }) => role.kind));
  const signs = kinds.has('names') || kinds.has('signer');
  return {
    lost: loss.lost,
    isStolen: true,
    keys: [...lost],
    steps: [
      ...replacements.flatMap((replacement) => replacementSteps(state, collection, replacement)),
      ...(signs ? nameSteps(state, loss) : []),
      ...(kinds.has('online') ? onlineSteps(state, replacements) : []),
    ],
    readers: [...kinds].flatMap((kind) => readersDuring(kind, collection)),
    unsaved: [...kinds].flatMap((kind) => UNSAVED[kind]),
    over: overSteps(state),
  };
}

function replacementSteps(
  state: RecoveryState,
  collection: RecoveryCollection,
  { role, lost, left, fresh }: Replacement,
): readonly RecoveryStep[] {
  const words = [
    role.role,
    ...lost.flatMap(({ keyid }) => ['--drop', keyid]),
    ...fresh.flatMap((name) => ['--key', name]),
    ...(isExpired(collection, state.now) ? ['--trust-served-head', collection.head] : []),
  ];
  const next: Demand = {
    ...role,
    keys: [...left, ...fresh.map((name) => ({ keyid: name, name }))],
  };
  const above = collection.roles.find(
    ({ kind }) => kind === (role.kind === 'names' || role.kind === 'signer' ? 'targets' : 'root'),
  );
  // The lost key itself signs nothing any more, wherever it still is.
  const old = above ?? collection.roles.find(({ kind }) => kind === 'root');
  const signing = old && {
    ...old,
    keys: old.keys.filter(({ keyid }) => !lost.some((key) => key.keyid === keyid)),
  };
  return [
    ...fresh.map((name, at) => newKeyStep(name, `a new key for ${role.role}`, lost[at], state.kept)),
    ...changeSteps(
      state,
      collection,
      words,
      [...(signing === undefined ? [] : [signing]), next],
      `${role.role} loses the key, and nothing that it has staged is taken in`,
    ),
  ];
}

/** Names are put back to what they were before the loss, by a key that was not lost. */
function nameSteps(
  { repository, changedNames }: RecoveryState,
  { backup }: LossDetails,
): readonly RecoveryStep[] {
  if (changedNames === undefined)
    return [
      {
        command: ['bulla', 'log', repository],
        why: 'look for changes of names that you did not make: times and keys in it are what their makers claim',
      },
      {
        command: ['bulla', 'ls', repository],
        why: 'compare each digest with your last list of it, a mirror or a build log; with a copy from before the loss, run this again with --backup COPY',
      },
    ];
  const { earlier, added } = changedNames;
  const retag = earlier.map(({ tag, digest }) => ({
    command: ['bulla', 'copy', `${repository}@${digest}`, `${repository}:${tag}`],
    why: `the tag as in ${backup}; leave out what you have released since`,
  }));
  const sign = inPieces(earlier).map((names) => ({
    command: [
      ...['bulla', 'sign'],
      ...names.map(({ tag, digest }) => `${repository}:${tag}@${digest}`),
      '--name-only',
    ],
    why: `as in ${backup}; leave out what you have released since`,
  }));
  const revoke = inPieces(added).map((names) => ({
    command: ['bulla', 'revoke', ...names.map(({ tag }) => `${repository}:${tag}`)],
    why: `not in ${backup}; leave out what you have released since`,
  }));
  return [
    ...retag,
    ...sign,
    ...revoke,
    {
      command: ['bulla', 'log', repository],
      why: 'shows what was put back; look for changes that you did not make',
    },
  ];
}

function onlineSteps(
  { repository, kept }: RecoveryState,
  replacements: readonly Replacement[],
): readonly RecoveryStep[] {
  const { fresh = [], lost = [] } = replacements.find(({ role }) => role.kind === 'online') ?? {};
  const isKept = (at: number): boolean => kept?.has(lost[at]?.name ?? '') === true;
  return [
    ...fresh.map((name, at) =>
      isKept(at)
        ? {
            command: ['bulla', 'key', 'show', name],
            why: 'for the re-signer, if one runs: put its URI in place of the old one, and restart it',
          }
        : {
            command: ['bulla', 'key', 'export', name, '--out', `${name}.key`],
            why: 'for the re-signer, if one runs: put the file in place of the old one, and restart it; it stays encrypted',
          },
    ),
    {
      command: ['bulla', 'pending', repository],
      why: 'a thief of the online key can hide changes: see that none of yours waits',
    },
  ];
}

const UNSAVED: Readonly<Record<RecoveryRole['kind'], readonly string[]>> = {
  root: [
    'readers that pinned ids of root keys, with the lost one among them, and that remember nothing: a thief can show them another collection; tell them to pin again, without it',
  ],
  targets: [],
  online: ['changes that a thief of the online key hid from you: their authors must make them again'],
  names: [
    'images that ran while a wrong digest was signed: the log shows since when',
    'signatures of images by the same key stay valid: readers that verify with --key or a policy must replace the public key; then sign those images again',
  ],
  signer: [
    'images that ran while a wrong digest was signed: the log shows since when',
    'signatures of images by the same key stay valid: readers that verify with --key or a policy must replace the public key',
  ],
};

function readersDuring(kind: RecoveryRole['kind'], { roles }: RecoveryCollection): readonly string[] {
  switch (kind) {
    case 'online': {
      const online = roles.find((role) => role.kind === 'online');
      return [
        `names verify until ${dayOf(online?.expires)} (then trust-expired, exit 20); a thief can keep readers at an old state until then, but cannot change a name`,
      ];
    }
    case 'root':
    case 'targets':
      return ['nothing: names verify, and readers follow to the new root by themselves'];
    case 'names':
    case 'signer':
      return [
        'names verify as before; until the change of keys is published, readers also accept what the thief signs',
      ];
  }
}

/** The ids of the keys that were lost. @throws BullaError usage where that is not clear */
function lostKeys({ roles }: RecoveryCollection, { lost, keys = [] }: LossDetails): ReadonlySet<string> {
  const all = roles.flatMap((role) => role.keys);
  const kinds = LOST_KINDS[lost] ?? [];
  const candidates = roles.filter(({ kind }) => kinds.includes(kind));
  const ids = [...new Set(candidates.flatMap((role) => role.keys.map(({ keyid }) => keyid)))];
  if (keys.length === 0) {
    if (ids.length === 1) return new Set(ids);
    throw ambiguous(lost, candidates);
  }
  return new Set(
    keys.map((text) => {
      const found = all.filter(
        ({ keyid, name }) => name === text || (text.length >= 8 && keyid.startsWith(text)),
      );
      const [first] = found;
      if (first !== undefined && found.every(({ keyid }) => keyid === first.keyid)) return first.keyid;
      throw ambiguous(lost, roles, text);
    }),
  );
}

const LOST_KINDS: Readonly<Partial<Record<Loss, readonly RecoveryRole['kind'][]>>> = {
  'publisher-key': ['names', 'signer'],
  'online-key': ['online'],
  'root-key': ['root', 'targets'],
};

function ambiguous(lost: Loss, roles: readonly RecoveryRole[], text?: string): BullaError {
  const listed = roles.flatMap(({ role, keys }) =>
    keys.map(({ keyid, name }) => `${role} ${keyid.slice(0, 12)}${name === undefined ? '' : ` (${name})`}`),
  );
  return new BullaError(
    'usage',
    text === undefined
      ? `which ${lost} was lost is ambiguous: ${listed.join(', ')}`
      : `${JSON.stringify(text.slice(0, 80))} is not a key of this collection: ${listed.join(', ')}`,
    {
      hint: 'give its id or its name in the key store: --key KEY; repeat it for several',
      details: { keys: roles.flatMap(({ role, keys }) => keys.map(({ keyid }) => ({ role, keyid }))) },
    },
  );
}

function nameFor({ role, kind }: RecoveryRole): string {
  return kind === 'names' ? 'publisher' : kind === 'targets' ? 'root' : plain(role);
}

function* pieced(names: readonly RecoveryName[]): Generator<readonly RecoveryName[]> {
  for (let at = 0; at < names.length; at += NAMES_AT_ONCE) yield names.slice(at, at + NAMES_AT_ONCE);
}

function inPieces(names: readonly RecoveryName[]): readonly (readonly RecoveryName[])[] {
  return [...pieced(names)];
}
