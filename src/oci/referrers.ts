import * as z from 'zod/mini';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { bareDescriptorSchema, type Descriptor, descriptorSchema } from './descriptor.ts';
import type { Digest } from './digest.ts';
import { buildIndex, type CarriedManifest, type ManifestContent } from './manifest.ts';
import { MEDIA_TYPES } from './media-types.ts';
import { describeIssues, listOf } from './shape.ts';

/** Most entries of a list of referrers that are kept: those of other types do not count where they are left out. */
export const MAX_REFERRERS: number = 10_000;
/** Most bytes of one list of referrers that are read, over all of its pages. */
export const MAX_REFERRERS_BYTES: number = 32 * 1024 * 1024;
/** Most annotations of the entries that are kept: each takes some ten times the memory of its bytes. */
export const MAX_REFERRERS_ANNOTATIONS: number = 200_000;
/** Most entries of a single page. */
export const MAX_PAGE_ENTRIES: number = 50_000;

/** A registry repeats what a manifest says of itself. One odd type or annotation must not hide all others. */
const entrySchema = z.union([descriptorSchema, bareDescriptorSchema]);

const indexSchema = (most: number): z.ZodMiniType<{ readonly manifests: readonly Descriptor[] | null }> =>
  z.looseObject({
    schemaVersion: z.literal(2),
    mediaType: z.optional(z.literal(MEDIA_TYPES.ociIndex)),
    // A server written in Go writes null for an empty list, as olareg does.
    manifests: z.nullable(listOf(entrySchema, most)),
  });

/**
 * Entries of a referrers index: an answer of the referrers API, or the fallback tag's manifest. Of one that
 * says impossible things beside its media type, digest and size, those are left.
 * @param most entries; a fallback index is the whole list, an answer of the API one page of it
 * @throws BullaError content-invalid where it is not an OCI index of descriptors
 */
export function parseReferrersIndex(
  bytes: Uint8Array,
  what: string,
  most: number = MAX_REFERRERS,
): readonly Descriptor[] {
  const parsed = indexSchema(most).safeParse(parseJsonObject(bytes, { what, floats: true }));
  if (parsed.success) return parsed.data.manifests ?? [];
  throw new BullaError(
    'content-invalid',
    `${what} is not a list of referrers: ${describeIssues(parsed.error)}`,
    {
      hint: 'the registry or its fallback tag holds something else there; nothing is known about signatures',
    },
  );
}

/**
 * Descriptor by which a manifest is listed among its subject's referrers (distribution-spec,
 * "Listing Referrers"): the artifact type is the manifest's, else its config's media type, and the
 * annotations are the manifest's.
 */
export function referrerDescriptor(content: ManifestContent, manifest: CarriedManifest): Descriptor {
  const artifactType =
    manifest.artifactType ?? (manifest.kind === 'manifest' ? manifest.config.mediaType : undefined);
  return {
    ...content.descriptor,
    ...(artifactType !== undefined && { artifactType }),
    ...(manifest.annotations !== undefined && { annotations: manifest.annotations }),
  };
}

/** An entry without unused members: inline content, addresses, unknown members. */
export function slimReferrer(entry: Descriptor): Descriptor {
  const { mediaType, digest, size, artifactType, annotations, platform } = entry;
  return {
    mediaType,
    digest,
    size,
    ...(artifactType !== undefined && { artifactType }),
    ...(annotations !== undefined && { annotations }),
    ...(platform !== undefined && { platform }),
  };
}

/** A change of a fallback index. */
export interface ReferrersChange {
  readonly add?: readonly Descriptor[];
  /** Taken out; also used for entries whose manifest is gone, which block later pushes. */
  readonly remove?: ReadonlySet<Digest>;
}

/** Entries after a change: without duplicates, the order kept, later knowledge replacing earlier. */
export function applyReferrersChange(
  entries: readonly Descriptor[],
  change: ReferrersChange,
): readonly Descriptor[] {
  const result = new Map<Digest, Descriptor>();
  for (const entry of [...entries, ...(change.add ?? [])]) result.set(entry.digest, entry);
  for (const digest of change.remove ?? []) result.delete(digest);
  return [...result.values()];
}

/** The fallback index of these entries (distribution-spec, "Referrers Tag Schema"). */
export function buildReferrersIndex(entries: readonly Descriptor[]): ManifestContent {
  return buildIndex({ manifests: entries });
}

/** Keeps the descriptors of one artifact type; all where none is asked for. */
export function filterReferrers(
  entries: readonly Descriptor[],
  artifactType: string | undefined,
): readonly Descriptor[] {
  return artifactType === undefined
    ? entries
    : entries.filter((entry) => entry.artifactType === artifactType);
}
