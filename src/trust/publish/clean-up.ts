import { throwIfAborted } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { FoundSiblings, Sibling } from '../candidates/siblings.ts';
import { isHeld, madeAt } from '../candidates/superseded.ts';
import { LOG_KEPT_MS } from '../format/log.ts';
import type { TrustTarget } from '../format/ports.ts';
import type { Base } from './publish-base.ts';
import type { PublishOptions } from './publish-options.ts';
import { removeObject } from './removal.ts';

/** Objects that were not adopted stay so long, for people to look at; in milliseconds. */
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
  { siblings, folded }: FoundSiblings,
  first: readonly Tag[],
  most: number,
  options: PublishOptions,
): Promise<CleanUp> {
  const { signal } = options;
  const due = new Map<Tag, Digest | undefined>(first.map((tag) => [tag, undefined]));
  for (const [tag, made] of folded) if (ageOf(made, options) >= LOG_KEPT_MS) due.set(tag, undefined);
  for (const sibling of siblings) {
    if (due.size >= most) break;
    if (await isDue(base, sibling, options)) due.set(sibling.tag, sibling.digest);
  }
  const removed: Tag[] = [];
  for (const [tag, judged] of [...due].slice(0, most)) {
    throwIfAborted(signal);
    const removal = await removeObject(target, tag, base.parent, { judged, signal });
    if (removal.outcome === 'refused') return { removed, refused: removal.why };
    if (removal.outcome === 'removed') removed.push(tag);
  }
  return { removed };
}

async function isDue({ copy }: Base, sibling: Sibling, options: PublishOptions): Promise<boolean> {
  const made = madeAt(sibling);
  if (made === undefined) return false;
  const age = ageOf(made, options);
  return age >= UNHELD_KEPT_MS || (age >= LOG_KEPT_MS && (await isHeld(copy, sibling)));
}

/** In milliseconds, by the registry's time where it told one, and never by a clock that is ahead of it. */
function ageOf(made: Date, { clock, registryNow }: PublishOptions): number {
  const now = clock.now().getTime();
  return Math.min(now, registryNow?.()?.getTime() ?? now) - made.getTime();
}
