import * as z from 'zod/mini';
import { encodeOwn } from '../../encoding/canonical.ts';
import { type JsonObject, parseJson } from '../../encoding/json.ts';
import { BullaError } from '../../errors.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { describeIssues, listOf } from '../../oci/shape.ts';
import type { CollectionId } from '../format/binding.ts';
import type { SignerRecord } from './signer-state.ts';

/** Largest record that is written and read, in bytes: thousands of roles. */
export const MAX_RECORD_BYTES: number = 512 * 1024;

const version = z.int().check(z.minimum(0));
const recordSchema = z.strictObject({
  version: z.literal(1),
  collection: z.string(),
  served: z.optional(
    z.strictObject({
      digest: z.string().check(z.refine(isDigest, 'not a digest')),
      timestamp: version,
      snapshot: version,
      root: z.optional(version),
      keys: listOf(z.string().check(z.maxLength(256))),
    }),
  ),
  used: listOf(z.strictObject({ role: z.string(), version })),
});

/**
 * A signer's record of a collection in its canonical form (RFC 8785), wherever it is kept.
 * @throws BullaError usage where it would be too large to be read again
 */
export function encodeRecord(id: CollectionId, { served, used }: SignerRecord): Uint8Array {
  const json: JsonObject = {
    version: 1,
    collection: id,
    used: [...used].map(([role, top]) => ({ role, version: top })),
  };
  if (served !== undefined) {
    const { digest, timestamp, snapshot, root, keys } = served;
    json['served'] = { digest, timestamp, snapshot, ...(root !== undefined && { root }), keys: [...keys] };
  }
  const bytes = encodeOwn(json);
  if (bytes.byteLength <= MAX_RECORD_BYTES) return bytes;
  throw new BullaError(
    'usage',
    `the record of ${used.size} roles of a collection has ${bytes.byteLength} bytes, and at most ${MAX_RECORD_BYTES} are kept`,
    { hint: 'give the collection fewer signers, or signers with shorter names' },
  );
}

/**
 * Reads a record.
 * @param what names it in messages
 * @throws BullaError storage-error where it is damaged or another collection's: taking it for none would
 *   give up what protects from old heads
 */
export function parseRecord(bytes: Uint8Array, id: CollectionId, what: string): SignerRecord {
  let json: unknown;
  try {
    json = parseJson(bytes, { what, maxBytes: MAX_RECORD_BYTES });
  } catch (cause) {
    throw damaged(what, 'it is not JSON', cause);
  }
  const parsed = recordSchema.safeParse(json);
  if (!parsed.success) throw damaged(what, describeIssues(parsed.error));
  const { collection, served, used } = parsed.data;
  if (collection !== id) throw damaged(what, `it is of the collection ${collection.slice(0, 12)}`);
  return {
    used: new Map(used.map(({ role, version: top }) => [role, top])),
    ...(served !== undefined && {
      served: { ...served, digest: served.digest as Digest },
    }),
  };
}

function damaged(what: string, why: string, cause?: unknown): BullaError {
  return new BullaError('storage-error', `${what} cannot be read: ${why}`, {
    cause,
    hint: 'restore it, or check the head (bulla status) and remove it: then the next valid head is accepted',
  });
}
