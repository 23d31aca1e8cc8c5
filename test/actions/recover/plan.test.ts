import { describe, expect, it } from 'vitest';
import { recoveryPlan } from '../../../src/actions/recover/plan.ts';
import {
  compareNames,
  type RecoveryCollection,
  type RecoveryName,
  type RecoveryRole,
  type RecoveryState,
} from '../../../src/actions/recover/state.ts';
import type { LossDetails } from '../../../src/actions/recover/steps.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import type { Tag } from '../../../src/oci/reference.ts';

const NOW = new Date('2030-01-01T00:00:00Z');
const DAY_MS = 86_400_000;
const REPO = 'r.example/app';
const HEAD = `sha256:${'e'.repeat(64)}` as Digest;

const idOf = (letter: string): string => letter.repeat(64);
const digestOf = (letter: string): Digest => `sha256:${letter.repeat(64)}` as Digest;
const name = (tag: string, letter: string): RecoveryName => ({ tag: tag as Tag, digest: digestOf(letter) });

/** A role with keys `a`, `b` …: upper case where the private key is on this machine. */
function role(called: string, letters: string, change: Partial<RecoveryRole> = {}): RecoveryRole {
  const kind =
    called === 'root' || called === 'targets' || called === 'online' || called === 'names'
      ? called
      : 'signer';
  const lifetime = (kind === 'online' ? 14 : 365) * DAY_MS;
  return {
    ...{ role: called, kind, threshold: 1, lifetime },
    keys: [...letters].map((letter) => ({
      keyid: idOf(letter.toLowerCase()),
      ...(letter !== letter.toLowerCase() && { name: `key-${letter.toLowerCase()}` }),
    })),
    expires: new Date(NOW.getTime() + lifetime - DAY_MS),
    ...change,
  };
}

function state(
  roles: readonly RecoveryRole[],
  change: Partial<RecoveryState> = {},
  collection: Partial<RecoveryCollection> = {},
): RecoveryState {
  return {
    ...{ repository: REPO, now: NOW, keyNames: new Set<string>(), source: 'served', missingImages: [] },
    collection: { id: idOf('9'), head: HEAD, roles, names: [name('v1', '1')], ...collection },
    ...change,
  };
}

const ALL = [role('root', 'A'), role('names', 'B'), role('online', 'C')];
const OFFLINE = [role('root', 'a'), role('names', 'B'), role('online', 'c')];

/** The commands of a plan, shortened: without `bulla`, the repository, and the end that every plan has. */
function commands(from: RecoveryState, loss: LossDetails): readonly string[] {
  return recoveryPlan(from, loss).steps.map(({ command, where }) => {
    const words = command.filter((word) => word !== 'bulla' && word !== REPO);
    return `${where === undefined ? '' : `[${where}] `}${words.join(' ')}`.replaceAll(
      /([0-9a-f])\1{63}/g,
      '$1…',
    );
  });
}

