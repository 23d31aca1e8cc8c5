import { type Document, isMap, LineCounter, type Node, parseDocument } from 'yaml';
import type * as z from 'zod/mini';
import { type BullaError, messageOf } from '../errors.ts';
import { issuesText } from './zod-issues.ts';

/** A member of a document that cannot be meant as it is written. */
export interface Mistake {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** A mistake, and where it stands in the file: line and column count from 1. */
export interface LocatedMistake {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** Mistakes that are told at once. */
const MAX_TOLD = 20;

/** Mistakes as one line of text: `3:5: …; 7:1: …; and 2 more`. */
export function mistakesText(mistakes: readonly LocatedMistake[]): string {
  const told = mistakes
    .slice(0, MAX_TOLD)
    .map(({ line, column, message }) => `${line}:${column}: ${message}`);
  const rest = mistakes.length - told.length;
  return `${told.join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`;
}

/**
 * Reads a document in YAML or JSON that a person wrote, and tells every mistake with its place.
 * @param mistakesIn what is wrong beyond the schema
 * @param invalid makes the error that is thrown
 */
export function parseLocated<T>(
  source: string,
  schema: z.ZodMiniType<T>,
  mistakesIn: (document: T) => readonly Mistake[],
  invalid: (mistakes: readonly LocatedMistake[], cause?: unknown) => BullaError,
): T {
  const { value, at } = openLocated(source, schema, invalid);
  const mistakes = mistakesIn(value);
  if (mistakes.length > 0) throw invalid(mistakes.map(at));
  return value;
}

/** A document, and where its members stand. */
export interface Located<T> {
  readonly value: T;
  readonly at: (mistake: Mistake) => LocatedMistake;
}

/** As {@link parseLocated}, by its schema alone. */
export function openLocated<T>(
  source: string,
  schema: z.ZodMiniType<T>,
  invalid: (mistakes: readonly LocatedMistake[], cause?: unknown) => BullaError,
): Located<T> {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, uniqueKeys: true, logLevel: 'error' });
  const broken = document.errors.map((error) => ({
    ...positionOf(lines, error.pos[0]),
    message: (error.message.split('\n', 1)[0] ?? '').replace(/ at line .*$/, ''),
  }));
  if (broken.length > 0) throw invalid(broken);
  const at = ({ path, message }: Mistake): LocatedMistake => ({
    ...positionOf(lines, offsetOf(document, path)),
    message,
  });
  const parsed = schema.safeParse(plain(document, invalid));
  if (!parsed.success) {
    throw invalid(
      parsed.error.issues.map((issue) =>
        at({
          path: issue.path,
          message: issuesText({ issues: [issue] } as unknown as typeof parsed.error),
        }),
      ),
    );
  }
  return { value: parsed.data, at };
}

/** Aliases would let a small file become a large one. */
function plain(
  document: Document,
  invalid: (mistakes: readonly LocatedMistake[], cause: unknown) => BullaError,
): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 }) ?? {};
  } catch (cause) {
    throw invalid([{ line: 1, column: 1, message: messageOf(cause) }], cause);
  }
}

/** Where a member stands; of one that is missing, what it is missing in. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length--) {
    const part = path.slice(0, length);
    const parent = document.getIn(part.slice(0, -1), true) as Node | undefined;
    const pair = isMap(parent)
      ? parent.items.find(
          ({ key }) => String((key as { value?: unknown }).value ?? key) === String(part.at(-1)),
        )
      : undefined;
    const range =
      (pair?.key as Node | undefined)?.range ?? (document.getIn(part, true) as Node | undefined)?.range;
    if (range !== undefined && range !== null) return range[0];
  }
  return document.contents?.range?.[0] ?? 0;
}

function positionOf(lines: LineCounter, offset: number): Pick<LocatedMistake, 'line' | 'column'> {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}
