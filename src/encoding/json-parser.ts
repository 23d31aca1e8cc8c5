import { BullaError } from '../errors.ts';
import { compareCodePoints } from './code-points.ts';

/** A parsed JSON value. Objects inherit nothing, so `__proto__` is a key like any other. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue;
}

/** What a document may be. */
export interface JsonLimits {
  /** Names the document in error messages. */
  readonly what: string;
  /** Largest size in bytes; 4 MiB if left out, the least that registries must accept for a manifest. */
  readonly maxBytes?: number;
  /** Most values in it; one for every {@link BYTES_PER_VALUE} bytes that it may have if left out, and 100,000 at least. */
  readonly maxValues?: number;
  /** Deepest nesting of objects and arrays; 64 if left out. */
  readonly maxDepth?: number;
  /** Whether numbers with a fraction or exponent are allowed; TUF has none, image configs may. */
  readonly floats?: boolean;
}

/** A member of a document's root object, where it stands. */
export interface JsonMember {
  readonly value: JsonValue;
  /** The member's value as it was written. */
  readonly source: string;
  /** Whether {@link source} already is the value's OLPC canonical form. */
  readonly isCanonical: boolean;
}

/** Largest document where nothing else is said, in bytes. */
export const DEFAULT_MAX_BYTES: number = 4 * 1024 * 1024;
const DEFAULT_MAX_DEPTH = 64;
/** Every value costs memory, an empty object some 200 bytes: `[{},{},…]` would become a hundred times as large. */
const BYTES_PER_VALUE = 16;
const LEAST_MAX_VALUES = 100_000;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
/** Within so many characters most strings end; in longer ones a pattern is three times as fast as a loop. */
const SHORT = 64;
const NOT_PLAIN = /["\\\u0000-\u001f]/g;
const LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

const QUOTE = 0x22;
const COMMA = 0x2c;
const DIGIT_0 = 0x30;
const COLON = 0x3a;
const BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const END_BRACKET = 0x5d;
const LETTER_F = 0x66;
const LETTER_N = 0x6e;
const LETTER_T = 0x74;
const BRACE = 0x7b;
const END_BRACE = 0x7d;

/**
 * Makes objects that inherit nothing: their prototype is empty, has none itself and stays so. To V8
 * `Object.create(null)` is a hash table from the start, which takes three times as long to fill.
 */
class Bare {
  readonly [key: string]: never;
}
Reflect.deleteProperty(Bare.prototype, 'constructor');
Object.freeze(Object.setPrototypeOf(Bare.prototype, null));

/** Reads one document; what it may be is told in {@link parseJson} and {@link JsonLimits}. */
export class JsonParser {
  private at = 0;
  private readonly text: string;
  private readonly what: string;
  private readonly maxDepth: number;
  private readonly floats: boolean;
  private readonly members: Map<string, JsonMember> | undefined;
  /** Whether nothing that OLPC canonical JSON has not was seen since it was last set. */
  private canonical = true;
  /** Values that may still come. */
  private left: number;

  constructor(text: string, limits: JsonLimits, members?: Map<string, JsonMember>) {
    this.text = text;
    this.members = members;
    this.what = limits.what;
    this.maxDepth = limits.maxDepth ?? DEFAULT_MAX_DEPTH;
    this.floats = limits.floats ?? false;
    this.left =
      limits.maxValues ??
      Math.max(LEAST_MAX_VALUES, (limits.maxBytes ?? DEFAULT_MAX_BYTES) / BYTES_PER_VALUE);
  }

  /** @throws BullaError content-invalid */
  document(): JsonValue {
    this.space();
    const value = this.value(0);
    this.space();
    if (this.at < this.text.length) this.fail('something follows the value');
    return value;
  }

  private value(depth: number): JsonValue {
    if (depth > this.maxDepth) this.fail(`nested deeper than ${this.maxDepth}`);
    if (this.left-- <= 0) this.fail('too many values');
    switch (this.text.charCodeAt(this.at)) {
      case BRACE:
        return this.object(depth);
      case BRACKET:
        return this.array(depth);
      case QUOTE:
        return this.string();
      case LETTER_T:
        return this.word('true', true);
      case LETTER_F:
        return this.word('false', false);
      case LETTER_N:
        return this.word('null', null);
      default:
        return this.number();
    }
  }

  private object(depth: number): JsonObject {
    const object = new Bare() as JsonObject;
    let previous: string | undefined;
    let sorted = true;
    this.at++;
    this.space();
    if (this.take(END_BRACE)) return object;
    for (;;) {
      if (this.text.charCodeAt(this.at) !== QUOTE) this.fail('expected a key');
      const key = this.string();
      // As long as each key comes after the one before it, none can be there already.
      sorted &&= previous === undefined || compareCodePoints(previous, key) < 0;
      if (!sorted) this.unsorted(object, key);
      previous = key;
      this.space();
      if (!this.take(COLON)) this.fail('expected ":"');
      this.space();
      object[key] = depth === 0 ? this.member(key) : this.value(depth + 1);
      this.space();
      if (this.take(END_BRACE)) return object;
      if (!this.take(COMMA)) this.fail('expected "," or "}"');
      this.space();
    }
  }

  private unsorted(object: JsonObject, key: string): void {
    this.canonical = false;
    if (key in object) this.fail(`key ${JSON.stringify(key).slice(0, 80)} stands twice in one object`);
  }

  /** A member of the root object. */
  private member(key: string): JsonValue {
    if (this.members === undefined) return this.value(1);
    const start = this.at;
    this.canonical = true;
    const value = this.value(1);
    this.members.set(key, { value, source: this.text.slice(start, this.at), isCanonical: this.canonical });
    return value;
  }

  private array(depth: number): JsonValue[] {
    const array: JsonValue[] = [];
    this.at++;
    this.space();
    if (this.take(END_BRACKET)) return array;
    for (;;) {
      array.push(this.value(depth + 1));
      this.space();
      if (this.take(END_BRACKET)) return array;
      if (!this.take(COMMA)) this.fail('expected "," or "]"');
      this.space();
    }
  }

  private string(): string {
    const start = ++this.at;
    const end = this.plainEnd();
    if (this.text.charCodeAt(end) !== QUOTE) return this.stringWithEscapes(start);
    this.at = end + 1;
    return this.text.slice(start, end);
  }

  /** The end of the characters of a string that need no decoding. */
  private plainEnd(): number {
    const { text } = this;
    const end = Math.min(text.length, this.at + SHORT);
    for (let at = this.at; at < end; at++) {
      const unit = text.charCodeAt(at);
      if (unit === QUOTE || unit === BACKSLASH || unit < 0x20) return at;
    }
    NOT_PLAIN.lastIndex = end;
    return NOT_PLAIN.exec(text)?.index ?? text.length;
  }

  private stringWithEscapes(start: number): string {
    this.at = start;
    let result = '';
    for (;;) {
      const end = this.plainEnd();
      result += this.text.slice(this.at, end);
      this.at = end;
      const next = this.text.charCodeAt(end);
      if (next === QUOTE) break;
      if (next !== BACKSLASH)
        this.fail(end >= this.text.length ? 'ends inside a string' : 'control character in a string');
      result += this.escape();
    }
    this.at++;
    // Text that was UTF-8 has none but those that an escape wrote.
    if (LONE_SURROGATE.test(result)) this.fail('lone surrogate in a string');
    return result;
  }

  private escape(): string {
    const letter = this.text[this.at + 1];
    if (letter !== '"' && letter !== '\\') this.canonical = false;
    if (letter === 'u') {
      const digits = this.text.slice(this.at + 2, this.at + 6);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail('bad \\u escape');
      this.at += 6;
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    const character = letter === undefined ? undefined : ESCAPES.get(letter);
    if (character === undefined) this.fail('bad escape in a string');
    this.at += 2;
    return character;
  }

  private number(): number {
    const small = this.smallInteger();
    if (small !== undefined) return small;
    NUMBER.lastIndex = this.at;
    const match = NUMBER.exec(this.text);
    if (match === null) this.fail(this.at < this.text.length ? 'unexpected character' : 'ends too early');
    const number = Number(match[0]);
    const isInteger = match[1] === undefined && match[2] === undefined;
    if (!isInteger) this.canonical = false;
    if (!isInteger && !this.floats) this.fail('number with a fraction or an exponent');
    if (isInteger ? !Number.isSafeInteger(number) : !Number.isFinite(number))
      this.fail('number out of range');
    if (Object.is(number, -0)) this.fail('negative zero');
    this.at = NUMBER.lastIndex;
    return number;
  }

  /** Versions and lengths, which most numbers are: at most nine digits, followed by what ends a value. */
  private smallInteger(): number | undefined {
    const { text, at } = this;
    let value = 0;
    let end = at;
    for (; end < at + 10; end++) {
      const digit = text.charCodeAt(end) - DIGIT_0;
      if (!(digit >= 0 && digit <= 9)) break;
      value = value * 10 + digit;
    }
    const next = text.charCodeAt(end);
    if (next !== COMMA && next !== END_BRACE && next !== END_BRACKET) return undefined;
    const count = end - at;
    if (count === 0 || count > 9 || (count > 1 && text.charCodeAt(at) === DIGIT_0)) return undefined;
    this.at = end;
    return value;
  }

  private word<T extends JsonValue>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) this.fail('unexpected character');
    this.at += word.length;
    return value;
  }

  private take(unit: number): boolean {
    if (this.text.charCodeAt(this.at) !== unit) return false;
    this.at++;
    return true;
  }

  private space(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.canonical = false;
      this.at++;
    }
  }

  private fail(reason: string): never {
    throw new BullaError(
      'content-invalid',
      `${this.what} is not acceptable JSON: ${reason} (at character ${this.at})`,
      {
        hint: 'the document is damaged or was made to be read in two ways; fetch it again from a trusted source',
      },
    );
  }
}
