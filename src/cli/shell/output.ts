import { type BullaError, isBullaError, MAX_SHOWN, shown } from '../../errors.ts';
import { type Printer, pieces } from '../render/printer.ts';
import { isShown, type Line, type Piece, paint, wantsColour } from '../render/style.ts';
import type { Io } from './io.ts';

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

/**
 * The only way in which commands print. Results go to stdout, in text or in JSON; all that is said
 * about them goes to stderr, so that `$(bulla verify …)` holds the answer and nothing else.
 */
export class Output implements Printer {
  readonly options: OutputOptions;
  private readonly io: Io;
  private readonly warned = new Set<string>();
  /** JSON is written as one object a line. */
  private hasLines = false;

  constructor(io: Io, options: OutputOptions) {
    this.io = io;
    this.options = options;
  }

  /** The result: `text` line by line, or `json` with `"ok": true` first. */
  result(text: string | readonly string[], json: Readonly<Record<string, unknown>>): void {
    if (this.options.json) this.json(Object.assign({ ok: true }, json, { ok: true }));
    else
      for (const line of typeof text === 'string' ? [text] : text) this.io.stdout.write(`${lineOf(line)}\n`);
  }

  /** From here on there are several results: in JSON one object a line, the last of them about all. */
  inLines(): void {
    this.hasLines = true;
  }

  private json(value: Readonly<Record<string, unknown>>): void {
    this.io.stdout.write(`${jsonText(value, this.hasLines ? undefined : 2)}\n`);
  }

  /** As {@link result}, for lines that are coloured on a terminal. */
  drawing(lines: readonly Line[], json: Readonly<Record<string, unknown>>): void {
    if (this.options.json) this.result([], json);
    else this.lines(lines);
  }

  /** A part of a result in text that is too long to be held in memory. */
  lines(lines: Iterable<Line>): void {
    const colour = wantsColour(this.io.stdout, this.io.env);
    for (const line of lines) this.io.stdout.write(`${paint(line, colour, lineOf)}\n`);
  }

  /** Text in the format of another tool, as it is, line breaks included; not in JSON. */
  text(text: string): void {
    if (!this.options.json) this.io.stdout.write(text.split('\n').map(printable).join('\n'));
  }

  /** A failure of a part of what was asked for; the command goes on, and fails at its end. */
  partFailed(error: BullaError): void {
    this.io.stderr.write(`${paragraph(error.message)} [${error.code}]\n\n`);
  }

  /** That one of several references failed, which names it; the command goes on, and fails at its end. */
  referenceFailed(text: string, error: BullaError): void {
    const { ok, ...failure } = failureJson(error);
    if (this.options.json) this.json({ ok, reference: text, given: text, ...failure });
    else {
      const named = error.message.includes(text) ? error.message : `${text}: ${error.message}`;
      this.labelled(['bad', `${this.labelOf(error, 'failed')}:`], `${paragraph(named)} [${error.code}]`);
    }
  }

  /** What was done, for people; not with `-q`, nor in JSON. */
  info(line: Line): void {
    if (!this.options.quiet && !this.options.json) this.said(line);
  }

  /** In a word what came of it, at a terminal: there the result alone does not say it. */
  verdict(line: Line): void {
    if (isShown(this.io.stderr, this.io.env)) this.info(line);
  }

  private said(line: Line): void {
    this.io.stderr.write(`${paint(line, wantsColour(this.io.stderr, this.io.env), shown)}\n`);
  }

  /** @param text made harmless already */
  private labelled(label: Piece, text: string): void {
    const colour = wantsColour(this.io.stderr, this.io.env);
    this.io.stderr.write(`${paint([label], colour, shown)} ${text}\n`);
  }

  /** At a terminal, what was looked at and refused is told apart from what did not work. */
  private labelOf(error: BullaError, otherwise: string): string {
    return REFUSALS.has(error.exitCode) && isShown(this.io.stderr, this.io.env) ? 'refused' : otherwise;
  }

  /**
   * What the user is about to sign or confirm: all of it, in pieces if it is long, and also with `-q` and in
   * JSON, because what was not shown was not agreed to.
   */
  told(lines: Iterable<string>): void {
    for (const line of lines) for (const piece of pieces(line)) this.io.stderr.write(`${printable(piece)}\n`);
  }

  /** Detail that is asked for with `-v`. */
  verbose(line: string): void {
    if (this.options.verbose) this.io.stderr.write(`${shown(line)}\n`);
  }

  /** What people must know although the command goes on; each only once, also with `-q`. */
  warn(line: string): void {
    if (this.warned.has(line)) return;
    this.warned.add(line);
    this.labelled(['soon', 'warning:'], shown(line));
  }

  /** What `--trace` shows. */
  trace(line: string): void {
    this.io.stderr.write(`${shown(line)}\n`);
  }

  /** The end of a command that failed: code, message, hint; in JSON on stdout. */
  failure(error: BullaError, trace: boolean): void {
    if (this.options.json) {
      this.json(failureJson(error));
    } else {
      this.labelled(
        ['bad', `${this.labelOf(error, 'error')}:`],
        `${paragraph(error.message)} [${error.code}]`,
      );
      if (error.hint !== undefined) this.labelled(['faint', 'hint:'], paragraph(error.hint));
    }
    if (trace) for (const line of causes(error)) this.io.stderr.write(`trace: ${paragraph(line)}\n`);
  }
}

/** Statuses that say: this was looked at, and must not be used (spec/outcomes.md). */
const REFUSALS: ReadonlySet<number> = new Set([10, 12, 13, 20, 21, 22, 23, 24, 25, 40]);

/** `{"ok":false,…}` as spec/outcomes.md has it. */
export function failureJson(error: BullaError): Record<string, unknown> {
  return {
    ok: false,
    code: error.code,
    message: error.message,
    ...(error.hint !== undefined && { hint: error.hint }),
    ...(Object.keys(error.details).length > 0 && { details: error.details }),
  };
}

/** Longest line of a result in text; in JSON it stands whole. */
const MAX_RESULT_LINE = 16_000;

/** A line of a result, truncated if it is too long to read. */
function lineOf(text: string): string {
  const rest = text.length - MAX_RESULT_LINE;
  return printable(
    rest > 0 ? `${text.slice(0, MAX_RESULT_LINE)}…(${rest} more characters: see -o json)` : text,
  );
}

const UNPRINTABLE = /(?!\t)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * One line, whatever is in it: text from outside must neither move the cursor, nor clear the screen, nor
 * turn the line around, nor look like a second line of ours. What would do so is shown, not sent.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escaped);
}

/** Text of several lines, of which all but the first are set in. */
function paragraph(text: string): string {
  return text.split('\n').map(printable).join('\n  ');
}

/** JSON means the same with such characters escaped; JSON.stringify leaves most of them as they are. */
function jsonText(value: unknown, indent: number | undefined): string {
  return JSON.stringify(value, undefined, indent).replace(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped);
}

function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}

function* causes(error: unknown): Generator<string> {
  const seen = new Set<unknown>();
  for (let at = error; at instanceof Error && !seen.has(at); at = at.cause) {
    seen.add(at);
    const text = shown(at.stack ?? at.message, 4 * MAX_SHOWN, true);
    yield isBullaError(at) ? `${at.code}: ${text}` : text;
  }
}
