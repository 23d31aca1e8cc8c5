/** One way to authenticate that a server offers (RFC 9110 §11.6.1). */
export interface Challenge {
  /** Lower case: `basic`, `bearer`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const MAX_HEADER = 8192;
const MAX_CHALLENGES = 16;
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const BLANK = /[ \t]*/y;
const COMMAS = /[ \t,]*/y;
const QUOTED = /"((?:[^"\\]|\\[^\r\n])*)"/y;
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/y;

/**
 * Reads WWW-Authenticate headers. What is malformed ends the reading; what was read until then counts.
 * A parameter that stands twice counts by its first value.
 */
export function parseChallenges(headers: readonly string[]): readonly Challenge[] {
  return headers
    .flatMap((header) => new Reader(header.slice(0, MAX_HEADER)).challenges())
    .slice(0, MAX_CHALLENGES);
}

class Reader {
  private at = 0;
  private readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  challenges(): Challenge[] {
    const found: Challenge[] = [];
    while (found.length < MAX_CHALLENGES) {
      this.take(COMMAS);
      const scheme = this.take(TOKEN);
      if (scheme === undefined) break;
      const parameters = new Map<string, string>();
      found.push({ scheme: scheme.toLowerCase(), parameters });
      if (this.take(BLANK) === '' && this.at < this.text.length && this.text[this.at] !== ',') break;
      if (!this.parameters(parameters)) break;
    }
    return found;
  }

  /** Reads parameters up to the next scheme; false where something is malformed. */
  private parameters(into: Map<string, string>): boolean {
    if (this.take(TOKEN68) !== undefined && this.text[this.at - 1] !== ' ') {
      // A lone word is Negotiate's or NTLM's data; nothing here uses it.
      return true;
    }
    for (;;) {
      const start = this.at;
      this.take(COMMAS);
      const name = this.take(TOKEN);
      if (name === undefined) return this.at >= this.text.length;
      this.take(BLANK);
      if (this.text[this.at] !== '=') {
        // No parameter, so it is the next scheme.
        this.at = start;
        return true;
      }
      this.at++;
      this.take(BLANK);
      const value = this.value();
      if (value === undefined) return false;
      if (!into.has(name.toLowerCase())) into.set(name.toLowerCase(), value);
    }
  }

  private value(): string | undefined {
    if (this.text[this.at] !== '"') return this.take(TOKEN);
    const quoted = this.take(QUOTED);
    return quoted?.slice(1, -1).replace(/\\(.)/g, '$1');
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match === null) return undefined;
    this.at = pattern.lastIndex;
    return match[0];
  }
}
