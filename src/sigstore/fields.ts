import { fromBase64 } from '../encoding/bytes.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../encoding/json.ts';
import { parseTime } from '../encoding/time.ts';
import { BullaError } from '../errors.ts';

// How Protocol Buffers write their messages in JSON, as far as Sigstore's documents use it: bytes are base64,
// 64-bit integers are strings, a member with its default value may be left out or null.

/** Reads the members of one message; `where` names it in errors. */
export class Fields {
  readonly #members: JsonObject;
  readonly where: string;

  /** @throws BullaError content-invalid where `value` is not an object */
  constructor(value: JsonValue | undefined, where: string) {
    if (!isJsonObject(value)) throw malformed(where, 'it is not an object');
    this.#members = value;
    this.where = where;
  }

  /** Whether the member is there and not null. */
  has(name: string): boolean {
    return this.#members[name] !== undefined && this.#members[name] !== null;
  }

  /** A message in this one. */
  message(name: string): Fields {
    return new Fields(this.#members[name], `${name} of ${this.where}`);
  }

  optional(name: string): Fields | undefined {
    return this.has(name) ? this.message(name) : undefined;
  }

  /** A repeated message; empty where it is left out. @param max more are refused */
  messages(name: string, max: number): Fields[] {
    return this.#list(name, max).map((value, at) => new Fields(value, `${name}[${at}] of ${this.where}`));
  }

  /** Repeated bytes; empty where they are left out. */
  bytesList(name: string, max: number): Uint8Array[] {
    return this.#list(name, max).map((value) => this.#decode(value, name));
  }

  /** Repeated texts; empty where they are left out. */
  texts(name: string, max: number): string[] {
    return this.#list(name, max).map((value) => {
      if (typeof value !== 'string') throw malformed(this.where, `${name} is not a list of texts`);
      return value;
    });
  }

  text(name: string): string {
    const value = this.#members[name];
    if (typeof value !== 'string' || value === '') throw malformed(this.where, `${name} is missing`);
    return value;
  }

  /** Text that may be empty, which is the same as left out (proto3). */
  optionalText(name: string): string {
    return (this.#members[name] ?? '') === '' ? '' : this.text(name);
  }

  bytes(name: string): Uint8Array {
    return this.#decode(this.#members[name], name);
  }

  /** A non-negative integer of 64 bits that a double holds; 0 where it is left out. */
  integer(name: string): number {
    const value = this.#members[name] ?? 0;
    const number = typeof value === 'string' && /^(0|[1-9][0-9]{0,15})$/.test(value) ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 0)
      throw malformed(this.where, `${name} is not a non-negative integer`);
    return number;
  }

  time(name: string): Date {
    const time = parseTime(this.text(name));
    if (time === undefined) throw malformed(this.where, `${name} is not an RFC 3339 time`);
    return time;
  }

  #list(name: string, max: number): JsonValue[] {
    const value = this.#members[name] ?? [];
    if (!Array.isArray(value)) throw malformed(this.where, `${name} is not a list`);
    if (value.length > max)
      throw malformed(this.where, `${name} has ${value.length} entries, more than ${max}`);
    return value;
  }

  #decode(value: JsonValue | undefined, name: string): Uint8Array {
    const bytes = typeof value === 'string' ? fromBase64(value) : undefined;
    if (bytes === undefined || bytes.byteLength === 0) throw malformed(this.where, `${name} is not base64`);
    return bytes;
  }
}

/** A document that is not what it should be. */
export function malformed(where: string, why: string): BullaError {
  return new BullaError('content-invalid', `${where} is malformed: ${why}`, {
    hint: 'the document is damaged, or was written by a tool that does not follow the Sigstore specification',
  });
}
