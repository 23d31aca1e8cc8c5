import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ecdsaToDer } from '../../src/crypto/signature.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { base64, concatBytes, utf8 } from '../../src/encoding/bytes.ts';
import { isBullaError } from '../../src/errors.ts';
import { describe as describeBytes } from '../../src/oci/descriptor.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { judge } from '../../src/policy/judgement.ts';
import { requirements } from '../../src/policy/requirements.ts';
import { encodeCbor, parseCbor } from '../../src/signatures/cbor.ts';
import { readLegacySignature } from '../../src/signatures/cosign-legacy.ts';
import type { Envelope } from '../../src/signatures/envelope.ts';
import { examineEnvelope } from '../../src/signatures/evidence.ts';
import { SIGNATURE_ANNOTATIONS, SIGNATURE_TYPES } from '../../src/signatures/formats.ts';
import { buildNotationCose, readNotationCose } from '../../src/signatures/notation-cose.ts';
import { buildNotationJws, readNotationJws } from '../../src/signatures/notation-jws.ts';
import { readBundle } from '../../src/signatures/sigstore-bundle.ts';
import { timeStampToken } from '../../src/sigstore/time-stamp.ts';
import { type Change, type Data, outcomesByPath, walkData, walkDer } from '../support/field-walk.ts';
import { forgeBundle, statement } from '../support/forge.ts';
import { issue, issueChain } from '../support/issue.ts';
import { timeStampResponse } from '../support/sigstore/time-stamp-response.ts';

const now = new Date('2026-07-01T00:00:00Z');
const image = describeBytes('application/vnd.oci.image.manifest.v1+json', utf8('an image'));
const manifest = digestOf(utf8('manifest'));
const { leaf, root, chain } = issueChain();
const key = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const tsaRoot = issue({ subject: { CN: 'TSA root' }, ca: true, usages: [5] });
const tsa = issue({
  ...{ subject: { CN: 'TSA' }, issuer: tsaRoot, usages: [0], constraints: null },
  more: [['2.5.29.37', Buffer.from('300a06082b06010505070308', 'hex'), true]],
});
const required = requirements({
  ...{ now, keys: [key.publicKey], roots: [root.certificate] },
  timestampAuthorities: [tsaRoot.certificate],
});

/** A code, or `counts`. */
async function outcome(read: () => Envelope): Promise<string> {
  try {
    const found = await examineEnvelope(read(), manifest, image, required.keys);
    if (found.outcome === 'refused') return found.refusal.code;
    return judge(found.evidence, required)?.code ?? 'counts';
  } catch (error) {
    if (!isBullaError(error)) throw error;
    return error.code;
  }
}

const parts = {
  ...{ image, signingTime: new Date('2026-06-01T00:00:00Z'), expiry: new Date('2026-12-01T00:00:00Z') },
  ...{ annotations: new Map([['build', '17']]), agent: 'bulla/test' },
};
const stamp = (signature: Uint8Array): Uint8Array =>
  timeStampToken(
    timeStampResponse(signature, new Date('2026-06-02T00:00:00Z'), tsa.privateKey, tsa.certificate.der, [
      tsa.certificate.der,
    ]),
    'it',
  );

async function outcomes<T extends Data>(
  document: T,
  write: (document: T) => Uint8Array,
  read: (bytes: Uint8Array) => Envelope,
): Promise<Record<string, string>> {
  expect(await outcome(() => read(write(document)))).toBe('counts');
  const found: [string, Change, string][] = [];
  for (const { path, change, made } of walkData(document))
    found.push([path, change, await outcome(() => read(write(made)))]);
  return outcomesByPath(found);
}

const writeJson = (json: Data): Uint8Array => utf8(JSON.stringify(json));
const jsonOf = (bytes: Uint8Array): Data => JSON.parse(Buffer.from(bytes).toString()) as Data;
const TIMESTAMP = 'io.cncf.notary.timestampSignature';

/** A JWS with a time stamp, which says what `token` makes of its signature. */
async function stampedJws(token: (signature: Uint8Array) => Uint8Array): Promise<Data> {
  const plain = jsonOf(await buildNotationJws(parts, leaf.signer, chain)) as {
    signature: string;
    header: object;
  };
  const stamped = base64(token(Buffer.from(plain.signature, 'base64url')));
  return { ...plain, header: { ...plain.header, [TIMESTAMP]: stamped } } as Data;
}

/** What becomes of a field: left out, altered, of another type, and in a list there twice. */
const MALFORMED = 'left out: content-invalid, of another type: content-invalid';
const SIGNED = 'left out: content-invalid, altered: signature-mismatch, of another type: content-invalid';
/** Of the certificate that signed, and of the one that issued it. */
const LEAF =
  'left out: signature-mismatch, altered: certificate-invalid, of another type: content-invalid, twice: certificate-invalid';
const ISSUER =
  'left out: certificate-invalid, altered: certificate-invalid, of another type: content-invalid, twice: certificate-invalid';
/** Without it, the certificates have to be valid now, and they are. */
const STAMP = 'left out: counts, altered: certificate-invalid, of another type: content-invalid';
/** For people alone. */
const AGENT = 'left out: counts, altered: counts, of another type: counts';

