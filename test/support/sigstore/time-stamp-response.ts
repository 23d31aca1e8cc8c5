import { createHash, type KeyObject, sign } from 'node:crypto';
import { derChildren, readDer, TAG } from '../../../src/crypto/der.ts';
import { der, derInteger, derOid, derSequence } from '../../../src/crypto/der-write.ts';
import { utf8 } from '../../../src/encoding/bytes.ts';

const SHA256 = derSequence(derOid('2.16.840.1.101.3.4.2.1'));
const TST_INFO = '1.2.840.113549.1.9.16.1.4';

/** DER of a TimeStampResp (RFC 3161) by a P-256 key, without certificates. @param stamped bytes, or their SHA-256 */
export function timeStampResponse(
  stamped: Uint8Array | { readonly sha256: Uint8Array },
  time: Date,
  key: KeyObject,
  certificate: Uint8Array,
  /** That come along in the token. */
  included: readonly Uint8Array[] = [],
): Uint8Array {
  const text = `${time.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;
  const info = derSequence(
    derInteger(1),
    derOid('1.2.3.4'),
    derSequence(SHA256, der(TAG.octetString, 'sha256' in stamped ? stamped.sha256 : sha256(stamped))),
    derInteger(9),
    der(TAG.generalizedTime, utf8(text)),
  );
  const [tbs] = derChildren(readDer(certificate));
  const [, serial, , issuer] = derChildren(tbs as NonNullable<typeof tbs>);
  const certificateId = derSequence(derSequence(derSequence(der(TAG.octetString, sha256(certificate)))));
  const attributes = [
    attribute('1.2.840.113549.1.9.3', derOid(TST_INFO)),
    attribute('1.2.840.113549.1.9.4', der(TAG.octetString, sha256(info))),
    attribute('1.2.840.113549.1.9.16.2.47', certificateId),
  ];
  const signature = new Uint8Array(sign('sha256', der(TAG.set, ...attributes), key));
  const signerInfo = derSequence(
    derInteger(1),
    derSequence(issuer?.raw ?? new Uint8Array(), serial?.raw ?? new Uint8Array()),
    SHA256,
    der(0xa0, ...attributes),
    derSequence(derOid('1.2.840.10045.4.3.2')),
    der(TAG.octetString, signature),
  );
  const signedData = derSequence(
    derInteger(3),
    der(TAG.set, SHA256),
    derSequence(derOid(TST_INFO), der(0xa0, der(TAG.octetString, info))),
    ...(included.length === 0 ? [] : [der(0xa0, ...included)]),
    der(TAG.set, signerInfo),
  );
  const token = derSequence(derOid('1.2.840.113549.1.7.2'), der(0xa0, signedData));
  return derSequence(derSequence(derInteger(0)), token);
}

function attribute(oid: string, value: Uint8Array): Uint8Array {
  return derSequence(derOid(oid), der(TAG.set, value));
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}