const LOG = ['log', 'ls'];
const TABLE: Readonly<Record<string, readonly [RecoveryState, LossDetails, readonly string[]]>> = {
  'the key of names, all keys here': [
    state(ALL),
    { lost: 'publisher-key' },
    ['key generate publisher-2', 'rotate names --drop b… --key publisher-2', ...LOG],
  ],
  'the key of names, where publisher-2 is taken': [
    state(ALL, { keyNames: new Set(['publisher', 'publisher-2']) }),
    { lost: 'publisher-key' },
    ['key generate publisher-3', 'rotate names --drop b… --key publisher-3', ...LOG],
  ],
  'the key of names, root and online elsewhere': [
    state(OFFLINE),
    { lost: 'publisher-key' },
    [
      'key generate publisher-2',
      'rotate names --drop b… --key publisher-2 --export-unsigned recover-names.json',
      '[where the key of root is (aaaaaaaaaaaa)] approve recover-names.json',
      'rotate --import-signed recover-names.json --wait 0s',
      '[where the online key is (cccccccccccc)] resign',
      ...LOG,
    ],
  ],
  'one key of two of names, by its name in the key store': [
    state([role('root', 'A'), role('names', 'Bd'), role('online', 'C')]),
    { lost: 'publisher-key', keys: ['key-b'] },
    ['key generate publisher-2', 'rotate names --drop b… --key publisher-2', ...LOG],
  ],
  'one key of two of names that sign together': [
    state([role('root', 'A'), role('names', 'bd', { threshold: 2 }), role('online', 'C')]),
    { lost: 'publisher-key', keys: [idOf('b').slice(0, 12)] },
    [
      'key generate publisher-2',
      'rotate names --drop b… --key publisher-2 --export-unsigned recover-names.json',
      '[where the key of names is (dddddddddddd)] approve recover-names.json',
      'rotate --import-signed recover-names.json',
      ...LOG,
    ],
  ],
  'the key of a signer': [
    state([...ALL, role('ci', 'd')]),
    { lost: 'publisher-key', keys: [idOf('d')] },
    ['key generate ci-2', 'rotate ci --drop d… --key ci-2', ...LOG],
  ],
  'the key of a signer with a name that no file can have': [
    state([...ALL, role('../ci team', 'd')]),
    { lost: 'publisher-key', keys: [idOf('d')] },
    ['key generate ci_team-2', 'rotate ../ci team --drop d… --key ci_team-2', ...LOG],
  ],
  'names that differ from a copy': [
    state(ALL, { changedNames: { earlier: [name('v1', '7')], added: [name('evil', '8')] } }),
    { lost: 'publisher-key', backup: 'oci:backup' },
    [
      'key generate publisher-2',
      'rotate names --drop b… --key publisher-2',
      'copy r.example/app@sha256:7… r.example/app:v1',
      'sign r.example/app:v1@sha256:7… --name-only',
      'revoke r.example/app:evil',
      'log',
    ],
  ],
  'the online key': [
    state(ALL),
    { lost: 'online-key' },
    [
      'key generate online-2',
      'rotate online --drop c… --key online-2',
      'key export online-2 --out online-2.key',
      'pending',
    ],
  ],
  'the online key, after the timestamp has expired': [
    state([role('root', 'A'), role('names', 'B'), role('online', 'C', { expires: NOW })]),
    { lost: 'online-key' },
    [
      'key generate online-2',
      'rotate online --drop c… --key online-2 --trust-served-head sha256:e…',
      'key export online-2 --out online-2.key',
      'pending',
    ],
  ],
  'a key that names and online share: online first, because its versions start anew': [
    state([role('root', 'A'), role('names', 'B'), role('online', 'B')]),
    { lost: 'online-key' },
    [
      'key generate online-2',
      'rotate online --drop b… --key online-2',
      'key generate publisher-2',
      'rotate names --drop b… --key publisher-2',
      ...LOG,
      'key export online-2 --out online-2.key',
      'pending',
    ],
  ],
  'one of two root keys': [
    state([role('root', 'Ad'), role('names', 'B'), role('online', 'C')]),
    { lost: 'root-key', keys: [idOf('d')] },
    ['key generate root-2', 'rotate root --drop d… --key root-2'],
  ],
  'one of three root keys, two of which sign together elsewhere': [
    state([role('root', 'adf', { threshold: 2 }), role('names', 'B'), role('online', 'C')]),
    { lost: 'root-key', keys: [idOf('d')] },
    [
      'key generate root-2',
      'rotate root --drop d… --key root-2 --export-unsigned recover-root.json',
      '[where the key of root is (aaaaaaaaaaaa)] approve recover-root.json',
      '[where the key of root is (ffffffffffff)] approve recover-root.json',
      'rotate --import-signed recover-root.json',
    ],
  ],
  'one of two root keys that sign together: no way back': [
    state([role('root', 'ad', { threshold: 2 }), role('names', 'B'), role('online', 'C')]),
    { lost: 'root-key', keys: [idOf('d')], isStolen: false },
    [
      'ls --references --out recover-names.txt',
      'key generate root-2',
      'init --replace 999999999999 --root-key root-2 --publisher-key key-b --online-key key-c',
      'sign --from recover-names.txt --name-only',
      'key show root-2',
      '[on every machine that verifies] pin --root-key-id KEY_ID',
    ],
  ],
  'the only root key, lost, with a signer': [
    state([role('root', 'a'), role('names', 'b'), role('ci', 'd', { paths: ['v*'] }), role('online', 'C')]),
    { lost: 'only-root-key' },
    [
      'ls --references --out recover-names.txt',
      'key generate root-2',
      'key generate publisher-2',
      'init --replace 999999999999 --root-key root-2 --publisher-key publisher-2 --online-key key-c',
      'sign --from recover-names.txt --name-only',
      '[where the key of ci is] key export ci --public --out ci-1.pub',
      'signer add ci --key ci-1.pub --path v*',
      'key show root-2',
      '[on every machine that verifies] pin --root-key-id KEY_ID',
    ],
  ],
  'the only root key, stolen, and still here': [
    state(ALL),
    { lost: 'only-root-key', isStolen: true },
    [
      'key generate root-2',
      'rotate root --key root-2',
      'tree',
      'key show root-2',
      '[on every machine that verifies] pin --root-key-id KEY_ID',
    ],
  ],
  'the only root key, stolen, and not here: every key is new': [
    state([role('root', 'a'), role('names', 'B'), role('online', 'C')]),
    { lost: 'only-root-key', isStolen: true },
    [
      'ls --references --out recover-names.txt',
      'key generate root-2',
      'key generate publisher-2',
      'key generate online-2',
      'init --replace 999999999999 --root-key root-2 --publisher-key publisher-2 --online-key online-2',
      'sign --from recover-names.txt --name-only',
      'key show root-2',
      '[on every machine that verifies] pin --root-key-id KEY_ID',
    ],
  ],
  'a restored registry, newest state known here': [
    state(ALL, { source: 'remembered', missingImages: [name('v3', '3')] }),
    { lost: 'registry', backup: 'oci:b' },
    ['resign', 'copy oci:b:v3 r.example/app:v3'],
  ],
  'a restored registry, online key elsewhere': [
    state(OFFLINE, { source: 'remembered' }),
    { lost: 'registry' },
    ['copy oci:backup:_trust r.example/app:_trust'],
  ],
  'a restored registry, nothing newer known, and no copy': [
    state(ALL),
    { lost: 'registry' },
    ['key generate online-2', 'rotate online --drop c… --key online-2 --threshold 1 --restart', 'ls'],
  ],
  'a restored registry, nothing newer known, and a copy': [
    state(ALL),
    { lost: 'registry', backup: 'oci:b' },
    ['copy oci:b:_trust r.example/app:_trust'],
  ],
  'a deleted tag, and nothing known': [
    state([], { source: 'unknown', collection: undefined }),
    { lost: 'trust-tag', backup: 'mirror.example/app' },
    ['copy mirror.example/app:_trust r.example/app:_trust'],
  ],
  'a clock, and nothing is dated wrongly': [
    state(ALL),
    { lost: 'clock' },
    ['[on every machine that signs] date -u'],
  ],
  'a clock that was ahead when the timestamp was signed': [
    state([
      role('root', 'A'),
      role('names', 'B'),
      role('online', 'C', { expires: new Date(NOW.getTime() + 20 * DAY_MS) }),
    ]),
    { lost: 'clock' },
    ['[on every machine that signs] date -u', 'resign --renew'],
  ],
  'a clock that was behind: everything has expired': [
    state(ALL.map((one) => ({ ...one, expires: new Date(NOW.getTime() - DAY_MS) }))),
    { lost: 'clock' },
    [
      '[on every machine that signs] date -u',
      'rotate root --renew --trust-served-head sha256:e…',
      'rotate names --renew',
    ],
  ],
};

