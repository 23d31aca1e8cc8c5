import * as z from 'zod/mini';
import { parseJsonObject } from '../../encoding/json.ts';
import type { Annotations, Descriptor, Platform } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { type Manifest, parseManifest } from '../../oci/manifest.ts';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import type { Tag } from '../../oci/reference.ts';
import { listOf, textsByName } from '../../oci/shape.ts';
import type { CallOptions, Source } from '../../oci/target.ts';

/** What one manifest says of itself. */
export interface Inspection {
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  /** From the config of an image; undefined for an index or an artifact. */
  readonly config: ImageConfig | undefined;
}

/** What people look for in the config of an image (image-spec, config.md). */
export interface ImageConfig {
  readonly platform: Platform;
  /** RFC 3339, as the builder wrote it. */
  readonly created?: string | undefined;
  readonly author?: string | undefined;
  readonly labels: Annotations;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly user?: string | undefined;
}

const MAX_CONFIG_BYTES = 4 * 1024 * 1024;
const CONFIG_TYPES: ReadonlySet<string> = new Set([MEDIA_TYPES.ociConfig, MEDIA_TYPES.dockerConfig]);

const words = z.nullish(listOf(z.string()));
const configSchema = z.looseObject({
  architecture: z.string(),
  os: z.string(),
  'os.version': z.optional(z.string()),
  variant: z.optional(z.string()),
  created: z.nullish(z.string()),
  author: z.nullish(z.string()),
  config: z.nullish(
    z.looseObject({
      Labels: z.nullish(textsByName),
      Entrypoint: words,
      Cmd: words,
      User: z.nullish(z.string()),
    }),
  ),
});

/**
 * Reads a manifest and, of an image, its config.
 * @throws BullaError not-found, content-invalid, and what `source` throws
 */
export async function inspectManifest(
  source: Source,
  reference: Tag | Digest,
  options: CallOptions,
): Promise<Inspection> {
  const content = await source.fetchManifest(reference, options);
  const manifest = parseManifest(content);
  return { descriptor: content.descriptor, manifest, config: await imageConfig(source, manifest, options) };
}

async function imageConfig(
  source: Source,
  manifest: Manifest,
  options: CallOptions,
): Promise<ImageConfig | undefined> {
  if (manifest.kind !== 'manifest' || !CONFIG_TYPES.has(manifest.config.mediaType)) return undefined;
  const bytes = await source.fetchBlob(manifest.config, MAX_CONFIG_BYTES, options);
  const parsed = configSchema.safeParse(
    parseJsonObject(bytes, { what: `config ${manifest.config.digest}`, floats: true }),
  );
  // An artifact may use the type of an image's config: then there is nothing to show.
  if (!parsed.success) return undefined;
  const { architecture, os, variant, created, author, config } = parsed.data;
  return {
    platform: { architecture, os, ...(variant !== undefined && { variant }) },
    created: created ?? undefined,
    author: author ?? undefined,
    labels: config?.Labels ?? {},
    entrypoint: config?.Entrypoint ?? [],
    cmd: config?.Cmd ?? [],
    user: config?.User ?? undefined,
  };
}
