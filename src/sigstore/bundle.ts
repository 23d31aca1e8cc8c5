import { type Certificate, isIssuedBy, parseCertificate } from '../crypto/certificate.ts';
import { base64, utf8 } from '../encoding/bytes.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { Fields, malformed } from './fields.ts';

/** Media types of bundles (Sigstore's protobuf-specs, `sigstore_bundle.proto`), with the version of each. */
const VERSIONS: ReadonlyMap<string, BundleVersion> = new Map([
  ['application/vnd.dev.sigstore.bundle+json;version=0.1', '0.1'],
  ['application/vnd.dev.sigstore.bundle+json;version=0.2', '0.2'],
  ['application/vnd.dev.sigstore.bundle+json;version=0.3', '0.3'],
  ['application/vnd.dev.sigstore.bundle.v0.3+json', '0.3'],
]);

/** Whether a media type or artifact type is that of a bundle of a version that is read. */
export function isBundleType(type: string): boolean {
  return VERSIONS.has(type);
}

export type BundleVersion = '0.1' | '0.2' | '0.3';

/** Largest bundle that is read, in bytes: an attestation may carry a large predicate. */
export const MAX_BUNDLE_BYTES: number = 32 * 1024 * 1024;
/** Values in its JSON: what is large in a bundle is one text, its payload. */
const MAX_BUNDLE_VALUES = 262_144;
const MAX_CERTIFICATES = 10;
const MAX_LOG_ENTRIES = 32;
const MAX_TIMESTAMPS = 32;
/** Signatures of an envelope that are counted, for the message that one is expected. */
const MAX_LISTED_SIGNATURES = 100;
/** Inner nodes on the way up a log of 2^64 entries. */
const MAX_PROOF_HASHES = 64;

/** A bundle, taken apart. Nothing in it has been verified. */
export interface Bundle {
  readonly version: BundleVersion;
  /** Who claims to have signed: a certificate, or a key by its hint. */
  readonly signer: { readonly certificate: Certificate } | { readonly hint: string };
  readonly content: MessageSignature | DsseEnvelope;
  readonly logEntries: readonly LogEntry[];
  /** RFC 3161 `TimeStampResp`, in DER. */
  readonly timestamps: readonly Uint8Array[];
}

/** A signature over the bytes of an artifact. */
export interface MessageSignature {
  readonly kind: 'message';
  readonly signature: Uint8Array;
  /** What the bundle says the artifact's digest is: a hint that must not be wrong. */
  readonly digest?: { readonly algorithm: string; readonly value: Uint8Array };
}

/** A DSSE envelope with exactly one signature. */
export interface DsseEnvelope {
  readonly kind: 'dsse';
  readonly payloadType: string;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
  /** The bytes of an envelope that stands alone: the first entries of attestations are about their hash. */
  readonly raw?: Uint8Array;
}

/** An entry of a transparency log. */
export interface LogEntry {
  readonly where: string;
  readonly index: number;
  /** Base64 of the log's id. */
  readonly logId: string;
  readonly kind: string;
  readonly kindVersion: string;
  /** Seconds since 1970; 0 where the log gives no time. */
  readonly integratedTime: number;
  readonly canonicalizedBody: Uint8Array;
  /** The log's promise to include the entry, signed. */
  readonly signedEntryTimestamp?: Uint8Array;
  readonly inclusionProof?: InclusionProof;
}

/** That an entry is in a log of a given size (RFC 6962 §2.1.1). */
export interface InclusionProof {
  readonly index: number;
  readonly treeSize: number;
  readonly rootHash: Uint8Array;
  readonly hashes: readonly Uint8Array[];
  /** The log's signed note about root and size; its first versions left it out. */
  readonly checkpoint?: Uint8Array;
}

/**
 * Takes a bundle of version 0.1 to 0.3 apart.
 * @throws BullaError content-invalid, certificate-invalid; unsupported-signature for another version
 */
export function parseBundle(bytes: Uint8Array, where: string, maxBytes: number = MAX_BUNDLE_BYTES): Bundle {
  const json = parseJsonObject(bytes, { what: where, maxBytes, maxValues: MAX_BUNDLE_VALUES });
  const bundle = new Fields(json, where);
  const { mediaType = null } = json;
  const version = typeof mediaType === 'string' ? VERSIONS.get(mediaType) : undefined;
  if (version === undefined) {
    throw new BullaError(
      'unsupported-signature',
      `${where} is a bundle of type ${JSON.stringify(mediaType).slice(0, 120)}`,
      { hint: 'bundles of version 0.1, 0.2 and 0.3 are supported; update bulla, or sign with another tool' },
    );
  }
  const material = bundle.message('verificationMaterial');
  const timestamps = material
    .optional('timestampVerificationData')
    ?.messages('rfc3161Timestamps', MAX_TIMESTAMPS);
  return {
    version,
    signer: readSigner(material, version),
    content: readContent(bundle),
    logEntries: material
      .messages('tlogEntries', MAX_LOG_ENTRIES)
      .map((entry, at) => readLogEntry(entry, `log entry ${at + 1} of ${where}`)),
    timestamps: (timestamps ?? []).map((timestamp) => timestamp.bytes('signedTimestamp')),
  };
}

