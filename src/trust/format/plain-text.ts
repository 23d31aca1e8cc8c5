import { BullaError } from '../../errors.ts';
import type { Delegations } from '../../tuf/delegations.ts';
import type { LogEntry } from './log.ts';

/** Longest name of a role and longest pattern that a change of roles may bring, in UTF-16 units. */
const MAX_ROLE_NAME = 128;
const MAX_PATTERN = 512;
const MAX_BY = 128;
const MAX_ORIGIN = 1024;
/** Printable ASCII, as media types are (RFC 6838 §4.2), with parameters. */
const MEDIA_TYPE = /^[ -~]{1,255}$/;
/** Controls, line and paragraph separators, what is invisible or turns text around, halves of pairs, private use. */
const ODD = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}]/u;

/**
 * Whether text of others may be adopted: shown in one line as what it is, and written in one way
 * (spec/trust.md, "Text of others").
 * @param maxLength in UTF-16 units
 */
export function isPlainText(text: string, maxLength: number): boolean {
  return text.length > 0 && text.length <= maxLength && !ODD.test(text) && text === text.normalize('NFC');
}

/** What is wrong with the texts of another publisher's change of names; undefined if nothing is. */
export function problemWithEntry({ by, origin, set }: LogEntry): string | undefined {
  if (by !== undefined && !isPlainText(by, MAX_BY)) return '"by" is not plain text';
  if (origin !== undefined && !isPlainText(origin, MAX_ORIGIN)) return '"origin" is not plain text';
  for (const [name, { mediaType }] of set ?? [])
    if (mediaType !== undefined && !MEDIA_TYPE.test(mediaType)) return `the media type of ${name} is invalid`;
  return undefined;
}

/**
 * Refuses roles that a change brings where their names or patterns are not plain text; what is there
 * already stays.
 * @throws BullaError trust-invalid (details.reason `text`)
 */
export function assertPlainRoles(before: Delegations | undefined, after: Delegations | undefined): void {
  const known = new Map(before?.roles.map((role) => [role.name, role]));
  for (const { name, paths = [] } of after?.roles ?? []) {
    const present = known.get(name);
    const news = paths.filter((path) => present?.paths?.includes(path) !== true);
    const odd = oddText(present === undefined ? name : undefined, news);
    if (odd !== undefined) throw notPlain('trust-invalid', odd);
  }
}

/** The same for a role that is about to be made. @throws BullaError usage */
export function assertPlainDelegation({
  name,
  paths = [],
}: {
  readonly name: string;
  readonly paths?: readonly string[] | undefined;
}): void {
  const odd = oddText(name, paths);
  if (odd !== undefined) throw notPlain('usage', odd);
}

function oddText(name: string | undefined, paths: readonly string[]): string | undefined {
  if (name !== undefined && !isPlainText(name, MAX_ROLE_NAME)) return name;
  return paths.find((path) => !isPlainText(path, MAX_PATTERN));
}

function notPlain(code: 'trust-invalid' | 'usage', text: string): BullaError {
  const shown = JSON.stringify(text.slice(0, 80)).replace(/[^ -~]/g, '?');
  return new BullaError(
    code,
    `${shown} can be neither the name of a role nor a pattern: it is not plain text`,
    {
      hint: 'use letters, digits and punctuation in one line, without control or invisible characters',
      details: { reason: 'text' },
    },
  );
}
