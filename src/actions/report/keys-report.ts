import type { Report, ReportedRole } from './report.ts';

/**
 * What it takes to go on where a key is gone: `nothing`, because enough others remain; `new-keys`, which root gives the
 * role; `new-collection`, because nothing can be changed any more.
 */
export type Loss = 'nothing' | 'new-keys' | 'new-collection';

/** A role of a collection that lists a key. */
export interface KeyUse extends Pick<ReportedRole, 'role' | 'threshold' | 'expires' | 'state' | 'paths'> {
  readonly place: string;
  /** Id of the collection. */
  readonly collection: string;
  /** How many keys the role lists. */
  readonly keys: number;
  /** Whether the key has signed the role's present file. */
  readonly hasSigned: boolean;
  readonly ifLost: Loss;
}

/** A key that collections list, or that the key store has. */
export interface UsedKey {
  /** Undefined where no collection lists it. */
  readonly keyid?: string | undefined;
  readonly scheme?: string | undefined;
  /** What the key store calls it; undefined where it does not have it. */
  readonly name?: string | undefined;
  /** URI of a key that a device or service keeps. */
  readonly kept?: string | undefined;
  readonly uses: readonly KeyUse[];
  /** The worst that its loss means. */
  readonly ifLost: Loss;
  /** When the first file that it is listed for expires. */
  readonly expires?: Date | undefined;
}

const LOSSES: readonly Loss[] = ['nothing', 'new-keys', 'new-collection'];

/**
 * Which key signs what in all collections of a report, and what would be lost with it. Keys whose loss means most come
 * first; keys of the store that no collection lists come last.
 * @param stored the key store: where a key is kept, by its name
 */
export function keysIn(
  { collections }: Report,
  stored: ReadonlyMap<string, string | undefined>,
): readonly UsedKey[] {
  const found = new Map<string, { scheme: string; name: string | undefined; uses: KeyUse[] }>();
  for (const one of collections) {
    if (one.failure !== undefined) continue;
    for (const { role, threshold, expires, state, paths, keys } of one.roles)
      for (const { keyid, scheme, name, hasSigned } of keys) {
        const entry = found.get(keyid) ?? { scheme, name, uses: [] };
        found.set(keyid, entry);
        entry.uses.push({
          ...{
            place: one.place,
            collection: one.collection,
            role,
            threshold,
            expires,
            state,
            paths,
            hasSigned,
          },
          keys: keys.length,
          ifLost: lossOf(role, threshold, keys.length),
        });
      }
  }
  const used = [...found].map(([keyid, { scheme, name, uses }]): UsedKey => {
    const worst = Math.max(...uses.map(({ ifLost }) => LOSSES.indexOf(ifLost)));
    const first = Math.min(...uses.map(({ expires }) => expires.getTime()));
    return {
      ...{ keyid, scheme, name, uses, kept: stored.get(name ?? '') },
      ifLost: LOSSES[worst] as Loss,
      expires: new Date(first),
    };
  });
  used.sort((a, b) => LOSSES.indexOf(b.ifLost) - LOSSES.indexOf(a.ifLost) || b.uses.length - a.uses.length);
  const listed = new Set(used.map(({ name }) => name));
  const unused = [...stored].filter(([name]) => !listed.has(name));
  return [...used, ...unused.map(([name, kept]): UsedKey => ({ name, kept, uses: [], ifLost: 'nothing' }))];
}

/** Root replaces the keys of every role but its own. */
function lossOf(role: string, threshold: number, keys: number): Loss {
  if (keys > threshold) return 'nothing';
  return role === 'root' ? 'new-collection' : 'new-keys';
}
