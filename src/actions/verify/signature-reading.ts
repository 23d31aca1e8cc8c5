import { BullaError, isBullaError } from '../../errors.ts';
import { type Descriptor, inlineContent } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { type ManifestContent, parseManifest } from '../../oci/manifest.ts';
import { isManifestType } from '../../oci/media-types.ts';
import type { CallOptions, Source } from '../../oci/target.ts';
import { type LocatedEnvelope, locateCosignLayers, locateEnvelope } from '../../signatures/artifact.ts';
import { readLegacyAttestation, readLegacySignature } from '../../signatures/cosign-legacy.ts';
import type { Envelope } from '../../signatures/envelope.ts';
import { malformed, unsupported } from '../../signatures/errors.ts';
import {
  MAX_ATTESTATION_BYTES,
  MAX_ENVELOPE_BYTES,
  MAX_LEGACY_SIGNATURES,
  SIGNATURE_TYPES,
} from '../../signatures/formats.ts';
import { Limiter } from '../copy/concurrency.ts';

/** Payload of a `.sig` layer: a few hundred bytes, and the annotations that were signed. */
const MAX_LEGACY_PAYLOAD_BYTES = 256 * 1024;

/**
 * Reads envelopes that are larger than those of signatures, one after the other, and none after as many bytes as a search
 * may read: they are attestations, and take several times their size in memory.
 */
export class LargeEnvelopes {
  private readonly limiter = new Limiter(1);
  private readonly isSpent: () => boolean;

  constructor(isSpent: () => boolean) {
    this.isSpent = isSpent;
  }

  /** @throws BullaError content-invalid if no more is read; what `read` throws */
  async read<T>(where: string, read: () => Promise<T>): Promise<T> {
    return await this.limiter.run(async () => {
      if (this.isSpent()) throw malformed(where, 'it is large, and was not read after others that are');
      return await read();
    });
  }
}

export interface OpenOptions extends CallOptions {
  /** Attestations are wanted: larger envelopes are read as well. */
  readonly large?: LargeEnvelopes | undefined;
}

/** A signature taken apart, or why it cannot be. */
export type OpenedSignature =
  | { readonly manifest: Digest; readonly envelope: Envelope; readonly problem?: never }
  | { readonly manifest: Digest; readonly envelope?: never; readonly problem: BullaError };

/** Codes of what is wrong with a signature itself, not with the way to it. */
const PROBLEMS = ['content-invalid', 'unsupported-signature', 'certificate-invalid', 'key-invalid'] as const;

/**
 * Fetches one signature: its manifest, and the envelope where that does not stand in it.
 * @param subject digest of the given image
 * @returns an empty list if the manifest is not a signature; several if it has several, as cosign's may
 * @throws BullaError whatever keeps it from being read
 */
export async function openSignature(
  source: Source,
  digest: Digest,
  subject: Digest,
  options: OpenOptions,
): Promise<readonly OpenedSignature[]> {
  try {
    const content = await source.fetchManifest(digest, { signal: options.signal });
    if (!isManifestType(content.descriptor.mediaType)) throw ofUnreadType(content);
    const layers = locateCosignLayers(content, subject);
    if (layers !== undefined)
      return await Promise.all(openLayers(source, digest, layers, options).map((open) => open()));
    const located = locateEnvelope(content, subject);
    if (located === undefined) return [];
    const envelope = await sized(located.layer, `signature ${digest}`, options, async () =>
      located.read(await envelopeBytes(source, digest, located, options)),
    );
    return [{ manifest: digest, envelope }];
  } catch (error) {
    return [problemOf(digest, error)];
  }
}

/** What refers to an image in a manifest that is not read, as ORAS and drafts of OCI 1.1 wrote it, may be a signature. */
function ofUnreadType({ descriptor: { digest, mediaType } }: ManifestContent): BullaError {
  return unsupported(
    `signature ${digest}`,
    `it is stored in a manifest of type ${mediaType}`,
    'signatures are read from OCI image manifests: sign again with a current version of the tool that made it',
  );
}

