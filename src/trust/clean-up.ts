import { throwIfAborted } from '../errors.ts';
import type { Tag } from '../oci/reference.ts';
import { publishedVersion } from '../tuf/edit/repository.ts';
import { LOG_KEPT_MS } from './log.ts';
import type { TrustTarget } from './ports.ts';
import type { Base } from './publish-base.ts';
import type { PublishOptions } from './publish-options.ts';
import { removeObject } from './removal.ts';
import type { Sibling } from './siblings.ts';

/** What nobody took over stays so long, for people to look at; in milliseconds. */
const UNHELD_KEPT_MS: number = 30 * LOG_KEPT_MS;

export interface CleanUp {
  /** Tags that were removed. */
  readonly removed: readonly Tag[];
  /** What the registry said where it removes nothing. */
  readonly refused?: string | undefined;
}

/**
 * Removes candidates and stages that are not needed any more (spec/trust-publishing.md, "Clean-up"): a
 * day after they were made, by the registry's time, if the head's logs hold all that they hold.
 * @param first tags of one's own that newer ones have replaced: they go at once, and before all others
 * @param most how many are removed at the most
 * @throws BullaError what the target throws about reading
 */
export async function cleanUp(
  target: TrustTarget,
  base: Base,
  siblings: readonly Sibling[],
  first: readonly Tag[],
  most: number,
  options: PublishOptions,
): Promise<CleanUp> {
  const { signal } = options;
  const due: Tag[] = [...first];
  for (const sibling of siblings) {
    if (due.length >= most) break;
    if (!due.includes(sibling.tag) && (await isDue(base, sibling, options))) due.push(sibling.tag);
  }
  const removed: Tag[] = [];
  for (const tag of due.slice(0, most)) {
    throwIfAborted(signal);
    const removal = await removeObject(target, tag, base.parent, { signal });
    if (removal.outcome === 'refused') return { removed, refused: removal.why };
    if (removal.outcome === 'removed') removed.push(tag);
  }
  return { removed };
}

async function isDue(
  { copy }: Base,
  sibling: Sibling,
  { clock, registryNow }: PublishOptions,
): Promise<boolean> {
  const made = madeAt(sibling);
  if (made === undefined) return false;
  const now = clock.now().getTime();
  const age = Math.min(now, registryNow?.()?.getTime() ?? now) - made.getTime();
  if (age < LOG_KEPT_MS) return false;
  return age >= UNHELD_KEPT_MS || (await isHeld(copy, sibling));
}

/** By what is signed in it: a candidate's timestamp, the newest change of a stage. */
function madeAt({ kind, timestamp, roles, partial }: Sibling): Date | undefined {
  if (kind === 'candidate') return timestamp?.created;
  const times = [...roles.values(), ...partial.values()].flatMap(({ log }) =>
    log.entries.map(({ at }) => at),
  );
  return times.length === 0 ? undefined : new Date(Math.max(...times.map((at) => at.getTime())));
}

async function isHeld(copy: Base['copy'], { roles, partial, object }: Sibling): Promise<boolean> {
  for (const { role, log } of [...roles.values(), ...partial.values()]) {
    const held = new Set((await copy.log(role)).entries.map(({ id }) => id));
    if (log.entries.some(({ id }) => !held.has(id))) return false;
  }
  // A root or delegations that never came into a head are for people to look at.
  const { files } = copy;
  const isNewer = [...object.files.keys()].some((name) => {
    const match = /^([1-9][0-9]{0,15})\.(root|targets)\.json$/.exec(name);
    return match !== null && Number(match[1]) > publishedVersion(files, match[2] as string);
  });
  return !isNewer;
}
