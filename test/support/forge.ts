import type { Certificate } from '../../src/crypto/certificate.ts';
import { ecdsaToDer } from '../../src/crypto/signature.ts';
import type { Signer } from '../../src/crypto/signer.ts';
import { base64, base64url, utf8 } from '../../src/encoding/bytes.ts';
import {
  bareDescriptor,
  type Descriptor,
  describe,
  EMPTY_BYTES,
  EMPTY_DESCRIPTOR,
} from '../../src/oci/descriptor.ts';
import { buildArtifact, type ManifestContent } from '../../src/oci/manifest.ts';
import type { Target } from '../../src/oci/target.ts';
import { SIGNATURE_TYPES } from '../../src/signatures/formats.ts';
import { preAuthEncoding } from '../../src/sigstore/dsse.ts';
import { pushBytes } from './content.ts';

/** How a forged signature is stored. */
export interface Attachment {
  readonly artifactType?: string;
  readonly layerType?: string;
  readonly envelope: Uint8Array | string;
  /** Said of the layer, instead of what is true. */
  readonly layer?: Partial<Descriptor>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Layers; one if left out. */
  readonly copies?: number;
}

/** Stores an envelope as a signature of `image`, whatever it holds. */
export async function attach(
  target: Target,
  image: Descriptor,
  attachment: Attachment,
): Promise<ManifestContent> {
  const { envelope, copies = 1 } = attachment;
  const layerType = attachment.layerType ?? SIGNATURE_TYPES.bundle;
  const artifactType =
    attachment.artifactType ??
    (layerType === SIGNATURE_TYPES.bundle ? SIGNATURE_TYPES.bundle : SIGNATURE_TYPES.notation);
  const bytes = typeof envelope === 'string' ? utf8(envelope) : envelope;
  const layer = describe(layerType, bytes);
  await pushBytes(target, { descriptor: layer, bytes });
  await pushBytes(target, { descriptor: EMPTY_DESCRIPTOR, bytes: EMPTY_BYTES });
  const manifest = buildArtifact({
    artifactType,
    layers: Array.from({ length: copies }, () => ({ ...layer, ...attachment.layer })),
    subject: bareDescriptor(image),
    ...(attachment.annotations !== undefined && { annotations: attachment.annotations }),
  });
  await target.pushManifest(manifest);
  return manifest;
}

/** The payload of a Notation signature. */
export function notationPayload(image: Descriptor, different: object = {}): string {
  return JSON.stringify({ targetArtifact: { ...bareDescriptor(image), ...different } });
}

/** An honest protected header of a Notation JWS by a P-256 key. */
export const PROTECTED: Readonly<Record<string, unknown>> & { readonly crit: readonly string[] } = {
  alg: 'ES256',
  crit: ['io.cncf.notary.signingScheme'],
  cty: SIGNATURE_TYPES.notationPayload,
  'io.cncf.notary.signingScheme': 'notary.x509',
  'io.cncf.notary.signingTime': '2026-06-01T00:00:00Z',
};

export interface JwsParts {
  /** An object, or JSON text that no serialiser would write. */
  readonly header?: object | string;
  readonly payload: string;
  readonly signer: Signer;
  readonly chain: readonly Certificate[];
  readonly unprotected?: object;
}

/** Signs whatever is asked for as a flattened JWS. */
export async function forgeJws(parts: JwsParts): Promise<Record<string, unknown>> {
  const { header = PROTECTED } = parts;
  const encoded = base64url(utf8(typeof header === 'string' ? header : JSON.stringify(header)));
  const payload = base64url(utf8(parts.payload));
  const signature = await parts.signer.sign(utf8(`${encoded}.${payload}`));
  return {
    payload,
    protected: encoded,
    header: { x5c: parts.chain.map(({ der }) => base64(der)), ...parts.unprotected },
    signature: base64url(signature),
  };
}

/** An in-toto statement about an image. */
export function statement(image: Descriptor, different: object = {}): Record<string, unknown> {
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ digest: { sha256: image.digest.slice(7) } }],
    predicateType: 'https://sigstore.dev/cosign/sign/v1',
    predicate: {},
    ...different,
  };
}

export interface BundleParts {
  /** JSON text of the statement. */
  readonly payload: string;
  readonly signer: Signer;
  /** What was signed over; what is written is `writtenType`. */
  readonly payloadType?: string;
  readonly writtenType?: string;
  readonly material?: object;
  readonly signature?: Uint8Array;
  /** How many times the signature stands there. */
  readonly copies?: number;
}

/** Signs whatever is asked for as a Sigstore bundle. */
export async function forgeBundle(parts: BundleParts): Promise<string> {
  const { payloadType = SIGNATURE_TYPES.inToto, copies = 1 } = parts;
  const payload = utf8(parts.payload);
  const plain = await parts.signer.sign(preAuthEncoding(payloadType, payload));
  const isEcdsa = parts.signer.algorithm.scalarBytes !== undefined;
  const sig = base64(parts.signature ?? (isEcdsa ? ecdsaToDer(plain) : plain));
  return JSON.stringify({
    mediaType: SIGNATURE_TYPES.bundle,
    verificationMaterial: parts.material ?? { publicKey: { hint: 'any' } },
    dsseEnvelope: {
      payloadType: parts.writtenType ?? payloadType,
      payload: base64(payload),
      signatures: Array.from({ length: copies }, () => ({ sig })),
    },
  });
}
