import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { TAG } from '../../../src/crypto/der.ts';
import {
  DER_TRUE,
  der,
  derBitString,
  derInteger,
  derOid,
  derSequence,
  derTime,
} from '../../../src/crypto/der-write.ts';
import { base64, concatBytes, hex, utf8 } from '../../../src/encoding/bytes.ts';
import { canonicalRfc8785 } from '../../../src/encoding/canonical.ts';
import { preAuthEncoding } from '../../../src/sigstore/dsse.ts';
import { leafHash } from '../../../src/sigstore/merkle.ts';
import { timeStampResponse } from './time-stamp-response.ts';

const ECDSA_SHA256 = derSequence(derOid('1.2.840.10045.4.3.2'));
const SCT_LIST = '1.3.6.1.4.1.11129.2.4.2';
const ISSUER_V1 = '1.3.6.1.4.1.57264.1.1';
const ISSUER_V2 = '1.3.6.1.4.1.57264.1.8';
const MINUTE = 60_000;

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** What a certificate says about its owner. */
export interface Owner {
  readonly kind: 'email' | 'uri' | 'username' | 'none';
  readonly subject: string;
  readonly issuer: string;
  /** Value of the older extension, where it differs. */
  readonly issuerV1?: string;
  readonly issuerV2?: string | null;
}

/** How a bundle is made; each default makes a good one. */
export interface Making {
  readonly owner: Owner;
  readonly now: Date;
  readonly rekor: 1 | 2;
  /** When the log (Rekor v1) or the time-stamp authority saw the signature. */
  readonly seen: Date;
  readonly purposes: readonly string[];
  readonly isPublished: boolean;
  readonly isLogged: boolean;
  readonly isStamped: boolean;
  readonly lifetime: number;
}

/** A Sigstore instance in memory: Fulcio, a certificate transparency log, Rekor v1 and v2, a time-stamp authority. */
export class SigstoreInstance {
  readonly root: KeyPair = keyPair();
  readonly intermediate: KeyPair = keyPair();
  readonly certificateLog: KeyPair = keyPair();
  readonly rekor1: KeyPair = keyPair();
  readonly rekor2: KeyPair = generateKeyPairSync('ed25519');
  readonly tsa: KeyPair = keyPair();
  readonly start: Date = new Date('2026-01-01T00:00:00Z');
  readonly rootCertificate: Uint8Array;
  readonly intermediateCertificate: Uint8Array;
  readonly tsaCertificate: Uint8Array;

  /** @param intermediateUntil when the certificate that issues expires */
  constructor(intermediateUntil: Date = new Date('2036-01-01T00:00:00Z')) {
    const years = { notBefore: this.start, notAfter: new Date('2036-01-01T00:00:00Z') };
    const ca = [
      extension('2.5.29.19', true, derSequence(DER_TRUE)),
      extension('2.5.29.15', true, derBitString(Uint8Array.of(6), 1)),
    ];
    const authority = { ...years, issuer: 'sigstore.test', issuerKey: this.root.privateKey };
    this.rootCertificate = certificate({
      ...authority,
      subject: 'sigstore.test',
      key: this.root,
      extensions: ca,
    });
    this.intermediateCertificate = certificate({
      ...authority,
      notAfter: intermediateUntil,
      subject: 'intermediate',
      key: this.intermediate,
      extensions: [...ca, extension('2.5.29.37', false, derSequence(derOid('1.3.6.1.5.5.7.3.3')))],
    });
    this.tsaCertificate = certificate({
      ...authority,
      subject: 'tsa',
      key: this.tsa,
      extensions: [
        extension('2.5.29.15', true, derBitString(Uint8Array.of(0x80), 7)),
        extension('2.5.29.37', true, derSequence(derOid('1.3.6.1.5.5.7.3.8'))),
      ],
    });
  }

  /** `trusted_root.json`. @param change alters it before it is written */
  trustedRoot(change: (root: Record<string, never>) => unknown = () => undefined): Uint8Array {
    const validFor = { start: this.start.toISOString() };
    const log = (name: string, { publicKey }: KeyPair, keyDetails: string): unknown => ({
      baseUrl: `https://${name}`,
      hashAlgorithm: 'SHA2_256',
      publicKey: { rawBytes: base64(spki(publicKey)), keyDetails, validFor },
      logId: { keyId: base64(logId(publicKey)) },
    });
    const authority = (...chain: readonly Uint8Array[]): unknown => ({
      uri: 'https://sigstore.test',
      certChain: { certificates: chain.map((rawBytes) => ({ rawBytes: base64(rawBytes) })) },
      validFor,
    });
    const root = {
      mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
      tlogs: [
        log('rekor.test', this.rekor1, 'PKIX_ECDSA_P256_SHA_256'),
        log('log.rekor.test', this.rekor2, 'PKIX_ED25519'),
      ],
      certificateAuthorities: [authority(this.intermediateCertificate, this.rootCertificate)],
      ctlogs: [log('ct.test', this.certificateLog, 'PKIX_ECDSA_P256_SHA_256')],
      timestampAuthorities: [authority(this.tsaCertificate, this.rootCertificate)],
    };
    change(root as unknown as Record<string, never>);
    return utf8(JSON.stringify(root));
  }

