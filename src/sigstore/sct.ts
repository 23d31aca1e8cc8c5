import { createHash } from 'node:crypto';
import type { Certificate } from '../crypto/certificate.ts';
import { type DerValue, derChildren, expectTag, readDer, readOid, TAG } from '../crypto/der.ts';
import { der, derSequence } from '../crypto/der-write.ts';
import { verifySignature } from '../crypto/signature.ts';
import { base64, concatBytes } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import { malformed } from './fields.ts';
import { isWithin, type TrustedLog } from './trusted-root.ts';

const SCT_LIST = '1.3.6.1.4.1.11129.2.4.2';
const EXTENSIONS = 0xa3;
const MAX_TIMESTAMPS = 16;

/** A signed certificate timestamp, version 1 (RFC 6962 §3.2). */
interface CertificateTimestamp {
  /** Base64 of the log's id. */
  readonly logId: string;
  readonly time: Date;
  /** The eight bytes of the time, as they are signed. */
  readonly timeBytes: Uint8Array;
  readonly extensions: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * Demands that a trusted certificate transparency log has promised to publish the certificate.
 * @param issuer the certificate that issued it, whose key the promise names
 * @throws BullaError certificate-invalid
 */
export function verifyCertificateTimestamp(
  certificate: Certificate,
  issuer: Certificate,
  logs: readonly TrustedLog[],
  where: string,
): void {
  const entry = precertificateEntry(certificate, issuer);
  const isPromised = readTimestamps(certificate, where).some((timestamp) => {
    const log = logs.find(({ id, validFor }) => id === timestamp.logId && isWithin(timestamp.time, validFor));
    if (log === undefined) return false;
    const signed = concatBytes([
      // Version 1, certificate_timestamp; precert_entry.
      Uint8Array.of(0, 0),
      timestamp.timeBytes,
      Uint8Array.of(0, 1),
      entry,
      uint(timestamp.extensions.byteLength, 2),
      timestamp.extensions,
    ]);
    return verifySignature(log.key, log.algorithm, signed, timestamp.signature, 'der');
  });
  if (isPromised) return;
  throw new BullaError(
    'certificate-invalid',
    `${where}: no trusted certificate transparency log has signed the certificate`,
    { hint: 'the trusted root belongs to another Sigstore instance, or the certificate was never published' },
  );
}

function readTimestamps(certificate: Certificate, where: string): CertificateTimestamp[] {
  const extension = certificate.extensions.get(SCT_LIST);
  if (extension === undefined) return [];
  const list = new Reader(readDer(extension.value, TAG.octetString).content, where);
  const entries = new Reader(list.vector(2), where);
  list.end();
  const timestamps: CertificateTimestamp[] = [];
  while (!entries.isAtEnd) {
    if (timestamps.length === MAX_TIMESTAMPS)
      throw malformed(where, 'it has too many certificate timestamps');
    const entry = new Reader(entries.vector(2), where);
    const version = entry.take(1)[0];
    const logId = base64(entry.take(32));
    const timeBytes = entry.take(8);
    const extensions = entry.vector(2);
    // Hash and signature algorithm, which the log's key determines.
    entry.take(2);
    const signature = entry.vector(2);
    entry.end();
    const time = new Date(Number(Buffer.from(timeBytes).readBigUInt64BE()));
    if (version === 0 && !Number.isNaN(time.getTime()))
      timestamps.push({ logId, time, timeBytes, extensions, signature });
  }
  return timestamps;
}

/** What the log signed: the issuer's key, and the certificate as it was before the timestamps were put in. */
function precertificateEntry(certificate: Certificate, issuer: Certificate): Uint8Array {
  const [tbs] = derChildren(readDer(certificate.der, TAG.sequence));
  const fields = derChildren(expectTag(tbs, TAG.sequence));
  const bare = derSequence(
    ...fields.map((field) => (field.tag === EXTENSIONS ? withoutList(field) : field.raw)),
  );
  const keyHash = createHash('sha256').update(issuer.publicKey.spki).digest();
  return concatBytes([new Uint8Array(keyHash), uint(bare.byteLength, 3), bare]);
}

function withoutList(field: DerValue): Uint8Array {
  const [list] = derChildren(field);
  const kept = derChildren(expectTag(list, TAG.sequence)).filter(
    (extension) => readOid(derChildren(extension, TAG.sequence)[0]) !== SCT_LIST,
  );
  return der(EXTENSIONS, derSequence(...kept.map(({ raw }) => raw)));
}

function uint(value: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, at) => (value >>> (8 * (bytes - 1 - at))) & 0xff);
}

/** Reads the presentation language of TLS (RFC 8446 §3) as far as timestamps need it. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #where: string;
  #at = 0;

  constructor(bytes: Uint8Array, where: string) {
    this.#bytes = bytes;
    this.#where = where;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.byteLength;
  }

  take(count: number): Uint8Array {
    const taken = this.#bytes.subarray(this.#at, this.#at + count);
    if (taken.byteLength !== count) throw malformed(this.#where, 'its certificate timestamps are cut off');
    this.#at += count;
    return taken;
  }

  /** A vector whose length stands in `prefix` bytes before it. */
  vector(prefix: number): Uint8Array {
    return this.take(this.take(prefix).reduce((length, octet) => length * 256 + octet, 0));
  }

  end(): void {
    if (!this.isAtEnd) throw malformed(this.#where, 'bytes follow its certificate timestamps');
  }
}
