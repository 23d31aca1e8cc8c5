import * as z from 'zod/mini';
import { canonicalRfc8785 } from '../encoding/canonical.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import {
  type Annotations,
  type Descriptor,
  describe,
  descriptorSchema,
  EMPTY_DESCRIPTOR,
} from './descriptor.ts';
import { isArtifactType, isIndexType, MEDIA_TYPES } from './media-types.ts';
import { describeIssues, listOf, textsByName } from './shape.ts';

/** Largest manifest that is read or written, in bytes: what distribution-spec makes registries accept. */
export const MAX_MANIFEST_BYTES: number = 4 * 1024 * 1024;

/** A manifest's bytes as they were received, and the descriptor computed from them. */
export interface ManifestContent {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** An image manifest or artifact (image-spec, manifest.md; docker's schema 2 reads the same). */
export interface ImageManifest {
  readonly kind: 'manifest';
  readonly mediaType: string;
  readonly artifactType?: string | undefined;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor | undefined;
  readonly annotations?: Annotations | undefined;
}

/** An image index or manifest list (image-spec, image-index.md). */
export interface IndexManifest {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly artifactType?: string | undefined;
  readonly manifests: readonly Descriptor[];
  readonly subject?: Descriptor | undefined;
  readonly annotations?: Annotations | undefined;
}

export type Manifest = ImageManifest | IndexManifest;

/** An artifact manifest from before OCI 1.1: of ORAS, or of the release candidates of image-spec 1.1. */
export interface ArtifactManifest {
  readonly kind: 'artifact';
  readonly mediaType: string;
  readonly artifactType?: string | undefined;
  readonly blobs: readonly Descriptor[];
  readonly subject?: Descriptor | undefined;
  readonly annotations?: Annotations | undefined;
}

/** Any manifest that is carried from place to place. */
export type CarriedManifest = Manifest | ArtifactManifest;

const common = {
  schemaVersion: z.literal(2),
  mediaType: z.optional(z.string()),
  artifactType: z.optional(z.string()),
  subject: z.optional(descriptorSchema),
  annotations: z.optional(textsByName),
};

export const imageManifestSchema: z.ZodMiniType<object> = z.looseObject({
  ...common,
  config: descriptorSchema,
  layers: listOf(descriptorSchema),
});
export const indexManifestSchema: z.ZodMiniType<object> = z.looseObject({
  ...common,
  manifests: listOf(descriptorSchema),
});
const artifactManifestSchema: z.ZodMiniType<object> = z.looseObject({
  ...common,
  schemaVersion: z.optional(z.number()),
  blobs: listOf(descriptorSchema),
});

/**
 * Parses a manifest whose bytes were already checked against a digest. Refuses one that could be
 * read as two things (CVE-2021-41190): with both `manifests` and `layers` or `config`, or whose own
 * `mediaType` is not the one it was served with. A member that is null is not there, as other tools read it.
 * @throws BullaError content-invalid
 */
export function parseManifest(content: ManifestContent): Manifest {
  const known = PARSED.get(content);
  if (known !== undefined) return known;
  const manifest = parse(content, false) as Manifest;
  PARSED.set(content, manifest);
  return manifest;
}

/** What was parsed: a workflow asks for the same manifest at several of its steps, and neither side ever changes. */
const PARSED = new WeakMap<ManifestContent, Manifest>();

/**
 * {@link parseManifest} of what is only carried from place to place, byte for byte: annotations, types, platforms
 * and addresses that cannot be read are as if they were not there. What it is made of and what it refers to has
 * to be readable. Not for anything that is trusted for its content.
 * @throws BullaError content-invalid
 */
export function parseCarried(content: ManifestContent): CarriedManifest {
  return parse(content, true);
}

function parse(content: ManifestContent, isCarried: boolean): CarriedManifest {
  const served = content.descriptor.mediaType;
  const where = `manifest ${content.descriptor.digest}`;
  const json = parseJsonObject(content.bytes, { what: where, maxBytes: MAX_MANIFEST_BYTES, floats: true });
  if ('manifests' in json && ('layers' in json || 'config' in json)) {
    throw ambiguous(where, 'it has both manifests and layers');
  }
  const own = json['mediaType'] ?? '';
  if (own !== '' && own !== served) {
    throw ambiguous(
      where,
      `it was served as ${served} and calls itself ${JSON.stringify(own).slice(0, 200)}`,
    );
  }
  const kind = isIndexType(served) ? 'index' : isCarried && isArtifactType(served) ? 'artifact' : 'manifest';
  if (kind === 'artifact' && ('manifests' in json || 'layers' in json || 'config' in json)) {
    throw ambiguous(where, `it was served as ${served} and reads like an image`);
  }
  const parsed = SCHEMAS[kind].safeParse(tidied(json, isCarried));
  if (!parsed.success) {
    throw new BullaError(
      'content-invalid',
      `${where} is not a valid ${served}: ${describeIssues(parsed.error)}`,
      {
        hint: 'the manifest was made by a broken tool, or is of a kind that is not supported (docker schema 1 is not)',
      },
    );
  }
  return { ...parsed.data, kind, mediaType: served } as unknown as CarriedManifest;
}

const SCHEMAS = {
  manifest: imageManifestSchema,
  index: indexManifestSchema,
  artifact: artifactManifestSchema,
} as const;
const OPTIONAL = ['mediaType', 'artifactType', 'subject', 'annotations', 'urls', 'data', 'platform'] as const;

/** A manifest without the members that say nothing. */
function tidied(json: JsonObject, isCarried: boolean): JsonObject {
  const manifest = tidiedMembers(json, isCarried);
  for (const name of ['config', 'subject'] as const) {
    const one = manifest[name];
    if (isJsonObject(one)) manifest[name] = tidiedMembers(one, isCarried);
  }
  for (const name of ['layers', 'manifests', 'blobs'] as const) {
    const list = manifest[name];
    if (list === null) manifest[name] = [];
    if (Array.isArray(list))
      manifest[name] = list.map((one) => (isJsonObject(one) ? tidiedMembers(one, isCarried) : one));
  }
  // An artifact may be nothing but its config and annotations.
  if (isJsonObject(manifest['config'])) manifest['layers'] ??= [];
  else if (!('layers' in manifest || 'manifests' in manifest)) manifest['blobs'] ??= [];
  return manifest;
}

function tidiedMembers(json: JsonObject, isCarried: boolean): JsonObject {
  const isEmpty = (name: string): boolean => {
    const value = json[name];
    if (value === undefined) return false;
    if (value === null || (value === '' && name !== 'mediaType')) return true;
    return name === 'platform' ? !isPlatform(value) : isCarried && !isReadable(name, value);
  };
  const tidy: JsonObject = { ...json };
  for (const name of OPTIONAL) if (isEmpty(name)) delete tidy[name];
  const { platform } = tidy;
  if (isJsonObject(platform))
    tidy['platform'] = Object.fromEntries(Object.entries(platform).filter(([, value]) => value !== null));
  return tidy;
}

/** Whether a platform can be chosen by; one that cannot is as good as none. */
function isPlatform(value: JsonValue): boolean {
  if (!isJsonObject(value) || typeof value['os'] !== 'string' || typeof value['architecture'] !== 'string')
    return false;
  const features = value['os.features'] ?? [];
  return (
    ['os.version', 'variant'].every((name) => typeof (value[name] ?? '') === 'string') &&
    Array.isArray(features) &&
    features.every((feature) => typeof feature === 'string')
  );
}

/** Whether a member that is not needed to carry a manifest is what the specification says. */
function isReadable(name: string, value: JsonValue): boolean {
  if (name === 'annotations')
    return isJsonObject(value) && Object.values(value).every((text) => typeof text === 'string');
  if (name === 'urls') return Array.isArray(value) && value.every((text) => typeof text === 'string');
  if (name === 'artifactType' || name === 'data') return typeof value === 'string';
  return true;
}

/**
 * Media type of manifest bytes that came without one (a file in a layout, say): what the manifest
 * says itself, else what its shape says.
 * @throws BullaError content-invalid where it says nothing, or could be two things
 */
export function mediaTypeOfManifest(bytes: Uint8Array, where: string): string {
  const json = parseJsonObject(bytes, { what: where, maxBytes: MAX_MANIFEST_BYTES, floats: true });
  if ('manifests' in json && ('layers' in json || 'config' in json))
    throw ambiguous(where, 'it has both manifests and layers');
  if (typeof json['mediaType'] === 'string' && json['mediaType'] !== '') return json['mediaType'];
  if ('manifests' in json) return MEDIA_TYPES.ociIndex;
  if ('layers' in json || 'config' in json) return MEDIA_TYPES.ociManifest;
  throw ambiguous(where, 'it has neither manifests nor layers');
}

function ambiguous(where: string, why: string): BullaError {
  return new BullaError('content-invalid', `${where} is ambiguous: ${why}`, {
    hint: 'such a manifest can mean one image to one tool and another to the next; it is refused',
  });
}

/** Descriptors of all that a manifest is made of, in order; its subject is not part of it. */
export function childrenOf(manifest: CarriedManifest): readonly Descriptor[] {
  if (manifest.kind === 'artifact') return manifest.blobs;
  return manifest.kind === 'index' ? manifest.manifests : [manifest.config, ...manifest.layers];
}

/** What an artifact manifest is made of. */
export interface ArtifactParts {
  readonly artifactType: string;
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly annotations?: Annotations;
  /** The empty descriptor if left out. */
  readonly config?: Descriptor;
}

/** An OCI 1.1 artifact manifest in its one deterministic spelling (RFC 8785). */
export function buildArtifact(parts: ArtifactParts): ManifestContent {
  return encodeManifest({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    artifactType: parts.artifactType,
    config: parts.config ?? EMPTY_DESCRIPTOR,
    layers: parts.layers.length > 0 ? parts.layers : [EMPTY_DESCRIPTOR],
    subject: parts.subject,
    annotations: parts.annotations,
  });
}

/** What an index is made of. */
export interface IndexParts {
  readonly manifests: readonly Descriptor[];
  readonly artifactType?: string;
  readonly subject?: Descriptor;
  readonly annotations?: Annotations;
}

/** An OCI image index in its one deterministic spelling (RFC 8785). */
export function buildIndex(parts: IndexParts): ManifestContent {
  return encodeManifest({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, ...parts });
}

function encodeManifest(fields: { readonly mediaType: string } & Record<string, unknown>): ManifestContent {
  const bytes = canonicalRfc8785(fields);
  return { descriptor: describe(fields.mediaType, bytes), bytes };
}
