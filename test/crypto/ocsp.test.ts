import { describe, expect, it } from 'vitest';
import { derChildren, readDer, TAG } from '../../src/crypto/der.ts';
import { der } from '../../src/crypto/der-write.ts';
import { type OcspAnswer, ocspRequest, readOcspResponse } from '../../src/crypto/ocsp.ts';
import { walkDer } from '../support/field-walk.ts';
import { EKU, issue } from '../support/issue.ts';
import {
  generalized,
  hoursFromNow,
  makeResponder,
  makeResponse,
  NOW,
  REVOCATION_OID,
  type ResponseOptions,
  statusAuthority,
} from '../support/revocation.ts';

const { root, leaf } = statusAuthority();
const stranger = statusAuthority();

type Changes = Partial<ResponseOptions>;
const bytesOf = (changes: Changes = {}): Uint8Array =>
  makeResponse({ about: leaf.certificate, issuer: root, ...changes });
const read = (bytes: Uint8Array, now = NOW): OcspAnswer =>
  readOcspResponse(bytes, leaf.certificate, root.certificate, now);

describe('what counts', () => {
  it.each<[string, Changes, string]>([
    ['good, by the issuer', {}, 'good'],
    ['named by its key', { byKey: true }, 'good'],
    ['the certificate named by SHA-256', { hash: ['sha256', '2.16.840.1.101.3.4.2.1'] }, 'good'],
    ['by a responder that the issuer certified', { by: makeResponder(root) }, 'good'],
    ['by such a responder, named by its key', { by: makeResponder(root), byKey: true }, 'good'],
    ['unknown', { status: 'unknown' }, 'unknown'],
    ['revoked', { status: { revokedAt: hoursFromNow(-3) } }, 'revoked'],
    [
      'with a nonce that was not asked for',
      { responseExtensions: [['1.3.6.1.5.5.7.48.1.2', Uint8Array.of(4, 0)]] },
      'good',
    ],
    ['with an extension that is not critical', { extensions: [['1.2.3.4', Uint8Array.of(5, 0)]] }, 'good'],
    ['from a clock that is a minute ahead', { thisUpdate: new Date(NOW.getTime() + 60_000) }, 'good'],
  ])('%s', (_, changes, kind) => {
    expect(read(bytesOf(changes))).toMatchObject({ status: { kind }, until: hoursFromNow(24) });
  });

  it('says when, why and since when a certificate is invalid', () => {
    const status = { revokedAt: hoursFromNow(-3), reason: 1 };
    const extensions = [[REVOCATION_OID.invalidity, generalized(hoursFromNow(-9))]] as const;
    expect(read(bytesOf({ status, extensions })).status).toEqual({
      kind: 'revoked',
      at: hoursFromNow(-3),
      reason: 'key compromise',
      invaliditySince: hoursFromNow(-9),
    });
  });

  it('gives a responder that is to be checked itself', () => {
    const by = makeResponder(root, { more: [] });
    expect(read(bytesOf({ by })).responder?.thumbprint).toBe(by.certificate.thumbprint);
    expect(read(bytesOf({ by: makeResponder(root) })).responder).toBeUndefined();
    expect(read(bytesOf()).responder).toBeUndefined();
  });
});

