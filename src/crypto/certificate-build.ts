import { createHash, randomBytes } from 'node:crypto';
import { concatBytes, fromHex, utf8 } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import type { Algorithm } from './algorithm.ts';
import { OID } from './certificate.ts';
import { TAG } from './der.ts';
import {
  DER_NULL,
  DER_TRUE,
  der,
  derBitString,
  derInteger,
  derOid,
  derSequence,
  derTime,
} from './der-write.ts';
import { parseName } from './name.ts';
import type { PublicKey } from './public-key.ts';
import { ecdsaToDer } from './signature.ts';
import type { Signer } from './signer.ts';

const SUBJECT_KEY_IDENTIFIER = '2.5.29.14';
const AUTHORITY_KEY_IDENTIFIER = '2.5.29.35';
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';

/** What a certificate is to say. */
export interface CertificateContent {
  /** `C=DE, ST=Berlin, O=Acme, CN=release`. */
  readonly subject: string;
  readonly publicKey: PublicKey;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** A certificate of an authority, of code signing otherwise; with the number of authorities below it. */
  readonly authority?: { readonly pathLength?: number };
  /** URIs of the subject: subject alternative names. ASCII. */
  readonly uris?: readonly string[];
  /** Names of a server, which it is a certificate of then. ASCII. */
  readonly dnsNames?: readonly string[];
}

/** Who issues it. */
export interface CertificateIssuer {
  readonly subject: string;
  readonly signer: Signer;
}

/**
 * Certificate request (PKCS#10, RFC 2986) in DER for a code-signing certificate with Notation's profile.
 * @param uris alternative names of the subject
 * @throws BullaError usage for a malformed subject or URI
 */
export async function createCertificateRequest(
  subject: string,
  signer: Signer,
  uris: readonly string[] = [],
): Promise<Uint8Array> {
  const wanted = derSequence(...profile(undefined, OID.codeSigning), ...alternativeNames(uris));
  const attribute = derSequence(derOid(EXTENSION_REQUEST), der(TAG.set, wanted));
  const body = derSequence(derInteger(0), encodeName(subject), signer.publicKey.spki, der(0xa0, attribute));
  return signed(body, signer);
}

/** Certificate (X.509 v3, RFC 5280) in DER. @throws BullaError usage for a malformed subject */
export async function createCertificate(
  content: CertificateContent,
  issuer: CertificateIssuer,
): Promise<Uint8Array> {
  const selfSigned = issuer.signer.publicKey.fingerprint === content.publicKey.fingerprint;
  const extensions = [
    ...profile(content.authority, content.dnsNames === undefined ? OID.codeSigning : OID.serverAuth),
    ...alternativeNames(content.uris ?? [], content.dnsNames),
    extension(SUBJECT_KEY_IDENTIFIER, false, der(TAG.octetString, keyIdentifier(content.publicKey))),
    ...(selfSigned
      ? []
      : [
          extension(
            AUTHORITY_KEY_IDENTIFIER,
            false,
            derSequence(der(0x80, keyIdentifier(issuer.signer.publicKey))),
          ),
        ]),
  ];
  const body = derSequence(
    der(0xa0, derInteger(2)),
    // At most 20 octets, unpredictable, positive (RFC 5280 §4.1.2.2).
    derInteger(concatBytes([Uint8Array.of(1), new Uint8Array(randomBytes(15))])),
    algorithmIdentifier(issuer.signer.algorithm),
    encodeName(issuer.subject),
    derSequence(derTime(content.notBefore), derTime(content.notAfter)),
    encodeName(content.subject),
    content.publicKey.spki,
    der(0xa3, derSequence(...extensions)),
  );
  return signed(body, issuer.signer);
}

/** Extensions that Notation's profile wants of a signing certificate, or of an authority's; also of a server's. */
function profile(authority: CertificateContent['authority'], purpose: string): Uint8Array[] {
  if (authority === undefined) {
    return [
      // digitalSignature is bit 0.
      extension(OID.keyUsage, true, derBitString(Uint8Array.of(0b1000_0000), 7)),
      extension(OID.extKeyUsage, false, derSequence(derOid(purpose))),
    ];
  }
  const length = authority.pathLength === undefined ? [] : [derInteger(authority.pathLength)];
  return [
    extension(OID.basicConstraints, true, derSequence(DER_TRUE, ...length)),
    // keyCertSign is bit 5, cRLSign bit 6.
    extension(OID.keyUsage, true, derBitString(Uint8Array.of(0b0000_0110), 1)),
  ];
}

