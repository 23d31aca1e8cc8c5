import { decodeUtf8 } from './bytes.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const BRACE = 0x7b;
const END_BRACE = 0x7d;
const BRACKET = 0x5b;
const END_BRACKET = 0x5d;

/** A part of a document: from `start`, up to but not including `end`, in bytes. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * Where the value of a member of the root object stands in a document, as it was written.
 * @param bytes what {@link parseJsonObject} has accepted: nothing is checked again
 * @returns undefined where the root object has no such member
 */
export function memberSpan(bytes: Uint8Array, name: string): Span | undefined {
  let at = afterSpace(bytes, 0);
  for (at = afterSpace(bytes, at + 1); bytes[at] === QUOTE; at = afterSpace(bytes, at + 1)) {
    const keyEnd = afterString(bytes, at);
    const key = JSON.parse(decodeUtf8(bytes.subarray(at, keyEnd), 'a key')) as string;
    const start = afterSpace(bytes, afterSpace(bytes, keyEnd) + 1);
    const end = afterValue(bytes, start);
    if (key === name) return { start, end };
    at = afterSpace(bytes, end);
    if (bytes[at] !== COMMA) break;
  }
  return undefined;
}

function afterSpace(bytes: Uint8Array, start: number): number {
  let at = start;
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++;
  return at;
}

function afterString(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < bytes.byteLength && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at + 1;
}

function afterValue(bytes: Uint8Array, start: number): number {
  let at = start;
  let depth = 0;
  while (at < bytes.byteLength) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      at = afterString(bytes, at);
      if (depth === 0) return at;
      continue;
    }
    const isEnd = byte === END_BRACE || byte === END_BRACKET;
    if (depth === 0 && (isEnd || byte === COMMA || afterSpace(bytes, at) > at)) return at;
    at++;
    if (byte === BRACE || byte === BRACKET) depth++;
    else if (isEnd && --depth === 0) return at;
  }
  return at;
}
