import * as z from 'zod/mini';
import { encodeOwn } from '../../encoding/canonical.ts';
import { isJsonObject, type JsonObject, parseJson } from '../../encoding/json.ts';
import { isBullaError } from '../../errors.ts';
import { type Descriptor, describe } from '../../oci/descriptor.ts';
import { digestOf, hexOf } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';
import { BINDING } from './binding.ts';
import { fetchFile, type ObjectSource } from './object.ts';
import { objectOfTag, TRUST_LAYERS, tagOfObject } from './vocabulary.ts';

/**
 * Candidates and stages that brought nothing to a head which it does not hold, and when each was made, so that
 * they need not be read again: without it, each change of the last day would make the next one more expensive.
 * The key of the snapshot signs it, which says what the whole of a head is made of.
 */
export type FoldedList = ReadonlyMap<Tag, Date>;

/** Most tags that a list holds, the newest: where nothing can be removed, they would become ever more. */
export const MAX_FOLDED = 4096;
/** Largest list that is read, in bytes. */
const MAX_FOLDED_BYTES = 256 * 1024;

const kindSchema = z.custom<JsonObject>((value) => isJsonObject(value as never), 'expected an object');
/** Schema of the list: by the rest of the tag, when the object was made, in seconds of Unix time. */
const foldedSchema: z.ZodMiniType<object> = z.strictObject({
  version: z.literal(1),
  next: kindSchema,
  stage: kindSchema,
});

/** A list in its canonical form (RFC 8785); the oldest are omitted if there are too many. */
export function encodeFolded(list: FoldedList): Uint8Array {
  const newest = [...list].sort(([, a], [, b]) => b.getTime() - a.getTime()).slice(0, MAX_FOLDED);
  const kinds: Record<'next' | 'stage', JsonObject> = { next: {}, stage: {} };
  for (const [tag, made] of newest) {
    const object = objectOfTag(tag);
    if (object !== undefined) kinds[object.kind][object.rest] = secondsOf(made);
  }
  return encodeOwn({ version: 1, ...kinds });
}

/** @returns undefined if it is not a valid list */
export function parseFolded(bytes: Uint8Array): FoldedList | undefined {
  const parsed = foldedSchema.safeParse(
    parseJson(bytes, { what: 'list of what was folded', maxBytes: MAX_FOLDED_BYTES }),
  );
  if (!parsed.success) return undefined;
  const list = new Map<Tag, Date>();
  for (const kind of ['next', 'stage'] as const)
    for (const [rest, seconds] of Object.entries((parsed.data as Record<typeof kind, JsonObject>)[kind])) {
      const tag = tagOfObject(kind, rest);
      if (objectOfTag(tag) === undefined || !isTime(seconds)) return undefined;
      list.set(tag, new Date(seconds * 1000));
    }
  return list;
}

/** The end of the year 9999, in seconds of Unix time. */
const LAST_SECOND = 253_402_300_799;

/** Clocks of others say anything: what is out of range would make the whole list unreadable. */
function secondsOf(time: Date): number {
  return Math.min(Math.max(Math.floor(time.getTime() / 1000), 0), LAST_SECOND);
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= LAST_SECOND;
}

/** Descriptor of a list's bytes. */
export function describeFolded(bytes: Uint8Array): Descriptor {
  return describe(TRUST_LAYERS.folded, bytes);
}

/** What a snapshot says about its list, for {@link roleBinding}; nothing where there is none. */
export function foldedBinding(bytes: Uint8Array | undefined): JsonObject {
  return bytes === undefined ? {} : { folded: { length: bytes.byteLength, sha256: hexOf(digestOf(bytes)) } };
}

/** The list that a verified snapshot was signed with. */
export function foldedDescriptorOf(snapshot: MetadataFile): Descriptor | undefined {
  const binding = snapshot.signed[BINDING];
  const folded = isJsonObject(binding) ? binding['folded'] : undefined;
  if (!isJsonObject(folded)) return undefined;
  const { length, sha256 } = folded;
  const isSound =
    typeof length === 'number' &&
    length > 0 &&
    length <= MAX_FOLDED_BYTES &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256);
  if (!isSound) return undefined;
  return { mediaType: TRUST_LAYERS.folded, digest: `sha256:${sha256}` as Descriptor['digest'], size: length };
}

/**
 * The list of a verified head. It only saves work: where it is not there any more, or is not what was
 * signed, everything is read.
 * @throws BullaError what the source throws but not-found and content-invalid
 */
export async function readFolded(
  source: ObjectSource,
  snapshot: MetadataFile,
  options: CallOptions,
): Promise<FoldedList> {
  const descriptor = foldedDescriptorOf(snapshot);
  if (descriptor === undefined) return new Map();
  try {
    return parseFolded(await fetchFile(source, descriptor, MAX_FOLDED_BYTES, options)) ?? new Map();
  } catch (error) {
    if (isBullaError(error, 'not-found', 'content-invalid')) return new Map();
    throw error;
  }
}
