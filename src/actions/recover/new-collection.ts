import { newKeyStep } from './new-key.ts';
import type { RecoveryCollection, RecoveryState } from './state.ts';
import {
  changeSteps,
  dayOf,
  freshName,
  type LossDetails,
  missingHere,
  overSteps,
  plain,
  type RecoveryPlan,
  type RecoveryStep,
  roleOf,
} from './steps.ts';

/** File with the names of a collection. */
const NAMES_FILE = 'recover-names.txt';

/** A root key that nothing can replace: another collection, with other keys. */
export function planOfOnlyRoot(
  state: RecoveryState,
  collection: RecoveryCollection,
  loss: LossDetails,
): RecoveryPlan {
  const { repository, keyNames } = state;
  const isStolen = loss.isStolen === true;
  const root = roleOf(collection, 'root');
  const fresh = freshName('root', new Set(keyNames));
  const isHere = missingHere(root).length === 0;
  const rest = { lost: 'only-root-key' as const, isStolen, keys: root.keys.map(({ keyid }) => keyid) };
  const over = overSteps(state);
  if (isStolen && isHere)
    return {
      ...rest,
      steps: [
        newKeyStep(fresh, 'a new root key', root.keys[0], state.kept),
        ...changeSteps(
          state,
          collection,
          ['root', '--key', fresh],
          [root],
          'readers that see it no longer accept the old key',
        ),
        {
          command: ['bulla', 'tree', repository],
          why: 'the thief may have been faster: if it lists a key that is not yours, make a new collection: run this again with --lost only-root-key, and without --stolen',
        },
        ...pinSteps(state, fresh),
      ],
      readers: [
        'names verify; until you publish the new root, readers also accept a root that the thief publishes',
        'afterwards, readers that have seen the new root no longer accept the old key',
      ],
      unsaved: [
        'readers that pinned the id of the old key and remember nothing: the thief can show them another collection until they pin again',
        'what the thief has signed by then: rotate names and online too if the key of that role was on the same machine',
      ],
      over,
    };
  return {
    ...rest,
    steps: [
      {
        command: ['bulla', 'ls', repository, '--references', '--out', NAMES_FILE],
        why: 'the names with their digests; compare them with what you know',
      },
      newKeyStep(fresh, 'a new root key; make a copy of it this time', root.keys[0], state.kept),
      ...initSteps(state, collection, fresh, isStolen),
      {
        command: ['bulla', 'sign', '--from', NAMES_FILE, '--name-only'],
        why: 'the same names, in the new collection',
      },
      ...signerSteps(state, collection),
      ...pinSteps(state, fresh),
    ],
    readers: [
      isStolen
        ? 'until they pin the new root: what the thief shows them, or the old names'
        : `nothing changes before you make the new collection: publishing and re-signing go on until root expires, on ${dayOf(root.expires)}`,
      'after that, readers that know the old collection end with trust-invalid (exit 22): "another collection than before"',
    ],
    unsaved: [
      'the old collection: nothing can be changed in it any more that only root may change',
      'every reader, CI job and re-signer that pinned or has seen the old collection must pin the new root',
      'the log of names: it begins anew',
    ],
    over,
  };
}

/** The new collection in place of the old one. Keys that were not lost are used again, unless a thief was there. */
function initSteps(
  { repository, keyNames }: RecoveryState,
  collection: RecoveryCollection,
  root: string,
  isStolen: boolean,
): readonly RecoveryStep[] {
  const used = new Set([...keyNames, root]);
  const steps: RecoveryStep[] = [];
  const keysOf = (kind: 'names' | 'online'): readonly string[] => {
    const { keys } = roleOf(collection, kind);
    const here = keys.flatMap(({ name }) => (name === undefined ? [] : [name]));
    if (!isStolen && here.length === keys.length) return here;
    const name = freshName(kind === 'names' ? 'publisher' : 'online', used);
    steps.push({
      command: ['bulla', 'key', 'generate', name],
      why: isStolen ? `a new key for ${kind}` : `a new key for ${kind}, whose key is not on this machine`,
    });
    return [name];
  };
  const [names, online] = [keysOf('names'), keysOf('online')];
  const { threshold } = roleOf(collection, 'names');
  return [
    ...steps,
    {
      command: [
        ...['bulla', 'init', repository, '--replace', collection.id.slice(0, 12), '--root-key', root],
        ...names.flatMap((name) => ['--publisher-key', name]),
        ...online.flatMap((name) => ['--online-key', name]),
        ...(threshold > 1 && threshold <= names.length ? ['--threshold', `names=${threshold}`] : []),
      ],
      why: 'the new collection takes the place of the old one',
    },
  ];
}

function signerSteps({ repository }: RecoveryState, { roles }: RecoveryCollection): readonly RecoveryStep[] {
  return roles
    .filter(({ kind }) => kind === 'signer')
    .flatMap(({ role, keys, threshold, paths = [] }) => [
      ...keys.map(({ name }, at) => ({
        command: ['bulla', 'key', 'export', name ?? plain(role), '--public', '--out', publicFile(role, at)],
        why: `the public key of ${role}`,
        ...(name === undefined && { where: `where the key of ${role} is` }),
      })),
      {
        command: [
          ...['bulla', 'signer', 'add', repository, role],
          ...keys.flatMap((_, at) => ['--key', publicFile(role, at)]),
          ...(threshold > 1 ? ['--threshold', String(threshold)] : []),
          ...paths.filter((path) => path !== '*').flatMap((path) => ['--path', path]),
        ],
        why: `${role} signs its names again afterwards`,
        exits: [0, 31],
      },
    ]);
}

/** What every reader has to do; the id of the new key is known once it was made. */
function pinSteps({ repository }: RecoveryState, key: string): readonly RecoveryStep[] {
  return [
    {
      command: ['bulla', 'key', 'show', key],
      why: 'shows its key id: give it to all readers over a channel that they trust, in place of KEY_ID below',
    },
    {
      command: ['bulla', 'pin', repository, '--root-key-id', 'KEY_ID'],
      why: 'forgets the old root, and pins the new one',
      where: 'on every machine that verifies',
    },
  ];
}

function publicFile(role: string, at: number): string {
  return `${plain(role)}-${at + 1}.pub`;
}