describe('recoveryPlan', () => {
  it.each(Object.entries(TABLE))('plans for %s', (_, [from, loss, expected]) => {
    expect(commands(from, loss)).toEqual(expected);
  });

  it.each([
    [
      'no key is given, and a signer has another',
      state([...ALL, role('ci', 'D')]),
      { lost: 'publisher-key' },
    ],
    ['there are two root keys', state([role('root', 'AD'), ...ALL.slice(1)]), { lost: 'root-key' }],
    ['no role has the key', state(ALL), { lost: 'publisher-key', keys: [idOf('f')] }],
    ['the id is too short', state(ALL), { lost: 'publisher-key', keys: ['bbbb'] }],
  ] as const)('asks which key was lost if %s', (_, from, loss) => {
    expect(() => recoveryPlan(from, loss)).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  it.each(['publisher-key', 'online-key', 'root-key', 'only-root-key', 'clock'] as const)(
    'has nothing to plan from without a collection: %s',
    (lost) => {
      expect(() => recoveryPlan(state([], { source: 'unknown', collection: undefined }), { lost })).toThrow(
        expect.objectContaining({ code: 'not-found' }),
      );
    },
  );

  it('says what readers see, what cannot be saved, and how to see that it is over', () => {
    for (const [from, loss] of Object.values(TABLE)) {
      const { readers, over, lost } = recoveryPlan(from, loss);
      expect(readers, lost).not.toEqual([]);
      expect(over.map(({ command }) => command[1])).toEqual(
        from.collection === undefined ? ['status', 'log'] : ['status', 'verify', 'log'],
      );
    }
  });
});

describe('compareNames', () => {
  it('tells what was changed, removed and added', () => {
    const before = [name('v1', '1'), name('v2', '2'), name('gone', '3')];
    expect(compareNames(before, [name('v1', '1'), name('v2', '9'), name('new', '4')])).toEqual({
      earlier: [name('v2', '2'), name('gone', '3')],
      added: [name('new', '4')],
    });
    expect(compareNames(before, before)).toEqual({ earlier: [], added: [] });
  });
});
