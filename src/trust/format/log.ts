import * as z from 'zod/mini';
import { equalBytes } from '../../encoding/bytes.ts';
import { encodeOwn } from '../../encoding/canonical.ts';
import { isJsonObject, type JsonObject, parseJson } from '../../encoding/json.ts';
import { formatTime, parseTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { digestOf, hexOf } from '../../oci/digest.ts';
import { describeIssues, listOf } from '../../oci/shape.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';
import { BINDING } from './binding.ts';
import { TRUST_LAYERS } from './vocabulary.ts';

/** Largest log that is read or written, in bytes: about 200,000 names changed within a day. */
export const MAX_LOG_BYTES: number = 32 * 1024 * 1024;
/** Bytes of the largest log that is in keeping with what one change of a name costs; older entries may go. */
export const LOG_KEPT_BYTES: number = 16 * 1024;
/** How long an entry is kept at the least, in milliseconds. */
export const LOG_KEPT_MS: number = 24 * 3_600_000;

/** What is signed about one name. */
export interface NamedContent {
  /** Size of the manifest in bytes. */
  readonly length: number;
  /** Hex SHA-256 of the manifest's bytes. */
  readonly sha256: string;
  /** Only where the manifest does not say its media type itself. */
  readonly mediaType?: string | undefined;
}

/** One change of a role's names, applied or to be applied: it either sets names or takes names out. */
export interface LogEntry {
  /** 32 hex digits, random; two entries of one id are one change. */
  readonly id: string;
  /** When its publisher made it, by that publisher's clock. To the second. */
  readonly at: Date;
  /** Id of the TUF key that made the change, by its own account: the role's signature covers the whole log. */
  readonly by?: string | undefined;
  /** For `copy --as`: reference of the origin, as evidence. */
  readonly origin?: string | undefined;
  readonly set?: ReadonlyMap<string, NamedContent> | undefined;
  readonly unset?: ReadonlySet<string> | undefined;
}

/** The changes that a role's present file came of (spec/trust.md, "Logs"). */
export interface ChangeLog {
  /** No entry made before this is listed any more; whatever comes with an older one is a conflict. */
  readonly since: Date;
  /** In the order in which they were applied. */
  readonly entries: readonly LogEntry[];
}

/** Longest text that is read; what is taken in from others is shorter ({@link problemWithEntry}). */
const MAX_TEXT = 4096;
const hash = z.string().check(z.regex(/^[0-9a-f]{64}$/, 'not a SHA-256'));
const time = z.string().check(z.refine((text) => parseTime(text) !== undefined, 'not a time'));
const contentSchema = z.strictObject({
  length: z.int().check(z.minimum(0)),
  sha256: hash,
  mediaType: z.optional(z.string().check(z.maxLength(MAX_TEXT))),
});
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const name = z.string().check(z.regex(TAG, 'not a tag'));
const entrySchema = z.strictObject({
  id: z.string().check(z.regex(/^[0-9a-f]{32}$/, 'not 32 hexadecimal digits')),
  at: time,
  by: z.optional(z.string().check(z.maxLength(MAX_TEXT))),
  origin: z.optional(z.string().check(z.maxLength(MAX_TEXT))),
  set: z.optional(z.custom<JsonObject>((value) => isJsonObject(value as never), 'expected an object')),
  unset: z.optional(listOf(name)),
});
/** Schema of the log file; unknown members are refused, because a folder that skips them would lose them. */
const changeLogSchema: z.ZodMiniType<object> = z.strictObject({
  version: z.literal(1),
  since: time,
  entries: listOf(entrySchema),
});

/** A log without entries, of a role that begins. @param since when; cut to the second */
export function emptyLog(since: Date): ChangeLog {
  return { since: new Date(Math.floor(since.getTime() / 1000) * 1000), entries: [] };
}

/** Reads a log whose bytes were checked against the hash in its role's file. @throws BullaError content-invalid */
export function parseLog(bytes: Uint8Array, role: string): ChangeLog {
  const what = `log of ${JSON.stringify(role)}`;
  const parsed = changeLogSchema.safeParse(parseJson(bytes, { what, maxBytes: MAX_LOG_BYTES }));
  if (!parsed.success) throw malformed(what, describeIssues(parsed.error));
  const { since, entries } = parsed.data as z.infer<typeof entryShape>;
  const ids = new Set<string>();
  const read = entries.map((entry) => readEntry(entry, what, ids));
  return { since: parseTime(since) as Date, entries: read };
}

const entryShape = z.object({ since: z.string(), entries: z.array(entrySchema) });

function readEntry(entry: z.infer<typeof entrySchema>, what: string, ids: Set<string>): LogEntry {
  const { id, at, by, origin, set, unset } = entry;
  if (ids.has(id)) throw malformed(what, `the change ${id} is listed twice`);
  ids.add(id);
  if ((set === undefined) === (unset === undefined))
    throw malformed(what, `the change ${id} must either set names or take names out`);
  return {
    id,
    at: parseTime(at) as Date,
    ...(by !== undefined && { by }),
    ...(origin !== undefined && { origin }),
    ...(set !== undefined && { set: readSet(set, what, id) }),
    ...(unset !== undefined && { unset: new Set(unset) }),
  };
}

function readSet(set: JsonObject, what: string, id: string): ReadonlyMap<string, NamedContent> {
  const names = new Map<string, NamedContent>();
  for (const [tag, value] of Object.entries(set)) {
    const content = contentSchema.safeParse(value);
    if (!TAG.test(tag) || !content.success)
      throw malformed(what, `the change ${id} says nothing valid of ${JSON.stringify(tag.slice(0, 130))}`);
    names.set(tag, content.data);
  }
  return names;
}

/** What a log may grow to by changes of others: the rest is reserved for the publisher itself. */
const MAX_FOLDED_LOG_BYTES: number = MAX_LOG_BYTES - 4 * 1024 * 1024;
/** Values of JSON that the parser takes from a log of the largest size, and those that others may bring. */
const MAX_LOG_VALUES: number = MAX_LOG_BYTES / 16;
const MAX_FOLDED_LOG_VALUES: number = (MAX_LOG_VALUES / 8) * 7;

/**
 * Whether a log leaves space for those who come after it, in bytes and in values: what is written must be read
 * again.
 * @param atMost bytes that it surely does not exceed, so that it need not be spelled out
 */
export function leavesSpace(log: ChangeLog, atMost: number): boolean {
  if (valuesIn(log) > MAX_FOLDED_LOG_VALUES) return false;
  return atMost <= MAX_FOLDED_LOG_BYTES || spellLog(log).byteLength <= MAX_FOLDED_LOG_BYTES;
}

/** A log in its canonical form (RFC 8785). @throws BullaError usage where it has become too large */
export function encodeLog(log: ChangeLog): Uint8Array {
  const bytes = spellLog(log);
  if (bytes.byteLength <= MAX_LOG_BYTES && valuesIn(log) <= MAX_LOG_VALUES) return bytes;
  throw new BullaError(
    'usage',
    `so many names were changed within a day that the log has ${bytes.byteLength} bytes and ${valuesIn(log)} values`,
    {
      hint: `at most ${MAX_LOG_BYTES} and ${MAX_LOG_VALUES} are kept: sign the rest tomorrow`,
    },
  );
}

/** Values of JSON in a log, at the most. */
function valuesIn({ entries }: ChangeLog): number {
  return entries.reduce((sum, { set, unset }) => sum + 8 + 4 * (set?.size ?? 0) + (unset?.size ?? 0), 4);
}

/** The same, however large. @throws BullaError content-invalid where half of a pair is in its text */
export function spellLog({ since, entries }: ChangeLog): Uint8Array {
  return encodeOwn({ version: 1, since: formatTime(since), entries: entries.map(entryJson) });
}

/** Whether two entries are the same change with the same content: an id alone is only claimed. */
export function isSameEntry(a: LogEntry, b: LogEntry): boolean {
  return a === b || (a.id === b.id && equalBytes(encodeOwn(entryJson(a)), encodeOwn(entryJson(b))));
}

/** Whether two changes do the same, regardless of their ids, their authors and their times. */
export function doesSame(a: LogEntry, b: LogEntry): boolean {
  const what = ({ origin, set, unset }: LogEntry): LogEntry => ({
    ...{ id: '', at: new Date(0), origin, set },
    unset: unset && new Set([...unset].sort()),
  });
  return equalBytes(encodeOwn(entryJson(what(a))), encodeOwn(entryJson(what(b))));
}

function entryJson({ id, at, by, origin, set, unset }: LogEntry): JsonObject {
  const json: JsonObject = { id, at: formatTime(at) };
  if (by !== undefined) json['by'] = by;
  if (origin !== undefined) json['origin'] = origin;
  if (set !== undefined) {
    const names: JsonObject = Object.create(null);
    for (const [tag, { length, sha256, mediaType }] of set)
      names[tag] = { length, sha256, ...(mediaType !== undefined && { mediaType }) };
    json['set'] = names;
  }
  if (unset !== undefined) json['unset'] = [...unset];
  return json;
}

/** What a role's file says about its log, for {@link roleBinding}. */
export function logBinding(bytes: Uint8Array): JsonObject {
  return { log: { length: bytes.byteLength, sha256: hexOf(digestOf(bytes)) } };
}

/**
 * The log that a verified role file was signed with.
 * @throws BullaError trust-invalid where the file names none
 */
export function logDescriptorOf(file: MetadataFile): Descriptor {
  const binding = file.signed[BINDING];
  const log = isJsonObject(binding) ? binding['log'] : undefined;
  const length = isJsonObject(log) ? log['length'] : undefined;
  const sha256 = isJsonObject(log) ? log['sha256'] : undefined;
  if (
    typeof length === 'number' &&
    length >= 0 &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256)
  )
    return { mediaType: TRUST_LAYERS.log, digest: `sha256:${sha256}` as Descriptor['digest'], size: length };
  throw new BullaError(
    'trust-invalid',
    `metadata of ${JSON.stringify(file.role)} names no log of its changes`,
    {
      hint: 'it was made by another tool: publish its names again with bulla',
      details: { role: file.role, reason: 'log' },
    },
  );
}

function malformed(what: string, why: string): BullaError {
  return new BullaError('content-invalid', `${what} is malformed: ${why}`, {
    hint: 'it was made by a broken or newer tool',
  });
}
