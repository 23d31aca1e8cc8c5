import type { Line } from './style.ts';

/** What renderers of results need of the output of a command. */
export interface Printer {
  readonly options: { readonly json: boolean; readonly quiet: boolean };
  /** The result: `text` line by line, or `json`. */
  result(text: string | readonly string[], json: Readonly<Record<string, unknown>>): void;
  /** What was done, for people. */
  info(line: Line): void;
  /** What people must know although the command goes on. */
  warn(line: string): void;
  /** What a user is about to sign or to agree to: shown in full, whatever the flags. */
  told(lines: Iterable<string>): void;
}

/** Names what each line is about, where several collections are worked on at once. */
export function prefixed(output: Printer, about: string): Printer {
  return {
    options: output.options,
    result: (text, json) => output.result(text, json),
    info: (line) => output.info(`${about}: ${line}`),
    warn: (line) => output.warn(`${about}: ${line}`),
    told: (lines) => output.told([`${about}:`, ...[...lines].map((line) => `  ${line}`)]),
  };
}

/** Longest piece of a line that is shown whole, in characters. */
const MAX_PIECE = 500;

/** A line that must be shown whole, in pieces that are never cut; all but the first begin with `…`. */
export function pieces(line: string): readonly string[] {
  if (line.length <= MAX_PIECE) return [line];
  const indent = /^ */.exec(line)?.[0] ?? '';
  const count = Math.ceil(line.length / MAX_PIECE);
  return Array.from({ length: count }, (_, at) => {
    const piece = line.slice(at * MAX_PIECE, (at + 1) * MAX_PIECE);
    return at === 0 ? piece : `${indent}…${piece}`;
  });
}
