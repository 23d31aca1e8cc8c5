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

/** Whether what is written there is shown to a person: by a terminal, or by what shows colours as one does. */
export function isShown(sink: Screen, env: Environment): boolean {
  return sink.isTTY === true || forcesColour(env);
}

/**
 * Whether to use colour: on a terminal that supports it, unless plain text is asked for with NO_COLOR (no-color.org);
 * elsewhere only with FORCE_COLOR.
 */
export function wantsColour(sink: Screen, env: Environment): boolean {
  if (forcesColour(env)) return true;
  const isRefused = (env['NO_COLOR'] ?? '') !== '' || env['FORCE_COLOR'] !== undefined;
  return sink.isTTY === true && !isRefused && env['TERM'] !== 'dumb';
}

interface Screen {
  readonly isTTY?: boolean | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** As other programs take it: set, and neither `0` nor `false`. An empty value asks for colours. */
function forcesColour({ FORCE_COLOR: forced }: Environment): boolean {
  return forced !== undefined && forced !== '0' && forced !== 'false';
}