  /** A keyless bundle over an in-toto statement. */
  sign(statement: Uint8Array, making: Partial<Making> = {}): Uint8Array {
    const made = { ...DEFAULTS, ...making };
    const seen = making.seen ?? made.now;
    const signer = keyPair();
    const leaf = this.issue(signer.publicKey, made);
    const payloadType = 'application/vnd.in-toto+json';
    const message = preAuthEncoding(payloadType, statement);
    const signature = new Uint8Array(sign('sha256', message, signer.privateKey));
    const entry =
      made.rekor === 1
        ? this.entry1(certificatePem(leaf), statement, signature, seen)
        : this.entry2(certificateVerifier(leaf), sha256(message), signature);
    return utf8(
      JSON.stringify({
        mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
        verificationMaterial: {
          certificate: { rawBytes: base64(leaf) },
          tlogEntries: made.isLogged ? [entry] : [],
          ...(made.isStamped && {
            timestampVerificationData: {
              rfc3161Timestamps: [
                {
                  signedTimestamp: base64(
                    timeStampResponse(signature, seen, this.tsa.privateKey, this.tsaCertificate),
                  ),
                },
              ],
            },
          }),
        },
        dsseEnvelope: { payloadType, payload: base64(statement), signatures: [{ sig: base64(signature) }] },
      }),
    );
  }

  /** A layer of cosign 2: the blob of a `.sig` tag (any bytes) or of an `.att` tag (a statement), and its annotations. */
  legacy(kind: LegacyKind, payload: Uint8Array, making: Partial<Making> = {}, own?: KeyPair): LegacyLayer {
    const made = { ...DEFAULTS, ...making };
    const seen = making.seen ?? made.now;
    const signer = own ?? keyPair();
    const pem =
      own === undefined
        ? certificatePem(this.issue(signer.publicKey, made))
        : String(own.publicKey.export({ type: 'spki', format: 'pem' }));
    const payloadType = 'application/vnd.in-toto+json';
    const message = kind === 'hashedrekord' ? payload : preAuthEncoding(payloadType, payload);
    const signature = new Uint8Array(sign('sha256', message, signer.privateKey));
    const envelope = utf8(
      JSON.stringify({
        payloadType,
        payload: base64(payload),
        signatures: [{ keyid: '', sig: base64(signature) }],
      }),
    );
    const blob = kind === 'hashedrekord' ? payload : envelope;
    const hash = { algorithm: 'sha256', value: hex(sha256(blob)) };
    const publicKey = base64(utf8(pem));
    const bodies = {
      hashedrekord: {
        data: { hash },
        signature: { content: base64(signature), publicKey: { content: publicKey } },
      },
      intoto: { content: { hash }, publicKey },
    };
    const entry =
      kind === 'dsse'
        ? this.entry1(pem, payload, signature, seen)
        : this.promised(canonicalRfc8785({ apiVersion: '0.0.1', kind, spec: bodies[kind] }), kind, seen);
    const bundle = {
      SignedEntryTimestamp: entry.inclusionPromise?.signedEntryTimestamp,
      Payload: {
        body: entry.canonicalizedBody,
        integratedTime: Number(entry.integratedTime),
        logIndex: Number(entry.logIndex),
        logID: hex(logId(this.rekor1.publicKey)),
      },
    };
    const stamp = timeStampResponse(signature, seen, this.tsa.privateKey, this.tsaCertificate);
    return {
      blob,
      annotations: {
        'dev.cosignproject.cosign/signature': kind === 'hashedrekord' ? base64(signature) : '',
        ...(own === undefined && { 'dev.sigstore.cosign/certificate': pem, 'dev.sigstore.cosign/chain': '' }),
        ...(made.isLogged && { 'dev.sigstore.cosign/bundle': JSON.stringify(bundle) }),
        ...(made.isStamped && {
          'dev.sigstore.cosign/rfc3161timestamp': JSON.stringify({ SignedRFC3161Timestamp: base64(stamp) }),
        }),
      },
    };
  }

