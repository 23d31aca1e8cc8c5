import { isJsonObject, type JsonObject, type JsonValue } from '../encoding/json.ts';
import { parseTime } from '../encoding/time.ts';
import { BullaError } from '../errors.ts';

const MAX_REASON = 500;

/**
 * The error for metadata that is not of its format (TUF 1.0.34 §4).
 * @param role whose metadata it is
 * @param reason what was expected and what was found
 */
export function malformed(role: string, reason: string): BullaError {
  // Names of members come from outside and may be as long as the file.
  const what = reason.length > MAX_REASON ? `${reason.slice(0, MAX_REASON)}…` : reason;
  return new BullaError('content-invalid', `metadata of ${JSON.stringify(role.slice(0, 200))}: ${what}`, {
    hint: 'the file is damaged, or was written by a tool that does not follow TUF 1.0; ask the operator of the repository',
    details: { role },
  });
}

/** Reads members of one JSON object and says, when one is not as expected, in which role's file. */
export class Fields {
  readonly json: JsonObject;
  private readonly role: string;
  private readonly name: string;
  private readonly parent: Fields | undefined;

  /**
   * @param name of the object inside the file, or inside `parent`, for messages
   */
  constructor(json: JsonObject, role: string, name: string, parent?: Fields) {
    this.json = json;
    this.role = role;
    this.name = name;
    this.parent = parent;
  }

  /** Put together only for a message: there are thousands of objects, and nearly all are as expected. */
  private get path(): string {
    return this.parent === undefined ? this.name : `${this.parent.path}.${this.name}`;
  }

  fail(key: string, expected: string): never {
    const found = this.json[key];
    throw malformed(
      this.role,
      `${this.path}.${key} must be ${expected}, and is ${found === undefined ? 'missing' : preview(found)}`,
    );
  }

  string(key: string): string {
    const value = this.json[key];
    return typeof value === 'string' ? value : this.fail(key, 'a string');
  }

  /** An integer from `least` on; the parser has refused what a double cannot hold. */
  integer(key: string, least: number): number {
    const value = this.json[key];
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= least
      ? value
      : this.fail(key, `an integer from ${least} on`);
  }

  /** A boolean, `fallback` where it is missing. */
  boolean(key: string, fallback: boolean): boolean {
    const value = this.json[key];
    if (value === undefined) return fallback;
    return typeof value === 'boolean' ? value : this.fail(key, 'true or false');
  }

  time(key: string): Date {
    return parseTime(this.string(key)) ?? this.fail(key, 'a date-time such as 2030-01-31T00:00:00Z');
  }

  object(key: string): Fields {
    const value = this.json[key];
    return isJsonObject(value) ? new Fields(value, this.role, key, this) : this.fail(key, 'an object');
  }

  /** Like {@link object}; undefined where it is missing or null. */
  optionalObject(key: string): Fields | undefined {
    const value = this.json[key];
    return value === undefined || value === null ? undefined : this.object(key);
  }

  /** Members of an object that maps names from outside to objects. */
  objects(): readonly (readonly [string, Fields])[] {
    return Object.keys(this.json).map((name) => [name, this.object(name)] as const);
  }

  /** Elements of an array of objects. */
  list(key: string): readonly Fields[] {
    const value = this.json[key];
    if (!Array.isArray(value)) this.fail(key, 'an array');
    return value.map((element, index) => {
      if (!isJsonObject(element))
        throw malformed(this.role, `${this.path}.${key}[${index}] must be an object`);
      return new Fields(element, this.role, `${key}[${index}]`, this);
    });
  }

  strings(key: string): readonly string[] {
    const value = this.json[key];
    return Array.isArray(value) && value.every((element) => typeof element === 'string')
      ? value
      : this.fail(key, 'an array of strings');
  }
}

function preview(value: JsonValue): string {
  return JSON.stringify(value).slice(0, 80);
}
