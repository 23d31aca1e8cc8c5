import { type Algorithm, type AlgorithmId, algorithm, defaultAlgorithm } from '../crypto/algorithm.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import { canonicalRfc8785 } from '../encoding/canonical.ts';
import { isJsonObject, parseJsonObject, unknownMember } from '../encoding/json.ts';
import { bareDescriptor, type Descriptor } from '../oci/descriptor.ts';
import { isDigest } from '../oci/digest.ts';
import { earliest, readAnnotations } from './annotations.ts';
import type { Claims } from './envelope.ts';
import { malformed, unsupported } from './errors.ts';
import { MAX_NOTATION_BYTES, RELEASE_PURPOSE, SIGNATURE_TYPES } from './formats.ts';

/** Header names that JWS and COSE envelopes of Notation share. */
export const NOTATION_HEADERS = {
  scheme: 'io.cncf.notary.signingScheme',
  time: 'io.cncf.notary.signingTime',
  authenticTime: 'io.cncf.notary.authenticSigningTime',
  expiry: 'io.cncf.notary.expiry',
  agent: 'io.cncf.notary.signingAgent',
  timestamp: 'io.cncf.notary.timestampSignature',
} as const;

/** Names that begin so are Notation's, in whatever case: Go reads them in any. */
const HEADER_PREFIX = 'io.cncf.notary.';

/** Header with the plug-in that must verify a signature. */
export const PLUGIN_HEADER: string = 'io.cncf.notary.verificationPlugin';
const PLUGIN_HEADERS: readonly string[] = [PLUGIN_HEADER, 'io.cncf.notary.verificationPluginMinVersion'];
const X509_SCHEME = 'notary.x509';
const AUTHORITY_SCHEME = 'notary.x509.signingAuthority';

/** What a Notation signature of ours says. */
export interface NotationParts {
  /** The image: its media type, digest and size as computed from its bytes. */
  readonly image: Descriptor;
  readonly annotations: ReadonlyMap<string, string>;
  readonly signingTime: Date;
  readonly expiry?: Date | undefined;
  /** Name of the program that signs. */
  readonly agent: string;
}

/** Bytes of the payload (Notary Project signature specification, "Payload"). */
export function buildNotationPayload(parts: NotationParts): Uint8Array {
  const annotations = Object.fromEntries(parts.annotations);
  return canonicalRfc8785({
    targetArtifact: {
      ...bareDescriptor(parts.image),
      ...(parts.annotations.size > 0 && { annotations }),
    },
  });
}

const BY_KEY: ReadonlySet<AlgorithmId> = new Set(['ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512']);
const RSA_BITS: readonly number[] = [2048, 3072, 4096];

/** The algorithm that Notation prescribes for a key; none for Ed25519 and for odd sizes of RSA. */
export function notationAlgorithms(key: PublicKey): readonly Algorithm[] {
  if (key.type === 'RSA' && !RSA_BITS.includes(key.modulusBits ?? 0)) return [];
  const chosen = defaultAlgorithm(key.type, key.modulusBits);
  return BY_KEY.has(chosen.id) ? [chosen] : [];
}

/**
 * The algorithm that an envelope names.
 * @throws BullaError unsupported-signature for `none` and all others that Notation does not have
 */
export function namedNotationAlgorithm(name: unknown, where: string): AlgorithmId {
  const known = [...BY_KEY].find((id) => id === name);
  if (known !== undefined) return algorithm(known).id;
  throw unsupported(
    where,
    `its algorithm is ${JSON.stringify(name ?? null).slice(0, 60)}`,
    `Notation signatures are made with ${[...BY_KEY].join(', ')}`,
  );
}

/** Protected headers of either envelope, their types already told apart. */
export interface NotationHeaders {
  readonly contentType: unknown;
  readonly scheme: unknown;
  readonly critical: unknown;
  /** Names of all protected headers. */
  readonly names: ReadonlySet<unknown>;
  /** Verification plug-in that the signer demands. */
  readonly plugin?: unknown;
  readonly signingTime: Date | undefined;
  readonly expiry: Date | undefined;
}

/** Protected headers of Notation that are known, whether understood or not. */
const PROTECTED_HEADERS: ReadonlySet<string> = new Set([
  NOTATION_HEADERS.scheme,
  NOTATION_HEADERS.time,
  NOTATION_HEADERS.authenticTime,
  NOTATION_HEADERS.expiry,
  NOTATION_HEADERS.agent,
  ...PLUGIN_HEADERS,
]);

/** Headers of Notation that mean something without being signed. */
const UNPROTECTED_HEADERS: ReadonlySet<string> = new Set([
  NOTATION_HEADERS.agent,
  NOTATION_HEADERS.timestamp,
]);

/**
 * Refuses unprotected headers that would restrict the signature, were they signed: an expiry there can be
 * removed by anyone, and the signer meant it to be enforced.
 * @param names of all unprotected headers, as text
 * @param others further names that must be protected in this envelope
 * @throws BullaError content-invalid
 */
export function checkUnprotected(names: Iterable<unknown>, others: readonly unknown[], where: string): void {
  for (const name of names) {
    const isNotations = typeof name === 'string' && name.toLowerCase().startsWith(HEADER_PREFIX);
    if (others.includes(name) || (isNotations && !UNPROTECTED_HEADERS.has(name)))
      throw malformed(where, `header ${String(name).slice(0, 80)} is not protected`);
  }
}