  /** A certificate for a key, as Fulcio issues it. */
  issue(publicKey: KeyObject, making: Partial<Making> = {}): Uint8Array {
    const { owner, now, purposes, isPublished, lifetime } = { ...DEFAULTS, ...making };
    const parts = {
      subject: undefined,
      issuer: 'intermediate',
      issuerKey: this.intermediate.privateKey,
      key: { publicKey },
      notBefore: now,
      notAfter: new Date(now.getTime() + lifetime),
      serial: randomBytes(15),
    };
    const extensions = [
      extension('2.5.29.15', true, derBitString(Uint8Array.of(0x80), 7)),
      ...(purposes.length === 0 ? [] : [extension('2.5.29.37', false, derSequence(...purposes.map(derOid)))]),
      ...alternativeName(owner),
      extension(ISSUER_V1, false, utf8(owner.issuerV1 ?? owner.issuer)),
      ...(owner.issuerV2 === null
        ? []
        : [extension(ISSUER_V2, false, der(TAG.utf8String, utf8(owner.issuerV2 ?? owner.issuer)))]),
    ];
    if (!isPublished) return certificate({ ...parts, extensions });
    const precertificate = body({ ...parts, extensions });
    const list = this.#certificateTimestamps(precertificate, now);
    return certificate({ ...parts, extensions: [...extensions, extension(SCT_LIST, false, list)] });
  }

  /** RFC 6962 §3.2, as the extension holds it. */
  #certificateTimestamps(precertificate: Uint8Array, now: Date): Uint8Array {
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(BigInt(now.getTime()));
    const issuerHash = sha256(spki(this.intermediate.publicKey));
    const signed = concatBytes([
      Uint8Array.of(0, 0),
      time,
      Uint8Array.of(0, 1),
      issuerHash,
      uint(precertificate.byteLength, 3),
      precertificate,
      uint(0, 2),
    ]);
    const signature = new Uint8Array(sign('sha256', signed, this.certificateLog.privateKey));
    const timestamp = concatBytes([
      Uint8Array.of(0),
      logId(this.certificateLog.publicKey),
      time,
      uint(0, 2),
      Uint8Array.of(4, 3),
      uint(signature.byteLength, 2),
      signature,
    ]);
    const list = concatBytes([uint(timestamp.byteLength, 2), timestamp]);
    return der(TAG.octetString, concatBytes([uint(list.byteLength, 2), list]));
  }

  /** An entry of Rekor v1 for an envelope. @param verifier PEM of the certificate or the key */
  entry1(verifier: string, statement: Uint8Array, signature: Uint8Array, seen: Date): Entry {
    const body = canonicalRfc8785({
      apiVersion: '0.0.1',
      kind: 'dsse',
      spec: {
        envelopeHash: { algorithm: 'sha256', value: hex(sha256(statement)) },
        payloadHash: { algorithm: 'sha256', value: hex(sha256(statement)) },
        signatures: [{ signature: base64(signature), verifier: base64(utf8(verifier)) }],
      },
    });
    return this.promised(body, 'dsse', seen);
  }

  /** An entry of Rekor v1 with any body: `apiVersion` is 0.0.1. */
  promised(body: Uint8Array, kind: string, seen: Date): Entry {
    const integratedTime = Math.floor(seen.getTime() / 1000);
    const id = logId(this.rekor1.publicKey);
    const promised = canonicalRfc8785({ body: base64(body), integratedTime, logID: hex(id), logIndex: 7 });
    return {
      logIndex: '7',
      logId: { keyId: base64(id) },
      kindVersion: { kind, version: '0.0.1' },
      integratedTime: String(integratedTime),
      inclusionPromise: {
        signedEntryTimestamp: base64(new Uint8Array(sign('sha256', promised, this.rekor1.privateKey))),
      },
      inclusionProof: this.#inclusion(body, 'rekor.test - 42', 'rekor.test', this.rekor1),
      canonicalizedBody: base64(body),
    };
  }

  /** An entry of Rekor v2 for a hash. */
  entry2(verifier: unknown, digest: Uint8Array, signature: Uint8Array): Entry {
    const body = canonicalRfc8785({
      apiVersion: '0.0.2',
      kind: 'hashedrekord',
      spec: {
        hashedRekordV002: {
          data: { algorithm: 'SHA2_256', digest: base64(digest) },
          signature: {
            content: base64(signature),
            verifier: verifier as never,
          },
        },
      },
    });
    return {
      logIndex: '1',
      logId: { keyId: base64(logId(this.rekor2.publicKey)) },
      kindVersion: { kind: 'hashedrekord', version: '0.0.2' },
      inclusionProof: this.#inclusion(body, 'log.rekor.test', 'log.rekor.test', this.rekor2),
      canonicalizedBody: base64(body),
    };
  }

  /** The entry is the second of two. */
  #inclusion(body: Uint8Array, origin: string, name: string, key: KeyPair): Inclusion {
    const first = leafHash(utf8('another entry'));
    const rootHash = sha256(concatBytes([Uint8Array.of(1), first, leafHash(body)]));
    const text = `${origin}\n2\n${base64(rootHash)}\n`;
    const hash = key.privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256';
    const signature = new Uint8Array(sign(hash, utf8(text), key.privateKey));
    const note = base64(concatBytes([logId(key.publicKey).subarray(0, 4), signature]));
    return {
      logIndex: '1',
      rootHash: base64(rootHash),
      treeSize: '2',
      hashes: [base64(first)],
      checkpoint: { envelope: `${text}\n\u2014 ${name} ${note}\n` },
    };
  }
}

