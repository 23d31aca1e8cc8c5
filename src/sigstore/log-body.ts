import { createHash } from 'node:crypto';
import { parseCertificates } from '../crypto/certificate.ts';
import { type PublicKey, parsePublicKeyPem } from '../crypto/public-key.ts';
import { decodeUtf8, equalBytes, fromBase64, fromHex } from '../encoding/bytes.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import type { Bundle, DsseEnvelope, LogEntry } from './bundle.ts';
import { preAuthEncoding } from './dsse.ts';
import { Fields, malformed } from './fields.ts';

/** What an entry must be about. */
export interface LoggedContent {
  readonly content: Bundle['content'];
  /** DER of the signer's certificate; left out for a bare key. */
  readonly certificate?: Uint8Array;
  readonly key: PublicKey;
  /** The artifact's digest by an algorithm; undefined where it is not known. */
  readonly digestBy: (algorithm: HashName) => Uint8Array | undefined;
}

export type HashName = 'sha256' | 'sha384' | 'sha512';
const HASHES: ReadonlyMap<string, HashName> = new Map([
  ['sha256', 'sha256'],
  ['sha384', 'sha384'],
  ['sha512', 'sha512'],
  ['SHA2_256', 'sha256'],
  ['SHA2_384', 'sha384'],
  ['SHA2_512', 'sha512'],
]);
/** An intoto entry repeats the whole envelope. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** The algorithm of a name in a bundle or a log. */
export function hashNamed(name: string): HashName | undefined {
  return HASHES.get(name);
}

/**
 * Demands that the body of a log entry is about this signature, signer and content.
 * @throws BullaError signature-mismatch, content-invalid; unsupported-signature for an unknown kind of entry
 */
export function checkLogBody(entry: LogEntry, expected: LoggedContent): void {
  const { where } = entry;
  const body = new Fields(
    parseJsonObject(entry.canonicalizedBody, { what: where, maxBytes: MAX_BODY_BYTES }),
    where,
  );
  if (body.text('kind') !== entry.kind || body.text('apiVersion') !== entry.kindVersion)
    throw malformed(where, 'its body is of another kind');
  const check = CHECKS.get(`${entry.kind} ${entry.kindVersion}`);
  if (check === undefined)
    throw new BullaError('unsupported-signature', `${where} is of kind ${entry.kind} ${entry.kindVersion}`, {
      hint: 'hashedrekord, dsse and intoto entries are supported; update bulla',
    });
  check(body.message('spec'), expected, where);
}

type Check = (spec: Fields, expected: LoggedContent, where: string) => void;

const CHECKS: ReadonlyMap<string, Check> = new Map<string, Check>([
  ['hashedrekord 0.0.1', checkHashedRekord1],
  ['hashedrekord 0.0.2', checkHashedRekord2],
  ['dsse 0.0.1', checkDsse1],
  ['dsse 0.0.2', checkDsse2],
  ['intoto 0.0.1', checkIntoto1],
  ['intoto 0.0.2', checkIntoto2],
]);

function checkHashedRekord1(spec: Fields, expected: LoggedContent, where: string): void {
  const hash = spec.message('data').message('hash');
  const signature = spec.message('signature');
  checkDigest(hash.text('algorithm'), fromHex(hash.text('value')), expected, where);
  checkSignature(signature.bytes('content'), expected, where);
  checkPem(signature.message('publicKey').bytes('content'), expected, where);
}

function checkHashedRekord2(spec: Fields, expected: LoggedContent, where: string): void {
  const entry = spec.message('hashedRekordV002');
  const data = entry.message('data');
  const signature = entry.message('signature');
  checkDigest(data.text('algorithm'), data.bytes('digest'), expected, where);
  checkSignature(signature.bytes('content'), expected, where);
  checkVerifier(signature.message('verifier'), expected, where);
}

function checkDsse1(spec: Fields, expected: LoggedContent, where: string): void {
  const { payload } = envelopeOf(expected, where);
  const hash = spec.message('payloadHash');
  checkHash(hash.text('algorithm'), fromHex(hash.text('value')), payload, where);
  const signature = onlyOne(spec.messages('signatures', 1), where);
  checkSignature(signature.bytes('signature'), expected, where);
  checkPem(signature.bytes('verifier'), expected, where);
}

function checkDsse2(spec: Fields, expected: LoggedContent, where: string): void {
  const { payload } = envelopeOf(expected, where);
  const entry = spec.message('dsseV002');
  const hash = entry.message('payloadHash');
  checkHash(hash.text('algorithm'), hash.bytes('digest'), payload, where);
  const signature = onlyOne(entry.messages('signatures', 1), where);
  checkSignature(signature.bytes('content'), expected, where);
  checkVerifier(signature.message('verifier'), expected, where);
}