/**
 * Checks protected headers as the Notary Project's specification says, before anything is used:
 * the scheme, that what must be critical is, and that all that is critical is understood.
 * @throws BullaError content-invalid, unsupported-signature
 */
export function checkNotationHeaders(headers: NotationHeaders, where: string): void {
  if (headers.contentType !== SIGNATURE_TYPES.notationPayload) {
    throw malformed(where, `its content type is not ${SIGNATURE_TYPES.notationPayload}`);
  }
  checkScheme(headers, where);
  checkCritical(headers, where);
  checkKnown(headers, where);
  if (headers.signingTime === undefined) throw malformed(where, 'it has no signing time');
  if (headers.expiry !== undefined && headers.expiry <= headers.signingTime) {
    throw malformed(where, 'it expires before it was made');
  }
}

function checkScheme(headers: NotationHeaders, where: string): void {
  if (headers.scheme === AUTHORITY_SCHEME) {
    throw unsupported(
      where,
      `its scheme is ${AUTHORITY_SCHEME}, which needs a trusted signing authority`,
      `only ${X509_SCHEME} is verified; sign with your own key and certificate`,
    );
  }
  if (headers.scheme !== X509_SCHEME) throw malformed(where, `its signing scheme is not ${X509_SCHEME}`);
  if (headers.names.has(NOTATION_HEADERS.authenticTime)) {
    throw malformed(where, `${NOTATION_HEADERS.authenticTime} has no place in the scheme ${X509_SCHEME}`);
  }
  const plugin = PLUGIN_HEADERS.find((name) => headers.names.has(name));
  if (plugin !== undefined) {
    throw unsupported(
      where,
      `it must be verified with the plug-in ${JSON.stringify(headers.plugin ?? null).slice(0, 100)} of notation (${plugin})`,
      'no plug-in is run here: verify it with notation, or have the image signed without a plug-in',
    );
  }
}

function checkCritical(headers: NotationHeaders, where: string): void {
  const { critical, names } = headers;
  if (!Array.isArray(critical) || critical.length === 0) throw malformed(where, 'it has no critical headers');
  if (new Set(critical).size !== critical.length) throw malformed(where, 'a critical header is named twice');
  const must = [NOTATION_HEADERS.scheme, ...(headers.expiry === undefined ? [] : [NOTATION_HEADERS.expiry])];
  for (const name of must) {
    if (!critical.includes(name)) throw malformed(where, `${name} must be critical`);
  }
  for (const name of critical) {
    if (!names.has(name))
      throw malformed(where, `the critical header ${String(name).slice(0, 80)} is missing`);
    if (must.includes(name)) continue;
    throw unsupported(
      where,
      `its critical header ${String(name).slice(0, 80)} is not known here`,
      'the signer demands that readers understand it; verify with the tool that made it',
    );
  }
}

/** A header of Notation's that is not known may restrict the signature, critical or not. */
function checkKnown({ names }: NotationHeaders, where: string): void {
  for (const name of names) {
    if (typeof name !== 'string' || !name.toLowerCase().startsWith(HEADER_PREFIX)) continue;
    if (PROTECTED_HEADERS.has(name)) continue;
    throw unsupported(
      where,
      `its header ${name.slice(0, 80)} is not known here`,
      'it may restrict the signature; verify with the tool that made it',
    );
  }
}

/** Members of a descriptor that the Notary Project's specification lets a payload have. */
const TARGET_MEMBERS = ['annotations', 'artifactType', 'digest', 'mediaType', 'size'];

/**
 * Reads a payload whose bytes were verified.
 * @throws BullaError content-invalid
 */
export function readNotationPayload(payload: Uint8Array, headers: NotationHeaders, where: string): Claims {
  const json = parseJsonObject(payload, {
    what: `the payload of ${where}`,
    maxBytes: MAX_NOTATION_BYTES,
    floats: true,
  });
  const target = json['targetArtifact'];
  if (!isJsonObject(target)) throw malformed(where, 'its payload has no targetArtifact');
  const unknown = unknownMember(json, ['targetArtifact']) ?? unknownMember(target, TARGET_MEMBERS);
  if (unknown !== undefined) {
    throw malformed(
      where,
      `its payload has a member ${JSON.stringify(unknown.slice(0, 80))}, which is not known`,
    );
  }
  const { mediaType, digest, size } = target;
  if (typeof mediaType !== 'string' || typeof size !== 'number') {
    throw malformed(where, 'its payload has no mediaType or size');
  }
  if (typeof digest !== 'string' || !isDigest(digest)) throw malformed(where, 'its payload has no digest');
  const [signed] = readAnnotations(json, [target['annotations']], { where, stringsOnly: true });
  const { annotations = new Map() } = signed ?? {};
  const expiry = earliest([headers.expiry, signed?.expiry]);
  return {
    targets: [{ mediaType, digest, size, annotations }],
    purpose: RELEASE_PURPOSE,
    ...(headers.signingTime !== undefined && { signingTime: headers.signingTime }),
    ...(expiry !== undefined && { expiry }),
  };
}

/** The scheme of what is written here. */
export const NOTATION_SCHEME: string = X509_SCHEME;
