import type { NameEntry } from '../../actions/inspect/names.ts';
import { type Line, plainName } from './style.ts';

/** Names of a collection with their digests and signers, and tags that are not signed. */
export function* nameLines(entries: readonly NameEntry[]): Generator<Line> {
  const width = entries.reduce((most, { tag }) => Math.max(most, plainName(tag).length), 0);
  for (const { tag, signed, isListed, points } of entries) {
    const name = plainName(tag).padEnd(width);
    if (signed === undefined) {
      yield [name, '  ', ['soon', 'unsigned'], points === undefined ? '' : `  ${points}`];
      continue;
    }
    const moved = points !== undefined && points !== signed.digest;
    yield [
      name,
      `  ${signed.digest}  `,
      ['good', signed.signers.map(plainName).join(', ')],
      isListed ? '' : ['soon', '  not a tag here'],
      moved ? ['bad', `  the tag points to ${points}`] : '',
    ];
  }
}

/** For `-o json` (spec/output.md). @param long whether it was asked where tags point */
export function nameEntryJson(
  { tag, signed, isListed, points }: NameEntry,
  long: boolean,
): Record<string, unknown> {
  const { name: _, ...rest } = signed ?? { name: tag };
  return {
    tag,
    signed: signed === undefined ? null : rest,
    listed: isListed,
    ...(long && { points: points ?? null }),
  };
}