describe('what says nothing about a certificate', () => {
  const responder = makeResponder(root);
  const part = (at: number, bytes: Uint8Array) => (parts: Uint8Array[]) =>
    parts.map((each, index) => (index === at ? bytes : each));
  it.each<[string, Changes]>([
    [
      'an answer about another serial number',
      { about: issue({ subject: { CN: 'other' }, issuer: root }).certificate },
    ],
    ['about the name of another issuer', { id: part(1, der(0x04, new Uint8Array(20))) }],
    ['about the key of another issuer', { id: part(2, der(0x04, new Uint8Array(20))) }],
    ['named by a hash that is not known', { hash: ['md5', '1.2.840.113549.2.5'] }],
    ['signed by another authority of the same name', { by: stranger.root }],
    ['by a responder of another authority', { by: makeResponder(stranger.root) }],
    ['by the certificate that is asked about', { by: leaf }],
    ['by a certificate for other purposes', { by: makeResponder(root, { extended: [EKU.codeSigning] }) }],
    ['by a certificate for any purpose', { by: makeResponder(root, { extended: [EKU.any] }) }],
    ['by a certificate without purposes', { by: makeResponder(root, { extended: [] }) }],
    ['by a certificate that must not sign', { by: makeResponder(root, { usages: [2] }) }],
    ['by an expired responder', { by: makeResponder(root, { notAfter: hoursFromNow(-1) }) }],
    ['by a responder from the future', { by: makeResponder(root, { notBefore: hoursFromNow(1) }) }],
    ['by a responder with a critical extension', { by: makeResponder(root, { strange: '1.2.3.4' }) }],
    ['by a responder with a SHA-1 signature', { by: makeResponder(root, { weak: true }) }],
    ['by one below a responder', { by: makeResponder(makeResponder(root, { ca: true, usages: [0, 5] })) }],
    ['by a responder that does not come along', { by: responder, certificates: [root.certificate] }],
    ['with too many certificates', { by: responder, certificates: Array(5).fill(responder.certificate) }],
    ['from yesterday', { thisUpdate: hoursFromNow(-48), nextUpdate: hoursFromNow(-24) }],
    ['that ends now', { nextUpdate: NOW }],
    [
      'that ends before it begins',
      { thisUpdate: hoursFromNow(0.01), nextUpdate: new Date(NOW.getTime() + 1000) },
    ],
    ['from the future', { thisUpdate: hoursFromNow(1) }],
    ['that does not say until when it counts', { nextUpdate: null }],
    ['two answers', { times: 2 }],
    ['no answer', { times: 0 }],
    ['a critical extension', { responseExtensions: [['1.2.3.4', Uint8Array.of(5, 0), true]] }],
    ['a critical extension of the answer', { extensions: [['1.2.3.4', Uint8Array.of(5, 0), true]] }],
    ['an extension twice', { extensions: Array(2).fill(['1.2.3.4', Uint8Array.of(5, 0)]) }],
    ['a reason that does not exist', { status: { revokedAt: NOW, reason: 7 } }],
    ['a request that is malformed', { code: 1 }],
    ['an internal error', { code: 2 }],
    ['try later', { code: 3 }],
    ['signature required', { code: 5 }],
    ['unauthorized', { code: 6 }],
    ['a code that does not exist', { code: 9 }],
  ])('%s', (_, changes) => {
    expect(() => read(bytesOf(changes))).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^(?:content|certificate)-invalid$/) }),
    );
  });

  it('a response of which any byte is another one', () => {
    for (const options of [{}, { by: responder }, { status: { revokedAt: hoursFromNow(-1) } }]) {
      const bytes = bytesOf(options);
      for (let at = 0; at < bytes.byteLength; at += 11) {
        const altered = bytes.map((byte, index) => (index === at ? byte ^ 0x41 : byte));
        expect(() => read(altered), `byte ${at}`).toThrow();
      }
    }
  });

  it('a response of which any field is left out, altered, of another type or there twice', () => {
    const bytes = bytesOf({ by: responder, status: { revokedAt: hoursFromNow(-1), reason: 1 } });
    const counts = [...walkDer(bytes)].flatMap(({ path, change, made }) => {
      try {
        read(made);
        return [`${path} ${change}`];
      } catch {
        return [];
      }
    });
    // The certificate of the responder, listed a second time.
    expect(counts).toEqual(['1.0.1.3.0.0 twice']);
  });

  it('a response that is cut off, or followed by something', () => {
    const bytes = bytesOf();
    for (let length = 0; length < bytes.byteLength; length += 7)
      expect(() => read(bytes.subarray(0, length))).toThrow();
    expect(() => read(Buffer.concat([bytes, Buffer.of(0)]))).toThrow();
  });
});

it('asks about one certificate by SHA-1, the hash that all responders know', () => {
  const request = readDer(ocspRequest(leaf.certificate, root.certificate), TAG.sequence);
  const [list] = derChildren(derChildren(request)[0] ?? request);
  const [single] = derChildren(list ?? request);
  const [id] = derChildren(single ?? request);
  // A response names the certificate in the same way.
  expect(Buffer.from(bytesOf()).includes(Buffer.from((id ?? request).raw))).toBe(true);
});
