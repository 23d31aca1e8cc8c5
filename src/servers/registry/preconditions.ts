import type { IncomingHttpHeaders } from 'node:http';
import type { Digest } from '../../oci/digest.ts';
import { Fault } from './faults.ts';

const TAGS = /^(?:(?:W\/)?"[\x21\x23-\x7e]*")(?:[ \t]*,[ \t]*(?:W\/)?"[\x21\x23-\x7e]*")*$/;

/** Entity tag of content: its digest, quoted. */
export function etagOf(digest: Digest): string {
  return `"${digest}"`;
}

/** `If-None-Match` of a GET or HEAD: whether the client has it already (RFC 9110 §13.1.2, weak comparison). */
export function isKnown(headers: IncomingHttpHeaders, digest: Digest): boolean {
  const header = headers['if-none-match'];
  if (header === undefined) return false;
  if (header.trim() === '*') return true;
  return tagsOf(header)?.some((tag) => tag.replace(/^W\//, '') === etagOf(digest)) ?? false;
}

/** A condition on the digest that a tag names now; throws a 412 if it is false. */
export type Condition = (current: Digest | undefined) => void;

/**
 * `If-Match` and `If-None-Match` of a request that changes something (RFC 9110 §13.1). One that
 * cannot be read is refused, because ignoring it would overwrite what the client wanted to keep.
 * @returns undefined where the request has none
 * @throws Fault 400
 */
export function conditionOf(headers: IncomingHttpHeaders): Condition | undefined {
  const match = read(headers['if-match'], 'If-Match');
  const noneMatch = read(headers['if-none-match'], 'If-None-Match');
  if (match === undefined && noneMatch === undefined) return undefined;
  return (current) => {
    if (match !== undefined && !holds(match, current, true)) throw failed(current, 'If-Match does not hold');
    if (noneMatch !== undefined && holds(noneMatch, current, false))
      throw failed(current, 'If-None-Match does not hold');
  };
}

function failed(current: Digest | undefined, what: string): Fault {
  const found = current === undefined ? 'the tag or manifest does not exist' : `it is ${current} now`;
  return new Fault(412, 'PRECONDITION_FAILED', `${what}: ${found}`, {
    ...(current !== undefined && { ETag: etagOf(current) }),
  });
}

type Expected = '*' | readonly string[];

function read(header: string | undefined, name: string): Expected | undefined {
  if (header === undefined) return undefined;
  if (header.trim() === '*') return '*';
  const tags = tagsOf(header);
  if (tags === undefined)
    throw new Fault(400, 'UNSUPPORTED', `${name} must be * or entity tags such as "sha256:…", in quotes`);
  return tags;
}

function tagsOf(header: string): readonly string[] | undefined {
  const text = header.trim();
  return TAGS.test(text) ? text.split(',').map((tag) => tag.trim()) : undefined;
}

function holds(expected: Expected, current: Digest | undefined, strong: boolean): boolean {
  if (current === undefined) return false;
  if (expected === '*') return true;
  const tag = etagOf(current);
  return expected.some((candidate) => candidate === tag || (!strong && candidate === `W/${tag}`));
}