function readSigner(material: Fields, version: BundleVersion): Bundle['signer'] {
  const given = ['certificate', 'x509CertificateChain', 'publicKey'].filter((name) => material.has(name));
  if (given.length !== 1) throw malformed(material.where, `it names ${given.length} signers instead of one`);
  if (given[0] === 'publicKey') return { hint: material.message('publicKey').optionalText('hint') };
  if (given[0] === 'certificate')
    return { certificate: readCertificate(material.message('certificate'), material.where) };
  if (version === '0.3')
    throw malformed(material.where, 'a bundle of version 0.3 has one certificate, not a chain');
  return { certificate: readChain(material.message('x509CertificateChain')) };
}

/** The signer's certificate. Issuers come from the trusted root alone, so a chain that brings its root is refused. */
function readChain(chain: Fields): Certificate {
  const [leaf, ...issuers] = chain
    .messages('certificates', MAX_CERTIFICATES)
    .map((certificate) => readCertificate(certificate, chain.where));
  if (leaf === undefined) throw malformed(chain.where, 'it has no certificates');
  if (issuers.some((issuer) => isIssuedBy(issuer, issuer)))
    throw malformed(chain.where, 'it contains a root certificate, which only the trusted root may do');
  return leaf;
}

function readCertificate(certificate: Fields, where: string): Certificate {
  return parseCertificate(certificate.bytes('rawBytes'), `the certificate of ${where}`);
}

function readContent(bundle: Fields): Bundle['content'] {
  if (bundle.has('messageSignature') === bundle.has('dsseEnvelope'))
    throw malformed(bundle.where, 'it needs either a messageSignature or a dsseEnvelope');
  if (bundle.has('dsseEnvelope')) return readEnvelope(bundle.message('dsseEnvelope'));
  const message = bundle.message('messageSignature');
  const digest = message.optional('messageDigest');
  return {
    kind: 'message',
    signature: message.bytes('signature'),
    ...(digest !== undefined && {
      digest: { algorithm: digest.text('algorithm'), value: digest.bytes('digest') },
    }),
  };
}

/** Takes a DSSE envelope that stands alone apart. @throws BullaError content-invalid */
export function parseEnvelope(raw: Uint8Array, where: string, maxBytes: number): DsseEnvelope {
  const limits = { what: where, maxBytes, maxValues: MAX_BUNDLE_VALUES };
  return { ...readEnvelope(new Fields(parseJsonObject(raw, limits), where)), raw };
}

function readEnvelope(envelope: Fields): DsseEnvelope {
  const signatures = envelope.messages('signatures', MAX_LISTED_SIGNATURES);
  const [only] = signatures;
  if (only === undefined || signatures.length > 1)
    throw malformed(
      envelope.where,
      `it has ${signatures.length} signatures, and a bundle has exactly one signature`,
    );
  return {
    kind: 'dsse',
    payloadType: envelope.text('payloadType'),
    payload: envelope.bytes('payload'),
    signature: only.bytes('sig'),
  };
}

function readLogEntry(entry: Fields, where: string): LogEntry {
  const version = entry.message('kindVersion');
  const promise = entry.optional('inclusionPromise');
  const proof = entry.optional('inclusionProof');
  return {
    where,
    index: entry.integer('logIndex'),
    logId: base64(entry.message('logId').bytes('keyId')),
    kind: version.text('kind'),
    kindVersion: version.text('version'),
    integratedTime: entry.integer('integratedTime'),
    canonicalizedBody: entry.bytes('canonicalizedBody'),
    ...(promise !== undefined && { signedEntryTimestamp: promise.bytes('signedEntryTimestamp') }),
    ...(proof !== undefined && { inclusionProof: readProof(proof) }),
  };
}

function readProof(proof: Fields): InclusionProof {
  const checkpoint = proof.optional('checkpoint');
  return {
    index: proof.integer('logIndex'),
    treeSize: proof.integer('treeSize'),
    rootHash: proof.bytes('rootHash'),
    hashes: proof.bytesList('hashes', MAX_PROOF_HASHES),
    ...(checkpoint !== undefined && { checkpoint: utf8(checkpoint.text('envelope')) }),
  };
}
