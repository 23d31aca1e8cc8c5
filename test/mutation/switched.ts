import { parseAst } from 'vitest/node';
import type { Mutant, Span } from './mutants.ts';

/** What the switched sources call: whether this mutant is the one at work. It notes that it was asked. */
export const SWITCH = '__isMutant';

interface Numbered {
  readonly id: number;
  readonly mutant: Mutant;
  readonly span: Span;
}

/**
 * One source with all these mutants of it, each behind a switch, so that a run needs to load it only once.
 * @param mutants by the number that the switch is asked for
 * @returns undefined where that makes no source
 */
export function switched(source: string, mutants: ReadonlyMap<number, Mutant>): string | undefined {
  const numbered = [...mutants].flatMap(([id, mutant]) => {
    const { span } = mutant;
    return span === undefined ? [] : [{ id, mutant, span }];
  });
  // Outer ones first.
  numbered.sort((a, b) => a.span.start - b.span.start || b.span.end - a.span.end);
  const text = render(source, { start: 0, end: source.length }, numbered);
  try {
    parseAst(text, { lang: 'ts' });
    return text;
  } catch {
    return undefined;
  }
}

function render(source: string, { start, end }: Pick<Span, 'start' | 'end'>, all: Numbered[]): string {
  let text = '';
  let at = start;
  let inside = all;
  while (inside[0] !== undefined) {
    const { span } = inside[0];
    const own = inside.filter((other) => isSame(other.span, span));
    const deeper = inside.filter((other) => !isSame(other.span, span) && other.span.end <= span.end);
    inside = inside.filter((other) => other.span.start >= span.end);
    let choice = render(source, span, deeper);
    for (const { id, mutant } of own) {
      const changed =
        source.slice(span.start, mutant.start) + mutant.replacement + source.slice(mutant.end, span.end);
      choice = span.isStatement
        ? `{ if (${SWITCH}(${id})) ${changed} else ${choice} }`
        : `(${SWITCH}(${id}) ? (${changed}) : (${choice}))`;
    }
    text += source.slice(at, span.start) + choice;
    at = span.end;
  }
  return text + source.slice(at, end);
}

function isSame(a: Span, b: Span): boolean {
  return a.start === b.start && a.end === b.end;
}