/** It has the hash of the whole envelope, and so only where that stands alone it is about one. */
function checkIntoto1(spec: Fields, expected: LoggedContent, where: string): void {
  const { raw } = envelopeOf(expected, where);
  if (raw === undefined) throw mismatch(where, 'it is for an envelope that stands alone');
  const hash = spec.message('content').message('hash');
  checkHash(hash.text('algorithm'), fromHex(hash.text('value')), raw, where);
  checkPem(spec.bytes('publicKey'), expected, where);
}

/** Payload and signature stand in it as base64 of base64. */
function checkIntoto2(spec: Fields, expected: LoggedContent, where: string): void {
  const { payload, payloadType } = envelopeOf(expected, where);
  const content = spec.message('content');
  const hash = content.message('payloadHash');
  checkHash(hash.text('algorithm'), fromHex(hash.text('value')), payload, where);
  const envelope = content.message('envelope');
  if (envelope.text('payloadType') !== payloadType) throw mismatch(where, 'it is for another payload type');
  if (envelope.has('payload') && !equalBytes(twice(envelope.bytes('payload'), where), payload))
    throw mismatch(where, 'it is for another payload');
  const signature = onlyOne(envelope.messages('signatures', 1), where);
  checkSignature(twice(signature.bytes('sig'), where), expected, where);
  checkPem(signature.bytes('publicKey'), expected, where);
}

function twice(bytes: Uint8Array, where: string): Uint8Array {
  const inner = fromBase64(decodeUtf8(bytes, where));
  if (inner === undefined) throw malformed(where, 'a member is not base64 of base64');
  return inner;
}

function envelopeOf({ content }: LoggedContent, where: string): DsseEnvelope {
  if (content.kind === 'dsse') return content;
  throw mismatch(where, 'it is for an envelope, and the bundle has none');
}

function onlyOne(signatures: readonly Fields[], where: string): Fields {
  const [only] = signatures;
  if (only === undefined) throw mismatch(where, 'it has no signature');
  return only;
}

/** The digest of what was signed: of the artifact, or of the envelope's signed form. */
function checkDigest(
  name: string,
  value: Uint8Array | undefined,
  { content, digestBy }: LoggedContent,
  where: string,
): void {
  if (content.kind === 'dsse') {
    checkHash(name, value, preAuthEncoding(content.payloadType, content.payload), where);
    return;
  }
  const algorithm = HASHES.get(name);
  const expected = algorithm && digestBy(algorithm);
  if (value === undefined || expected === undefined || !equalBytes(value, expected))
    throw mismatch(where, 'it is for another artifact');
}

function checkHash(name: string, value: Uint8Array | undefined, bytes: Uint8Array, where: string): void {
  const algorithm = HASHES.get(name);
  const found = algorithm && new Uint8Array(createHash(algorithm).update(bytes).digest());
  if (value === undefined || found === undefined || !equalBytes(value, found))
    throw mismatch(where, 'it is for another payload');
}

function checkSignature(logged: Uint8Array, { content }: LoggedContent, where: string): void {
  if (!equalBytes(logged, content.signature)) throw mismatch(where, 'it is for another signature');
}

function checkVerifier(verifier: Fields, { certificate, key }: LoggedContent, where: string): void {
  const isSame =
    certificate === undefined
      ? verifier.has('publicKey') && equalBytes(verifier.message('publicKey').bytes('rawBytes'), key.spki)
      : verifier.has('x509Certificate') &&
        equalBytes(verifier.message('x509Certificate').bytes('rawBytes'), certificate);
  if (!isSame) throw mismatch(where, 'it is for another signer');
}

function checkPem(pem: Uint8Array, { certificate, key }: LoggedContent, where: string): void {
  const text = decodeUtf8(pem, where);
  const isSame =
    certificate === undefined
      ? parsePublicKeyPem(text, `the key of ${where}`).fingerprint === key.fingerprint
      : equalBytes(
          parseCertificates(text, `the certificate of ${where}`)[0]?.der ?? new Uint8Array(),
          certificate,
        );
  if (!isSame) throw mismatch(where, 'it is for another signer');
}

function mismatch(where: string, why: string): BullaError {
  return new BullaError('signature-mismatch', `${where} does not verify: ${why}`, {
    hint: 'the log entry belongs to another signature',
  });
}
