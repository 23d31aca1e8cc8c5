export { plainName } from '../../encoding/shell-word.ts';

/** What a piece of text means; on a terminal it has a colour. */
export type Style = 'strong' | 'faint' | 'good' | 'soon' | 'bad';

/** Text, or text with a meaning. */
export type Piece = string | readonly [Style, string];

/** One line for people. */
export type Line = string | readonly Piece[];

const CODES: Readonly<Record<Style, string>> = {
  strong: '1',
  faint: '2',
  good: '32',
  soon: '33',
  bad: '1;31',
};

/**
 * A line as it is printed.
 * @param clean makes text harmless; colours are added after it
 */
export function paint(line: Line, colour: boolean, clean: (text: string) => string): string {
  if (typeof line === 'string') return clean(line);
  return line
    .map((piece) => {
      if (typeof piece === 'string') return clean(piece);
      const [style, text] = piece;
      return colour && text !== '' ? `\u001b[${CODES[style]}m${clean(text)}\u001b[0m` : clean(text);
    })
    .join('');
}

/** Whether to use colour: a terminal that supports it, and no request for plain text (no-color.org). */
export function wantsColour(
  sink: { readonly isTTY?: boolean | undefined },
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  const refused = env['NO_COLOR'] !== undefined && env['NO_COLOR'] !== '';
  return sink.isTTY === true && !refused && env['TERM'] !== 'dumb';
}
