import * as z from 'zod/mini';
import { base64, fromBase64, utf8 } from '../../encoding/bytes.ts';
import { assertWholeText } from '../../encoding/canonical.ts';
import { parseJsonObject } from '../../encoding/json.ts';
import { formatTime, parseTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { describeIssues, listOf } from '../../oci/shape.ts';
import { type CollectionId, parseCollectionId } from '../format/binding.ts';

/** Largest file of a change that is read or written, in bytes. */
export const MAX_CHANGE_BYTES: number = 64 * 1024 * 1024;
const FORMAT = 'application/vnd.bulla.trust.change.v1+json';

/** A change that is carried to the keys that have to sign it (spec/trust-roles.md, "The file of a change"). */
export interface ChangeFile {
  /** Name of the collection, for people; what counts is in its roots. */
  readonly collection: string;
  /** Where the collection lies, for people. */
  readonly place: string;
  readonly id: CollectionId;
  readonly made: Date;
  /** What changes, in sentences, as its author describes it: a signer's machine computes it again. */
  readonly summary: readonly string[];
  /** Files of the state that it was made for, by their names in a TUF repository: roots from the first, targets, and present files of the roles in `files`. */
  readonly base: ReadonlyMap<string, Uint8Array>;
  /** The new files by role, with the signatures that are there. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Logs of roles that begin with this change. */
  readonly logs: ReadonlyMap<string, Uint8Array>;
}

/** Longest line of a summary, and most lines, that are read. */
const MAX_LINE = 4096;
const MAX_LINES = 10_000;

const time = z.string().check(z.refine((text) => parseTime(text) !== undefined, 'not a time'));
const content = z.string().check(z.refine((text) => fromBase64(text) !== undefined, 'not base64'));
const partSchema = z.strictObject({ name: z.string().check(z.maxLength(1024)), content });
const shape = z.strictObject({
  format: z.literal(FORMAT),
  collection: z.string().check(z.maxLength(4096)),
  place: z.string().check(z.maxLength(4096)),
  id: z.string().check(z.regex(/^[0-9a-f]{64}$/, 'not a SHA-256')),
  made: time,
  summary: listOf(z.string().check(z.maxLength(MAX_LINE)), MAX_LINES),
  base: listOf(partSchema, 10_000),
  files: listOf(partSchema, 10_000),
  logs: listOf(partSchema, 10_000),
});
/** Schema of the file of a change. */
export const changeFileSchema: z.ZodMiniType<object> = shape;

/**
 * Reads a change; nothing in it is verified.
 * @param where names the file in messages
 * @throws BullaError content-invalid
 */
export function parseChangeFile(bytes: Uint8Array, where: string): ChangeFile {
  const parsed = shape.safeParse(parseJsonObject(bytes, { what: where, maxBytes: MAX_CHANGE_BYTES }));
  if (!parsed.success) throw malformed(where, describeIssues(parsed.error));
  const { collection, place, id, made, summary, base, files, logs } = parsed.data;
  return {
    collection,
    place,
    id: parseCollectionId(id),
    made: parseTime(made) as Date,
    summary,
    base: readParts(base, where),
    files: readParts(files, where),
    logs: readParts(logs, where),
  };
}

/** The bytes of a change's file. @throws BullaError usage where it is too large to be read again */
export function encodeChangeFile(change: ChangeFile): Uint8Array {
  const { collection, place, id, made, base, files, logs } = change;
  const summary = shortened(change.summary);
  const json = {
    format: FORMAT,
    ...{ collection, place, id, made: formatTime(made), summary },
    ...{ base: parts(base), files: parts(files), logs: parts(logs) },
  };
  const bytes = utf8(`${JSON.stringify(json, undefined, 2)}\n`);
  assertWholeText([collection, place, ...summary, ...base.keys(), ...files.keys(), ...logs.keys()], bytes);
  if (bytes.byteLength <= MAX_CHANGE_BYTES) return bytes;
  throw new BullaError('usage', `the files of this change have ${bytes.byteLength} bytes`, {
    hint: `a change file may have at most ${MAX_CHANGE_BYTES} bytes: make the change on the machine with the keys`,
  });
}

/** A summary may be shortened, because signers see the full description, computed from the files. */
function shortened(lines: readonly string[]): readonly string[] {
  const kept = lines.length > MAX_LINES ? [...lines.slice(0, MAX_LINES - 1), '…'] : lines;
  return kept.map((line) => (line.length > MAX_LINE ? `${line.slice(0, MAX_LINE - 2)}…` : line));
}

interface Part {
  readonly name: string;
  readonly content: string;
}

function parts(files: ReadonlyMap<string, Uint8Array>): readonly Part[] {
  return [...files].map(([name, bytes]) => ({ name, content: base64(bytes) }));
}

function readParts(list: readonly Part[], where: string): ReadonlyMap<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const { name, content: text } of list) {
    if (files.has(name)) throw malformed(where, `${JSON.stringify(name.slice(0, 160))} stands there twice`);
    files.set(name, fromBase64(text) as Uint8Array);
  }
  return files;
}

function malformed(where: string, why: string): BullaError {
  return new BullaError('content-invalid', `${where} is not a change of a collection: ${why}`, {
    hint: 'it is what --export-unsigned wrote; export it again',
  });
}
