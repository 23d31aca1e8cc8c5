import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';

/** A number of signatures. @throws BullaError usage */
export function countOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined || /^[1-9][0-9]?$/.test(text)) return text === undefined ? undefined : Number(text);
  throw new BullaError('usage', `${flag} ${JSON.stringify(text)} is not a number from 1 to 99`, {
    hint: 'give the number of keys that have to sign together',
  });
}

/** A duration in milliseconds. @throws BullaError usage */
export function durationOf(
  flag: string,
  text: string | undefined,
  examples = '12h, 30d, 0s',
): number | undefined {
  const milliseconds = text === undefined ? undefined : parseDuration(text);
  if (text === undefined || milliseconds !== undefined) return milliseconds;
  throw new BullaError('usage', `${flag} ${JSON.stringify(text)} is not a duration`, {
    hint: `write ${examples}`,
  });
}

/** A duration of at least a second, in milliseconds. @throws BullaError usage */
export function lifetimeOf(flag: string, text: string | undefined): number | undefined {
  const milliseconds = durationOf(flag, text, '90d, 1y, 12h');
  if (milliseconds === undefined || milliseconds >= 1000) return milliseconds;
  throw new BullaError('usage', `${flag} ${JSON.stringify(text)} is shorter than a second`, {
    hint: 'write 90d, 1y, 12h',
  });
}

/** Gathers the values of a flag that may be given more than once. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** A positive integer, as commander asks for one. */
export function positiveInteger(text: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a positive integer.');
}

/**
 * Gathers ids of root keys: an id, or the line about a root key that `bulla init` and `inspect` print, pasted as it is.
 * Other text stays as it is, and is refused where ids are checked.
 */
export function collectKeyIds(value: string, before: readonly string[] = []): readonly string[] {
  const ids = value.match(/(?<![\w:])[0-9a-fA-F]{64}(?!\w)/g) ?? [];
  return [...before, ids.length === 1 ? (ids[0] as string).toLowerCase() : value.trim()];
}