/** By the kind of its log entry: `hashedrekord` is a `.sig`, the others are `.att`. */
export type LegacyKind = 'hashedrekord' | 'dsse' | 'intoto';

export interface LegacyLayer {
  readonly blob: Uint8Array;
  readonly annotations: Readonly<Record<string, string>>;
}

/** An entry of a log, as a bundle has it. */
export interface Entry {
  readonly logIndex: string;
  readonly logId: { readonly keyId: string };
  readonly kindVersion: { readonly kind: string; readonly version: string };
  readonly integratedTime?: string;
  readonly inclusionPromise?: { readonly signedEntryTimestamp: string };
  readonly inclusionProof: Inclusion;
  readonly canonicalizedBody: string;
}

interface Inclusion {
  readonly logIndex: string;
  readonly rootHash: string;
  readonly treeSize: string;
  readonly hashes: readonly string[];
  readonly checkpoint: { readonly envelope: string };
}

function certificatePem(der: Uint8Array): string {
  return `-----BEGIN CERTIFICATE-----\n${base64(der).replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
}

function certificateVerifier(der: Uint8Array): unknown {
  return { keyDetails: 'PKIX_ECDSA_P256_SHA_256', x509Certificate: { rawBytes: base64(der) } };
}

const DEFAULTS: Making = {
  owner: { kind: 'email', subject: 'alice@example.com', issuer: 'https://accounts.example.com' },
  now: new Date('2026-06-01T12:00:00Z'),
  rekor: 1,
  seen: new Date('2026-06-01T12:00:00Z'),
  purposes: ['1.3.6.1.5.5.7.3.3'],
  isPublished: true,
  isLogged: true,
  isStamped: true,
  lifetime: 10 * MINUTE,
};

interface CertificateParts {
  readonly subject: string | undefined;
  readonly issuer: string;
  readonly issuerKey: KeyObject;
  readonly key: Pick<KeyPair, 'publicKey'>;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly extensions: readonly Uint8Array[];
  readonly serial?: Uint8Array;
}

function certificate(parts: CertificateParts): Uint8Array {
  const signed = body(parts);
  const signature = new Uint8Array(sign('sha256', signed, parts.issuerKey));
  return derSequence(signed, ECDSA_SHA256, derBitString(signature));
}

function body({
  subject,
  issuer,
  key,
  notBefore,
  notAfter,
  extensions,
  serial,
}: CertificateParts): Uint8Array {
  return derSequence(
    der(0xa0, derInteger(2)),
    derInteger(serial === undefined ? 1 : concatBytes([Uint8Array.of(1), serial])),
    ECDSA_SHA256,
    commonName(issuer),
    derSequence(derTime(notBefore), derTime(notAfter)),
    subject === undefined ? derSequence() : commonName(subject),
    spki(key.publicKey),
    der(0xa3, derSequence(...extensions)),
  );
}

function commonName(name: string): Uint8Array {
  return derSequence(der(TAG.set, derSequence(derOid('2.5.4.3'), der(TAG.utf8String, utf8(name)))));
}

function extension(oid: string, critical: boolean, value: Uint8Array): Uint8Array {
  return derSequence(derOid(oid), ...(critical ? [DER_TRUE] : []), der(TAG.octetString, value));
}

function alternativeName({ kind, subject }: Owner): Uint8Array[] {
  const names = {
    email: [der(0x81, utf8(subject))],
    uri: [der(TAG.uri, utf8(subject))],
    username: [der(0xa0, derOid('1.3.6.1.4.1.57264.1.7'), der(0xa0, der(TAG.utf8String, utf8(subject))))],
    none: [],
  }[kind];
  return names.length === 0 ? [] : [extension('2.5.29.17', true, derSequence(...names))];
}

function keyPair(): KeyPair {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function spki(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ type: 'spki', format: 'der' }));
}

function logId(key: KeyObject): Uint8Array {
  return sha256(spki(key));
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}

function uint(value: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, at) => (value >>> (8 * (bytes - 1 - at))) & 0xff);
}
