import { compareCodePoints } from '../encoding/canonical.ts';
import type { JsonObject } from '../encoding/json.ts';
import { patternsOverlap } from './path-overlap.ts';

/** An order of delegations, or the names that both sides placed so that either could come first. */
export type OrderResult =
  | { readonly names: readonly string[]; readonly conflict?: undefined }
  | { readonly conflict: readonly string[] };

/**
 * Merges the order of delegations, which is their priority. It fails rather than guess: a new delegation
 * may go before or after another new one only where no path can match both.
 * @param entries the merged delegations by name; what is not in it is gone
 */
export function mergeOrder(
  base: readonly string[],
  ours: readonly string[],
  theirs: readonly string[],
  entries: ReadonlyMap<string, JsonObject>,
): OrderResult {
  const [left, right] = [ours, theirs].map((names) => names.filter((name) => entries.has(name))) as [
    string[],
    string[],
  ];
  const common = base.filter((name) => left.includes(name) && right.includes(name));
  const [leftGaps, rightGaps] = [gapsOf(left, common), gapsOf(right, common)];
  if (leftGaps === undefined || rightGaps === undefined)
    return mergeReordered(left, right, common, { leftGaps, rightGaps });
  const names: string[] = [];
  for (const [index, here] of leftGaps.entries()) {
    const gap = mergeGap(here, rightGaps[index] ?? [], entries);
    if (gap.conflict !== undefined) return gap;
    names.push(...gap.names, ...common.slice(index, index + 1));
  }
  const repeated = names.filter((name, index) => names.indexOf(name) !== index);
  return repeated.length > 0 ? { conflict: repeated } : { names };
}

/** What stands before each common name, and after the last; undefined where the common ones were reordered. */
function gapsOf(
  names: readonly string[],
  common: readonly string[],
): readonly (readonly string[])[] | undefined {
  const gaps: string[][] = [[]];
  for (const name of names) {
    if (!common.includes(name)) gaps.at(-1)?.push(name);
    else if (name === common[gaps.length - 1]) gaps.push([]);
    else return undefined;
  }
  return gaps;
}

/** A side put the common names in another order: only taken where the other side did nothing to it. */
function mergeReordered(
  left: readonly string[],
  right: readonly string[],
  common: readonly string[],
  gaps: { readonly leftGaps: unknown; readonly rightGaps: unknown },
): OrderResult {
  if (left.join('\0') === right.join('\0')) return { names: left };
  if (gaps.leftGaps !== undefined && left.length === common.length) return { names: right };
  if (gaps.rightGaps !== undefined && right.length === common.length) return { names: left };
  return { conflict: common };
}

function mergeGap(
  left: readonly string[],
  right: readonly string[],
  entries: ReadonlyMap<string, JsonObject>,
): OrderResult {
  if (left.length === 0 || left.join('\0') === right.join('\0')) return { names: right };
  if (right.length === 0) return { names: left };
  const overlap = left.some((a) => right.some((b) => a === b || mayOverlap(entries.get(a), entries.get(b))));
  if (overlap) return { conflict: [...new Set([...left, ...right])].sort(compareCodePoints) };
  // It does not matter which comes first, but both sides must come to the same.
  const leftFirst = compareCodePoints(left[0] ?? '', right[0] ?? '') < 0;
  return { names: leftFirst ? [...left, ...right] : [...right, ...left] };
}

function mayOverlap(a: JsonObject | undefined, b: JsonObject | undefined): boolean {
  const [ours, theirs] = [trustOf(a), trustOf(b)];
  if (ours.kind !== theirs.kind) return ours.list.length > 0 && theirs.list.length > 0;
  return ours.list.some((one) =>
    theirs.list.some((other) =>
      ours.kind === 'paths' ? patternsOverlap(one, other) : one.startsWith(other) || other.startsWith(one),
    ),
  );
}

function trustOf(entry: JsonObject | undefined): { readonly kind: string; readonly list: readonly string[] } {
  const kind = Array.isArray(entry?.['paths']) ? 'paths' : 'path_hash_prefixes';
  return { kind, list: (entry?.[kind] ?? []) as string[] };
}
