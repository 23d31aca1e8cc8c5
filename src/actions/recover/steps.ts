import { BullaError } from '../../errors.ts';
import type { RecoveryCollection, RecoveryKey, RecoveryRole, RecoveryState } from './state.ts';

/** What can be lost, in the order in which it is asked for. */
export const LOSSES = [
  'publisher-key',
  'online-key',
  'root-key',
  'only-root-key',
  'registry',
  'clock',
  'trust-tag',
] as const;
export type Loss = (typeof LOSSES)[number];

/** What was lost, and how. */
export interface LossDetails {
  readonly lost: Loss;
  /** Ids of lost keys, or at least their first 8 digits; left out, the only key of the role that {@link lost} names. */
  readonly keys?: readonly string[] | undefined;
  /** Someone else may have the root key. Keys of other roles are always treated as stolen. */
  readonly isStolen?: boolean | undefined;
  /** A copy or mirror of the repository from before the loss, as commands take it. */
  readonly backup?: string | undefined;
}

/** One command of a recovery. */
export interface RecoveryStep {
  /** Its words, to be quoted for a shell. */
  readonly command: readonly string[];
  readonly why: string;
  /** On which machine, if not on this one. */
  readonly where?: string | undefined;
  /** Exit statuses with which it has done its work, if others than 0. */
  readonly exits?: readonly number[] | undefined;
}

/** How a loss is recovered from (docs/recovery.md). */
export interface RecoveryPlan {
  readonly lost: Loss;
  readonly isStolen: boolean;
  /** Ids of the keys that are replaced. */
  readonly keys: readonly string[];
  readonly steps: readonly RecoveryStep[];
  /** What readers see meanwhile. */
  readonly readers: readonly string[];
  /** What cannot be saved. */
  readonly unsaved: readonly string[];
  /** How to see that it is over. */
  readonly over: readonly RecoveryStep[];
}

/** Who has to sign a change: so many of these keys. */
export type Demand = Pick<RecoveryRole, 'role' | 'keys' | 'threshold'>;

/** The name of the file in which a change is carried to other keys. */
const CHANGE_FILE = (role: string): string => `recover-${plain(role)}.json`;

/** A change of roles: made here, or carried to the machines that have the keys which are not here. */
export function changeSteps(
  state: RecoveryState,
  collection: RecoveryCollection,
  words: readonly string[],
  demands: readonly Demand[],
  why: string,
): readonly RecoveryStep[] {
  const { repository } = state;
  const [role = ''] = words;
  const rotate = ['bulla', 'rotate', repository];
  // A key of root signs the old and the new demand at once: the larger one counts.
  const byRole = new Map<string, readonly string[]>();
  for (const demand of demands) {
    const missing = missingHere(demand);
    if (missing.length > (byRole.get(demand.role)?.length ?? -1)) byRole.set(demand.role, missing);
  }
  const elsewhere = [...byRole.values()].flat();
  const online = collection.roles.find(({ kind }) => kind === 'online');
  const waits = role !== 'online' && online !== undefined && missingHere(online).length > 0;
  const patience = waits ? ['--wait', '0s'] : [];
  const exits = waits ? { exits: [0, 31] } : {};
  const published =
    elsewhere.length === 0
      ? [{ command: [...rotate, ...words, ...patience], why, ...exits }]
      : [
          {
            command: [...rotate, ...words, '--export-unsigned', CHANGE_FILE(role)],
            why: 'the change, to be carried to the keys that are elsewhere',
          },
          ...elsewhere.map((where) => ({
            command: ['bulla', 'approve', CHANGE_FILE(role)],
            why: 'read what it shows before you sign it',
            where,
          })),
          {
            command: [...rotate, '--import-signed', CHANGE_FILE(role), ...patience],
            why,
            ...exits,
          },
        ];
  if (!waits) return published;
  return [
    ...published,
    {
      command: ['bulla', 'resign', repository],
      why: 'publishes it; a re-signer that runs does so by itself',
      where: `where the online key is (${idsOf(online.keys)})`,
    },
  ];
}

/** For each signature that no key here can give, where to give it. */
export function missingHere({ role, keys, threshold }: Demand): readonly string[] {
  const here = keys.filter(({ name }) => name !== undefined);
  const elsewhere = keys.filter(({ name }) => name === undefined);
  const lacking = Math.min(Math.max(threshold - here.length, 0), elsewhere.length);
  return Array.from({ length: lacking }, (_, at) =>
    lacking === elsewhere.length
      ? `where the key of ${role} is (${idsOf(elsewhere.slice(at, at + 1))})`
      : `where another key of ${role} is (one of ${idsOf(elsewhere)})`,
  );
}

export function overSteps({ repository, collection, changedNames }: RecoveryState): readonly RecoveryStep[] {
  const added = new Set((changedNames?.added ?? []).map(({ tag }) => tag));
  const tag = collection?.names.find((name) => !added.has(name.tag))?.tag;
  return [
    { command: ['bulla', 'status', repository], why: 'ends with "nothing to do"' },
    ...(tag === undefined
      ? []
      : [
          {
            command: ['bulla', 'verify', `${repository}:${tag}`],
            why: 'prints the digest that you expect',
            where: 'also on the machine of a reader',
          },
        ]),
    {
      command: ['bulla', 'log', repository],
      why: 'lists the change of keys, and no change that you do not know',
    },
  ];
}

export function demandCollection({ repository, collection }: RecoveryState): RecoveryCollection {
  if (collection !== undefined) return collection;
  throw new BullaError('not-found', `${repository} has no trust collection, and none is remembered here`, {
    hint: `put the newest state back first: bulla recover ${repository} --lost trust-tag`,
  });
}

export function roleOf({ roles }: RecoveryCollection, kind: RecoveryRole['kind']): RecoveryRole {
  const found = roles.find((role) => role.kind === kind) ?? roles.find((role) => role.kind === 'root');
  if (found !== undefined) return found;
  throw new BullaError('internal', `a collection without ${kind}`, { hint: 'please report this' });
}

/** The name of a role as part of the name of a key or a file. */
export function plain(role: string): string {
  return (
    role
      .replaceAll(/[^A-Za-z0-9_-]+/g, '_')
      .replace(/^[_-]+/, '')
      .slice(0, 40) || 'signer'
  );
}

/** A name that the key store does not have: publisher-2, or the next number. */
export function freshName(base: string, used: Set<string>): string {
  for (let number = 2; ; number++) {
    const name = `${base}-${number}`;
    if (used.has(name)) continue;
    used.add(name);
    return name;
  }
}

export function isExpired({ roles }: RecoveryCollection, now: Date): boolean {
  return roles.some(({ kind, expires }) => kind === 'online' && expires <= now);
}

export function idsOf(keys: readonly RecoveryKey[]): string {
  return keys.map(({ keyid }) => keyid.slice(0, 12)).join(', ');
}

export function dayOf(time: Date | undefined): string {
  return time === undefined ? 'their expiry' : time.toISOString().slice(0, 10);
}