/** GeneralNames of uniformResourceIdentifier [6] and dNSName [2] (RFC 5280 §4.2.1.6). @throws BullaError usage */
function alternativeNames(uris: readonly string[], dnsNames: readonly string[] = []): Uint8Array[] {
  if (uris.length === 0 && dnsNames.length === 0) return [];
  const wrong = uris.find((uri) => !/^[a-z][a-z0-9+.-]*:[!-~]+$/i.test(uri));
  if (wrong !== undefined)
    throw new BullaError('usage', `${JSON.stringify(wrong)} is not a URI`, {
      hint: 'such as oci://registry.example.com/team/app, in ASCII',
    });
  const names = [
    ...uris.map((uri) => der(TAG.uri, utf8(uri))),
    ...dnsNames.map((name) => der(TAG.dnsName, utf8(name))),
  ];
  return [extension(OID.subjectAltName, false, derSequence(...names))];
}

function extension(oid: string, critical: boolean, value: Uint8Array): Uint8Array {
  return derSequence(derOid(oid), ...(critical ? [DER_TRUE] : []), der(TAG.octetString, value));
}

async function signed(body: Uint8Array, signer: Signer): Promise<Uint8Array> {
  const signature = await signer.sign(body);
  const isEcdsa = signer.algorithm.scalarBytes !== undefined;
  return derSequence(
    body,
    algorithmIdentifier(signer.algorithm),
    derBitString(isEcdsa ? ecdsaToDer(signature) : signature),
  );
}

/** The first 160 bits of the SHA-256 of the SubjectPublicKeyInfo (RFC 7093 §2). */
function keyIdentifier(key: PublicKey): Uint8Array {
  return (fromHex(createHash('sha256').update(key.spki).digest('hex')) as Uint8Array).subarray(0, 20);
}

const SIGNATURE_OIDS: ReadonlyMap<string, string> = new Map([
  ['ES256', '1.2.840.10045.4.3.2'],
  ['ES384', '1.2.840.10045.4.3.3'],
  ['ES512', '1.2.840.10045.4.3.4'],
  ['ES384-SHA256', '1.2.840.10045.4.3.2'],
  ['Ed25519', '1.3.101.112'],
  ['RS256', '1.2.840.113549.1.1.11'],
]);
const RSASSA_PSS = '1.2.840.113549.1.1.10';
const MGF1 = '1.2.840.113549.1.1.8';
const HASHES: Readonly<Record<'sha256' | 'sha384' | 'sha512', readonly [string, number]>> = {
  sha256: ['2.16.840.1.101.3.4.2.1', 32],
  sha384: ['2.16.840.1.101.3.4.2.2', 48],
  sha512: ['2.16.840.1.101.3.4.2.3', 64],
};

function algorithmIdentifier(algorithm: Algorithm): Uint8Array {
  const oid = SIGNATURE_OIDS.get(algorithm.id);
  if (oid !== undefined) return derSequence(derOid(oid), ...(algorithm.keyType === 'RSA' ? [DER_NULL] : []));
  const [hashOid, hashBytes] = HASHES[algorithm.hash ?? 'sha256'];
  const hash = derSequence(derOid(hashOid), DER_NULL);
  // RFC 4055 §3.1: hash, mask generation, length of the salt.
  return derSequence(
    derOid(RSASSA_PSS),
    derSequence(
      der(0xa0, hash),
      der(0xa1, derSequence(derOid(MGF1), hash)),
      der(0xa2, derInteger(hashBytes)),
    ),
  );
}

/** Attributes whose type has a string of its own (RFC 5280 appendix A.1); all others are UTF-8. */
const STRING_TAGS: ReadonlyMap<string, number> = new Map<string, number>([
  ['2.5.4.6', TAG.printableString],
  ['2.5.4.5', TAG.printableString],
  ['0.9.2342.19200300.100.1.25', TAG.ia5String],
  ['1.2.840.113549.1.9.1', TAG.ia5String],
]);

function encodeName(subject: string): Uint8Array {
  const relative = [...parseName(subject)].map(([oid, value]) => {
    const tag = STRING_TAGS.get(oid) ?? TAG.utf8String;
    if (
      (oid === '2.5.4.6' && !/^[A-Z]{2}$/.test(value)) ||
      (tag !== TAG.utf8String && /[^ -~]/.test(value))
    ) {
      throw new BullaError(
        'usage',
        `${JSON.stringify(value)} cannot stand where it stands in ${JSON.stringify(subject)}`,
        {
          hint: 'C is a country in two capital letters; serial number, domain component and e-mail address are ASCII',
        },
      );
    }
    return der(TAG.set, derSequence(derOid(oid), der(tag, utf8(value))));
  });
  return derSequence(...relative);
}
