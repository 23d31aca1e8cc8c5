import * as z from 'zod/mini';
import { fromBase64, utf8 } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import { algorithmOf, DIGEST_PATTERN, type Digest, digestOf } from './digest.ts';
import { MEDIA_TYPES } from './media-types.ts';
import { listOf, textsByName } from './shape.ts';

/** Platform of an index entry (image-spec, image-index.md). */
export interface Platform {
  readonly architecture: string;
  readonly os: string;
  readonly 'os.version'?: string | undefined;
  readonly 'os.features'?: readonly string[] | undefined;
  readonly variant?: string | undefined;
}

/** Key and value pairs of a manifest or descriptor. */
export type Annotations = Readonly<Record<string, string>>;

/** What content is, how large, and by which name (image-spec, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly artifactType?: string | undefined;
  readonly annotations?: Annotations | undefined;
  readonly urls?: readonly string[] | undefined;
  /** The content itself in base64, where it is small. */
  readonly data?: string | undefined;
  readonly platform?: Platform | undefined;
}

/** With parameters, as some tools write them, or empty: nothing is done by a type that is not known. */
const mediaType = z.string().check(z.maxLength(255), z.regex(/^[\x20-\x7e]*$/, 'not a media type'));

const platformSchema: z.ZodMiniType<Platform> = z.looseObject({
  architecture: z.string(),
  os: z.string(),
  'os.version': z.optional(z.string()),
  'os.features': z.optional(listOf(z.string())),
  variant: z.optional(z.string()),
});

const digestSchema: z.ZodMiniType<Digest> = z
  .string()
  .check(z.regex(DIGEST_PATTERN, 'not a sha256 or sha512 digest')) as unknown as z.ZodMiniType<Digest>;

/** Schema of a descriptor from outside; unknown fields stay. */
export const descriptorSchema: z.ZodMiniType<Descriptor> = z.looseObject({
  mediaType,
  digest: digestSchema,
  size: z.int().check(z.minimum(0)),
  artifactType: z.optional(mediaType),
  annotations: z.optional(textsByName),
  urls: z.optional(listOf(z.string())),
  data: z.optional(z.string()),
  platform: z.optional(platformSchema),
});

/** Schema of a descriptor of which only media type, digest and size are looked at; all else is dropped. */
export const bareDescriptorSchema: z.ZodMiniType<Descriptor> = z.object({
  mediaType,
  digest: digestSchema,
  size: z.int().check(z.minimum(0)),
});

/** Bytes of the empty descriptor's content: `{}`. */
export const EMPTY_BYTES: Uint8Array = utf8('{}');

/** The empty descriptor (image-spec, manifest.md, "Guidance for an Empty Descriptor"). */
export const EMPTY_DESCRIPTOR: Descriptor = {
  mediaType: MEDIA_TYPES.empty,
  digest: digestOf(EMPTY_BYTES),
  size: EMPTY_BYTES.byteLength,
};

/** Descriptor of the given bytes. */
export function describe(type: string, bytes: Uint8Array, extra: Partial<Descriptor> = {}): Descriptor {
  return { mediaType: type, digest: digestOf(bytes), size: bytes.byteLength, ...extra };
}

/** Media type, digest and size only: what identifies content, without annotations and other claims. */
export function bareDescriptor(descriptor: Descriptor): Descriptor {
  return { mediaType: descriptor.mediaType, digest: descriptor.digest, size: descriptor.size };
}

/**
 * Checks that bytes are what a descriptor says, by size and digest.
 * @throws BullaError content-invalid
 */
export function checkContent(
  descriptor: Pick<Descriptor, 'digest' | 'size'>,
  bytes: Uint8Array,
  where: string,
): void {
  if (bytes.byteLength !== descriptor.size) {
    throw new BullaError(
      'content-invalid',
      `${where}: ${descriptor.digest} should have ${descriptor.size} bytes and has ${bytes.byteLength}`,
      {
        hint: 'the content was cut off or replaced; nothing of it was used',
      },
    );
  }
  const found = digestOf(bytes, algorithmOf(descriptor.digest));
  if (found !== descriptor.digest) {
    throw new BullaError('content-invalid', `${where}: expected ${descriptor.digest} and found ${found}`, {
      hint: 'the content was changed or damaged; nothing of it was used',
    });
  }
}

/**
 * Content that a descriptor carries in `data`, verified; undefined where it carries none.
 * @throws BullaError content-invalid where `data` differs from what the descriptor says
 */
export function inlineContent(descriptor: Descriptor, where: string): Uint8Array | undefined {
  if (descriptor.data === undefined) return undefined;
  const bytes = fromBase64(descriptor.data);
  if (bytes === undefined) {
    throw new BullaError('content-invalid', `${where}: the data of ${descriptor.digest} is not base64`, {
      hint: 'the manifest was made by a broken or hostile tool',
    });
  }
  checkContent(descriptor, bytes, where);
  return bytes;
}
