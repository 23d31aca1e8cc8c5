import { type BullaError, isBullaError } from '../errors.ts';
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
export class Output {
  readonly options: OutputOptions;
  private readonly io: Io;
  private readonly warned = new Set<string>();

  constructor(io: Io, options: OutputOptions) {
    this.io = io;
    this.options = options;
  }

  /** The result: `text` line by line, or `json` with `"ok": true` first. */
  result(text: string | readonly string[], json: Readonly<Record<string, unknown>>): void {
    if (this.options.json) this.io.stdout.write(`${JSON.stringify({ ok: true, ...json }, undefined, 2)}\n`);
    else
      for (const line of typeof text === 'string' ? [text] : text)
        this.io.stdout.write(`${printable(line)}\n`);
  }

  /** What was done, for people; not with `-q`, nor in JSON. */
  info(line: string): void {
    if (!this.options.quiet && !this.options.json) this.io.stderr.write(`${printable(line)}\n`);
  }

  /** Detail that is asked for with `-v`. */
  verbose(line: string): void {
    if (this.options.verbose) this.io.stderr.write(`${printable(line)}\n`);
  }

  /** What people must know although the command goes on; each only once, also with `-q`. */
  warn(line: string): void {
    if (this.warned.has(line)) return;
    this.warned.add(line);
    this.io.stderr.write(`warning: ${printable(line)}\n`);
  }

  /** What `--trace` shows. */
  trace(line: string): void {
    this.io.stderr.write(`${printable(line)}\n`);
  }

  /** The end of a command that failed: code, message, hint; in JSON on stdout. */
  failure(error: BullaError, trace: boolean): void {
    if (this.options.json) {
      this.io.stdout.write(`${JSON.stringify(failureJson(error), undefined, 2)}\n`);
    } else {
      this.io.stderr.write(`error: ${printable(error.message)} [${error.code}]\n`);
      if (error.hint !== undefined) this.io.stderr.write(`hint: ${printable(error.hint)}\n`);
    }
    if (trace) for (const line of causes(error)) this.io.stderr.write(`trace: ${printable(line)}\n`);
  }
}

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

/** Text from outside must not move the cursor or clear the screen: control characters are shown, not sent. */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (character) => {
      return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
    },
  );
}

function* causes(error: unknown): Generator<string> {
  const seen = new Set<unknown>();
  for (let at = error; at instanceof Error && !seen.has(at); at = at.cause) {
    seen.add(at);
    yield isBullaError(at) ? `${at.code}: ${at.stack ?? at.message}` : (at.stack ?? at.message);
  }
}