function problemOf(manifest: Digest, error: unknown): OpenedSignature {
  if (isBullaError(error, ...PROBLEMS)) return { manifest, problem: error };
  if (!isBullaError(error, 'not-found')) throw error;
  return { manifest, problem: gone(manifest, error) };
}

/** Lists outlive what they name: that says nothing about who made it. */
function gone(manifest: Digest, cause: BullaError): BullaError {
  return new BullaError(
    'content-invalid',
    `signature ${manifest} is listed and gone: its content is not there`,
    {
      cause,
      hint: 'garbage collection, a retention rule or a deletion removed it, or a part of it: sign again, or copy the image from where its signatures are',
    },
  );
}

/** Reads an envelope, if one of its size is wanted. @throws BullaError content-invalid */
async function sized<T>(
  { size }: Descriptor,
  where: string,
  { large }: OpenOptions,
  read: () => Promise<T>,
): Promise<T> {
  if (size <= MAX_ENVELOPE_BYTES) return await read();
  if (large === undefined)
    throw malformed(
      where,
      `its envelope has ${size} bytes, more than the ${MAX_ENVELOPE_BYTES} of a signature`,
    );
  return await large.read(where, read);
}

async function envelopeBytes(
  source: Source,
  digest: Digest,
  { layer }: LocatedEnvelope,
  options: CallOptions,
): Promise<Uint8Array> {
  const inline = inlineContent(layer, `signature ${digest}`);
  return inline ?? source.fetchBlob(layer, MAX_ATTESTATION_BYTES, { signal: options.signal });
}

const LEGACY_TYPES: readonly string[] = [SIGNATURE_TYPES.simpleSigning, SIGNATURE_TYPES.envelope];

/**
 * The signatures of a cosign `.sig` or `.att` manifest, each to be fetched when called.
 * @throws BullaError content-invalid where there is something else at that tag
 */
export function openLegacySignatures(
  source: Source,
  content: ManifestContent,
  options: OpenOptions,
): (() => Promise<OpenedSignature>)[] {
  const { digest } = content.descriptor;
  const manifest = parseManifest(content);
  const layers = manifest.kind === 'manifest' ? manifest.layers : [];
  const signatures = layers.filter(({ mediaType }) => LEGACY_TYPES.includes(mediaType));
  return openLayers(source, digest, signatures, options);
}

function openLayers(
  source: Source,
  digest: Digest,
  signatures: readonly Descriptor[],
  options: OpenOptions,
): (() => Promise<OpenedSignature>)[] {
  if (signatures.length > MAX_LEGACY_SIGNATURES) {
    const problem = malformed(
      `signature ${digest}`,
      `it holds ${signatures.length} signatures, more than the ${MAX_LEGACY_SIGNATURES} allowed`,
    );
    return [async () => ({ manifest: digest, problem })];
  }
  return signatures.map((layer) => () => openLayer(source, digest, layer, options));
}

async function openLayer(
  source: Source,
  manifest: Digest,
  layer: Descriptor,
  options: OpenOptions,
): Promise<OpenedSignature> {
  try {
    const where = `signature ${manifest}`;
    const isEnvelope = layer.mediaType === SIGNATURE_TYPES.envelope;
    const most = isEnvelope ? MAX_ATTESTATION_BYTES : MAX_LEGACY_PAYLOAD_BYTES;
    const read = isEnvelope ? readLegacyAttestation : readLegacySignature;
    const envelope = await sized(layer, where, options, async () => {
      const { signal } = options;
      const payload = inlineContent(layer, where) ?? (await source.fetchBlob(layer, most, { signal }));
      return read(layer, payload, where);
    });
    return { manifest, envelope };
  } catch (error) {
    return problemOf(manifest, error);
  }
}