describe('a signature of which one field is another one', () => {
  it('Notation JWS', async () => {
    const found = await outcomes(await stampedJws(stamp), writeJson, (bytes) => readNotationJws(bytes, 'it'));
    expect(found).toEqual({
      payload: SIGNED,
      protected: `${MALFORMED.replace(', of', ', altered: content-invalid, of')}`,
      signature: SIGNED,
      header: MALFORMED,
      'header.x5c': MALFORMED,
      'header.x5c.0': LEAF,
      'header.x5c.1': ISSUER,
      'header.io.cncf.notary.signingAgent': AGENT,
      [`header.${TIMESTAMP}`]: STAMP,
    });
  });

  it('Notation COSE', async () => {
    const plain = await buildNotationCose(parts, leaf.signer, chain);
    const [headers, unprotected, payload, signature] = parseCbor(plain.subarray(1), 'it') as [
      Uint8Array,
      Map<unknown, Data>,
      Uint8Array,
      Uint8Array,
    ];
    const stamped = new Map([...unprotected, [TIMESTAMP, stamp(signature)] as const]);
    const document: Data = [headers, stamped, payload, signature];
    const write = (data: Data): Uint8Array => concatBytes([Uint8Array.of(0xd2), encodeCbor(data as never)]);
    const found = await outcomes(document, write, (bytes) => readNotationCose(bytes, 'it'));
    const signed = `${SIGNED}, twice: content-invalid`;
    expect(found).toEqual({
      0: signed.replace('signature-mismatch', 'content-invalid'),
      1: `${MALFORMED}, twice: content-invalid`,
      2: signed,
      3: signed,
      '1.33': MALFORMED,
      '1.33.0': LEAF,
      '1.33.1': ISSUER,
      '1.io.cncf.notary.signingAgent': AGENT,
      [`1.${TIMESTAMP}`]: STAMP,
    });
  });

  it('Sigstore bundle by a key', async () => {
    const payload = JSON.stringify(statement(image));
    const document = jsonOf(utf8(await forgeBundle({ payload, signer: key })));
    const found = await outcomes(document, writeJson, (bytes) => readBundle(bytes, 'it'));
    expect(found).toEqual({
      mediaType: SIGNED.replaceAll(/: [a-z-]+/g, ': unsupported-signature'),
      verificationMaterial: MALFORMED,
      'verificationMaterial.publicKey': MALFORMED,
      // It says which key to try first.
      'verificationMaterial.publicKey.hint':
        'left out: counts, altered: counts, of another type: content-invalid',
      dsseEnvelope: MALFORMED,
      'dsseEnvelope.payloadType': SIGNED.replace('signature-mismatch', 'unsupported-signature'),
      'dsseEnvelope.payload': SIGNED,
      'dsseEnvelope.signatures': MALFORMED,
      'dsseEnvelope.signatures.0': `${MALFORMED}, twice: content-invalid`,
      'dsseEnvelope.signatures.0.sig': SIGNED,
    });
  });

  it('layer of a .sig tag', async () => {
    const critical = {
      identity: { 'docker-reference': 'app' },
      image: { 'docker-manifest-digest': image.digest },
      type: 'cosign container image signature',
    };
    const payload = JSON.stringify({ critical, optional: null });
    const signature = base64(ecdsaToDer(await key.sign(utf8(payload))));
    const document = { blob: payload, annotations: { [SIGNATURE_ANNOTATIONS.legacySignature]: signature } };
    const read = (bytes: Uint8Array): Envelope => {
      const { blob = '', annotations } = jsonOf(bytes) as unknown as typeof document;
      const content = utf8(String(blob));
      const layer = { ...describeBytes(SIGNATURE_TYPES.simpleSigning, content), annotations };
      return readLegacySignature(layer, content, 'it');
    };
    expect(await outcomes(document, writeJson, read)).toEqual({
      blob: SIGNED.replaceAll(/: [a-z-]+/g, ': signature-mismatch'),
      annotations: MALFORMED,
      [`annotations.${SIGNATURE_ANNOTATIONS.legacySignature}`]: SIGNED,
    });
  });

  it('time stamp', async () => {
    const found: [string, Change, string][] = [];
    const { signature } = jsonOf(await buildNotationJws(parts, leaf.signer, chain)) as { signature: string };
    for (const { path, change, made } of walkDer(stamp(Buffer.from(signature, 'base64url')))) {
      const document = await stampedJws(() => made);
      found.push([path, change, await outcome(() => readNotationJws(writeJson(document), 'it'))]);
    }
    expect(found.length).toBeGreaterThan(300);
    const counts = found
      .filter(([, , code]) => code === 'counts')
      .map(([path, change]) => `${path} ${change}`);
    expect(counts).toEqual([
      // Hashes for those who read it as a stream: they are not signed.
      ...['1.0.1.0 left out', '1.0.1.0 twice', '1.0.1.0.0 twice', '1.0.1.0.0 altered'],
      // The certificate that stamped, listed a second time.
      '1.0.3.0 twice',
    ]);
    const codes = new Set(found.map(([, , code]) => code));
    expect([...codes].sort()).toEqual([
      'certificate-invalid',
      'content-invalid',
      'counts',
      'signature-mismatch',
    ]);
  });
});
