import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type AlgorithmId, algorithm } from '../../src/crypto/algorithm.ts';
import type { PublicKey } from '../../src/crypto/public-key.ts';
import { createSigner, type Signer } from '../../src/crypto/signer.ts';
import { base64, concatBytes, utf8 } from '../../src/encoding/bytes.ts';
import { BullaError, type ErrorCode } from '../../src/errors.ts';
import { describe as describeBytes, EMPTY_DESCRIPTOR } from '../../src/oci/descriptor.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { buildArtifact, type ManifestContent } from '../../src/oci/manifest.ts';
import { buildSignatureArtifact, locateEnvelope } from '../../src/signatures/artifact.ts';
import { encodeCbor, parseCbor } from '../../src/signatures/cbor.ts';
import { checkTrustedChain, isAnchored, readChain } from '../../src/signatures/chain.ts';
import { readLegacySignature } from '../../src/signatures/cosign-legacy.ts';
import type { Envelope } from '../../src/signatures/envelope.ts';
import { examineEnvelope, refusalOf } from '../../src/signatures/evidence.ts';
import {
  MAX_ATTESTATION_BYTES,
  MAX_NOTATION_BYTES,
  SIGNATURE_ANNOTATIONS,
  SIGNATURE_TYPES,
} from '../../src/signatures/formats.ts';
import {
  buildNotationCose,
  readNotationCose,
  signatureStructure,
} from '../../src/signatures/notation-cose.ts';
import { buildNotationJws, readNotationJws } from '../../src/signatures/notation-jws.ts';
import { notationAlgorithms } from '../../src/signatures/notation-payload.ts';
import { buildBundle, readBundle } from '../../src/signatures/sigstore-bundle.ts';
import { sigstoreAlgorithms } from '../../src/sigstore/algorithms.ts';
import { forgeBundle, forgeJws, notationPayload, PROTECTED, statement } from '../support/forge.ts';
import { issue, issueChain, LEAF_NAME } from '../support/issue.ts';

const { leaf, root, chain } = issueChain();
const image = describeBytes('application/vnd.oci.image.manifest.v1+json', utf8('an image'));
const signingTime = new Date('2026-06-01T00:00:00Z');
const now = new Date('2026-12-01T00:00:00Z');
const parts = { image, annotations: new Map(), signingTime, agent: 'bulla/test' };
const manifest = digestOf(utf8('manifest'));
const coded = (code: ErrorCode) => expect.objectContaining({ code, hint: expect.stringMatching(/\w/) });

/** A code, or `verified`. */
async function outcome(
  read: () => Envelope | Promise<Envelope>,
  keys: readonly PublicKey[] = [],
): Promise<string> {
  try {
    const found = await examineEnvelope(await read(), manifest, image, keys);
    return found.outcome === 'refused' ? found.refusal.code : found.outcome;
  } catch (error) {
    if (!(error instanceof BullaError)) throw error;
    return error.code;
  }
}

/** A signer whose signature is nothing: for what is written around it. */
function named(id: AlgorithmId): Signer {
  return { ...leaf.signer, algorithm: algorithm(id), sign: async () => new Uint8Array(64).fill(1) };
}

describe('algorithms', () => {
  it.each<[AlgorithmId, number]>([
    ['ES256', -7],
    ['ES384', -35],
    ['ES512', -36],
    ['PS256', -37],
    ['PS384', -38],
    ['PS512', -39],
  ])('%s is %i in COSE, and itself in JWS', async (id, number) => {
    const cose = await buildNotationCose(parts, named(id), chain);
    const [header] = parseCbor(cose.subarray(1), 'it') as [Uint8Array];
    expect((parseCbor(header, 'it') as Map<number, number>).get(1)).toBe(number);
    expect(readNotationCose(cose, 'it').namedAlgorithm).toBe(id);
    const jws = await buildNotationJws(parts, named(id), chain);
    expect(readNotationJws(jws, 'it').namedAlgorithm).toBe(id);
  });

  const of = (type: PublicKey['type'], modulusBits?: number) =>
    ({ type, ...(modulusBits !== undefined && { modulusBits }) }) as PublicKey;
  it.each<[PublicKey, readonly AlgorithmId[], readonly AlgorithmId[]]>([
    [of('P-256'), ['ES256'], ['ES256']],
    [of('P-384'), ['ES384'], ['ES384', 'ES384-SHA256']],
    [of('P-521'), ['ES512'], ['ES512']],
    [of('RSA', 2048), ['PS256'], ['RS256']],
    [of('RSA', 3072), ['PS384'], ['RS256']],
    [of('RSA', 4096), ['PS512'], ['RS256']],
    [of('RSA', 2056), [], ['RS256']],
    [of('RSA', 8192), [], ['RS256']],
    [of('RSA'), [], ['RS256']],
    [of('Ed25519'), [], ['Ed25519', 'Ed25519ph']],
  ])('of %j', (key, notation, sigstore) => {
    expect(notationAlgorithms(key).map(({ id }) => id)).toEqual(notation);
    expect(sigstoreAlgorithms(key).map(({ id }) => id)).toEqual(sigstore);
  });

  it.each(['RS256', 'HS256', 'none', 'EdDSA', 'ES256K', 1, null])(
    'JWS with alg %j cannot be judged',
    async (alg) => {
      const forged = await forgeJws({
        header: { ...PROTECTED, alg },
        payload: notationPayload(image),
        signer: leaf.signer,
        chain,
      });
      expect(await outcome(() => readNotationJws(utf8(JSON.stringify(forged)), 'it'))).toBe(
        'unsupported-signature',
      );
    },
  );

  it('a bundle is only written with a key that stock cosign verifies', async () => {
    const made = { digest: image.digest, annotations: new Map() };
    for (const curve of ['P-384', 'P-521'])
      await expect(
        buildBundle(made, createSigner(generateKeyPairSync('ec', { namedCurve: curve }).privateKey)),
      ).rejects.toThrow(coded('key-invalid'));
    for (const { privateKey } of [generateKeyPairSync('ed25519'), leaf]) {
      const signer = createSigner(privateKey);
      const bundle = await buildBundle(made, signer);
      expect(await outcome(() => readBundle(bundle, 'it'), [signer.publicKey])).toBe('verified');
    }
  });

  it('a certificate with a key that Notation has no algorithm for cannot be judged', async () => {
    const odd = issue({ subject: LEAF_NAME, keys: generateKeyPairSync('rsa', { modulusLength: 2056 }) });
    const forged = await forgeJws({
      payload: notationPayload(image),
      signer: odd.signer,
      chain: [odd.certificate],
    });
    expect(await outcome(() => readNotationJws(utf8(JSON.stringify(forged)), 'it'))).toBe(
      'unsupported-signature',
    );
  });
});

describe('a cosign .sig', () => {
  const document = {
    critical: {
      identity: { 'docker-reference': 'app' },
      image: { 'docker-manifest-digest': image.digest },
      type: 'cosign container image signature',
    },
    optional: null,
  };
  async function legacy(
    change: object = {},
    annotations?: Readonly<Record<string, string>>,
  ): Promise<Envelope> {
    const payload = utf8(JSON.stringify({ ...document, ...change }));
    const ed25519 = createSigner(key.privateKey);
    const signature = base64(await ed25519.sign(payload));
    const layer = {
      ...describeBytes(SIGNATURE_TYPES.simpleSigning, payload),
      annotations: annotations ?? { [SIGNATURE_ANNOTATIONS.legacySignature]: signature },
    };
    return readLegacySignature(layer, payload, 'it');
  }
  const key = generateKeyPairSync('ed25519');
  const trusted = [createSigner(key.privateKey).publicKey];
  const critical = (change: object) => ({ critical: { ...document.critical, ...change } });

  it.each<[string, string, () => Promise<Envelope>]>([
    ['as cosign writes it', 'verified', () => legacy()],
    ['no signature', 'content-invalid', () => legacy({}, {})],
    [
      'an empty signature',
      'content-invalid',
      () => legacy({}, { [SIGNATURE_ANNOTATIONS.legacySignature]: '' }),
    ],
    [
      'a signature that is not base64',
      'content-invalid',
      () => legacy({}, { [SIGNATURE_ANNOTATIONS.legacySignature]: '!' }),
    ],
    [
      'a signature of something else',
      'signature-mismatch',
      () => legacy({}, { [SIGNATURE_ANNOTATIONS.legacySignature]: 'AAAA' }),
    ],
    [
      'a certificate that is not PEM',
      'content-invalid',
      () => legacy({}, { [SIGNATURE_ANNOTATIONS.legacyCertificate]: 'x' }),
    ],
    [
      'a digest that is not one',
      'content-invalid',
      () => legacy(critical({ image: { 'docker-manifest-digest': 'sha256:0' } })),
    ],
    [
      'a digest that is not text',
      'content-invalid',
      () => legacy(critical({ image: { 'docker-manifest-digest': 1 } })),
    ],
    ['no image', 'content-invalid', () => legacy(critical({ image: null }))],
    ['no type', 'content-invalid', () => legacy(critical({ type: null }))],
    ['another type', 'content-invalid', () => legacy(critical({ type: 'atomic container signature' }))],
    ['no identity', 'content-invalid', () => legacy(critical({ identity: [] }))],
    ['an identity without a reference', 'content-invalid', () => legacy(critical({ identity: {} }))],
    [
      'a reference that is not text',
      'content-invalid',
      () => legacy(critical({ identity: { 'docker-reference': 1 } })),
    ],
    ['nothing critical', 'content-invalid', () => legacy({ critical: null })],
    ['another member', 'content-invalid', () => legacy({ signed: {} })],
    ['another critical member', 'content-invalid', () => legacy(critical({ more: 1 }))],
    [
      'another member of the image',
      'content-invalid',
      () => legacy(critical({ image: { 'docker-manifest-digest': image.digest, more: 1 } })),
    ],
    [
      'another image',
      'digest-mismatch',
      () => legacy(critical({ image: { 'docker-manifest-digest': digestOf(utf8('other')) } })),
    ],
  ])('with %s: %s', async (_, code, envelope) => {
    expect(await outcome(envelope, trusted)).toBe(code);
  });
});

describe('a bundle', () => {
  type Bundle = { verificationMaterial: unknown; dsseEnvelope: { signatures: unknown; payload: unknown } };
  async function bundle(
    change: (bundle: Bundle) => void,
    payload: object = statement(image),
  ): Promise<Envelope> {
    const forged = JSON.parse(
      await forgeBundle({ payload: JSON.stringify(payload), signer: leaf.signer }),
    ) as Bundle;
    change(forged);
    return readBundle(utf8(JSON.stringify(forged)), 'it');
  }
  const unchanged = () => undefined;
  it.each<[string, string, () => Promise<Envelope>]>([
    ['as it should be', 'verified', () => bundle(unchanged)],
    [
      'no material',
      'content-invalid',
      () => bundle((it) => Object.assign(it, { verificationMaterial: null })),
    ],
    [
      'material that is a list',
      'content-invalid',
      () => bundle((it) => Object.assign(it, { verificationMaterial: [] })),
    ],
    [
      'material without a key',
      'content-invalid',
      () => bundle((it) => Object.assign(it, { verificationMaterial: {} })),
    ],
    [
      'a key that is text',
      'content-invalid',
      () => bundle((it) => Object.assign(it, { verificationMaterial: { publicKey: 'x' } })),
    ],
    [
      'a key without a hint',
      'verified',
      () => bundle((it) => Object.assign(it, { verificationMaterial: { publicKey: {} } })),
    ],
    [
      'a certificate and a key',
      'content-invalid',
      () => bundle((it) => Object.assign(it, { verificationMaterial: { certificate: {}, publicKey: {} } })),
    ],
    [
      'a chain without certificates',
      'content-invalid',
      () => bundle((it) => Object.assign(it, { verificationMaterial: { x509CertificateChain: {} } })),
    ],
    ['no content', 'content-invalid', () => bundle((it) => Object.assign(it, { dsseEnvelope: null }))],
    [
      'a signature over a blob',
      'unsupported-signature',
      () =>
        bundle((it) => Object.assign(it, { dsseEnvelope: null, messageSignature: { signature: 'AA==' } })),
    ],
    ['another type', 'unsupported-signature', () => bundle((it) => Object.assign(it, { mediaType: 'x' }))],
    [
      'another type of payload',
      'unsupported-signature',
      () => bundle((it) => Object.assign(it.dsseEnvelope, { payloadType: 'text/plain' })),
    ],
    [
      'no signature',
      'content-invalid',
      () => bundle((it) => Object.assign(it.dsseEnvelope, { signatures: [] })),
    ],
    [
      'signatures that are none',
      'content-invalid',
      () => bundle((it) => Object.assign(it.dsseEnvelope, { signatures: {} })),
    ],
    [
      'a signature that is text',
      'content-invalid',
      () => bundle((it) => Object.assign(it.dsseEnvelope, { signatures: ['x'] })),
    ],
    [
      'an empty signature',
      'content-invalid',
      () => bundle((it) => Object.assign(it.dsseEnvelope, { signatures: [{ sig: '' }] })),
    ],
    [
      'a signature of a single byte',
      'signature-mismatch',
      () => bundle((it) => Object.assign(it.dsseEnvelope, { signatures: [{ sig: 'AA==' }] })),
    ],
    ['no payload', 'content-invalid', () => bundle((it) => Object.assign(it.dsseEnvelope, { payload: '' }))],
    [
      'a payload that is not text',
      'content-invalid',
      () => bundle((it) => Object.assign(it.dsseEnvelope, { payload: 1 })),
    ],
    ['no subject', 'content-invalid', () => bundle(unchanged, statement(image, { subject: [] }))],
    [
      'a subject that is an object',
      'content-invalid',
      () => bundle(unchanged, statement(image, { subject: {} })),
    ],
    [
      'a subject that is text',
      'content-invalid',
      () => bundle(unchanged, statement(image, { subject: ['x'] })),
    ],
    [
      'a subject without digests',
      'content-invalid',
      () => bundle(unchanged, statement(image, { subject: [{}] })),
    ],
    [
      'a digest that is not text',
      'content-invalid',
      () => bundle(unchanged, statement(image, { subject: [{ digest: { sha256: 1 } }] })),
    ],
    [
      'a thousand subjects',
      'verified',
      () => bundle(unchanged, statement(image, { subject: subjects(1000) })),
    ],
    ['one more', 'content-invalid', () => bundle(unchanged, statement(image, { subject: subjects(1001) }))],
    [
      'the older statement',
      'verified',
      () => bundle(unchanged, statement(image, { _type: 'https://in-toto.io/Statement/v0.1' })),
    ],
    [
      'a later statement',
      'unsupported-signature',
      () => bundle(unchanged, statement(image, { _type: 'https://in-toto.io/Statement/v2' })),
    ],
    [
      'a statement without a type',
      'unsupported-signature',
      () => bundle(unchanged, statement(image, { _type: 1 })),
    ],
    ['no purpose', 'content-invalid', () => bundle(unchanged, statement(image, { predicateType: '' }))],
    [
      'a purpose that is not text',
      'content-invalid',
      () => bundle(unchanged, statement(image, { predicateType: 1 })),
    ],
  ])('with %s: %s', async (_, code, envelope) => {
    expect(await outcome(envelope, [leaf.signer.publicKey])).toBe(code);
  });

  function subjects(count: number): object[] {
    return Array.from({ length: count }, () => ({ digest: { sha256: image.digest.slice(7) } }));
  }

  it('of a key that nobody trusts says whose it claims to be', async () => {
    const other = createSigner(generateKeyPairSync('ed25519').privateKey).publicKey;
    const found = await examineEnvelope(await bundle(unchanged), manifest, image, [other]);
    expect(found).toMatchObject({
      outcome: 'refused',
      refusal: { code: 'signature-mismatch', kind: 'sigstore-bundle' },
    });
  });
});

describe('a JWS of Notation', () => {
  async function jws(change: object = {}, payload: string = notationPayload(image)): Promise<Envelope> {
    const forged = await forgeJws({ payload, signer: leaf.signer, chain });
    return readNotationJws(utf8(JSON.stringify({ ...forged, ...change })), 'it');
  }
  const payloadOf = (change: object) => JSON.stringify({ targetArtifact: { ...target, ...change } });
  const target = { mediaType: image.mediaType, digest: image.digest, size: image.size };
  const der = (at: number) => base64(chain[at]?.der ?? new Uint8Array());
  it.each<[string, string, () => Promise<Envelope>]>([
    ['as it should be', 'verified', () => jws()],
    ['several signatures', 'content-invalid', () => jws({ signatures: [] })],
    ['no header', 'content-invalid', () => jws({ header: null })],
    ['a header that is a list', 'content-invalid', () => jws({ header: [] })],
    ['no chain', 'content-invalid', () => jws({ header: {} })],
    ['a chain that is text', 'content-invalid', () => jws({ header: { x5c: der(0) } })],
    ['an empty chain', 'content-invalid', () => jws({ header: { x5c: [] } })],
    ['a certificate that is not base64', 'content-invalid', () => jws({ header: { x5c: ['!'] } })],
    ['a certificate that is not text', 'content-invalid', () => jws({ header: { x5c: [1] } })],
    ['a certificate that is none', 'certificate-invalid', () => jws({ header: { x5c: ['AAAA'] } })],
    [
      'sixteen certificates',
      'verified',
      () => jws({ header: { x5c: Array.from({ length: 16 }, () => der(0)) } }),
    ],
    [
      'seventeen',
      'content-invalid',
      () => jws({ header: { x5c: Array.from({ length: 17 }, () => der(0)) } }),
    ],
    ["another's certificate", 'signature-mismatch', () => jws({ header: { x5c: [der(1), der(0)] } })],
    ['an empty signature', 'content-invalid', () => jws({ signature: '' })],
    ['a signature that is not base64url', 'content-invalid', () => jws({ signature: '+/' })],
    ['a signature that is not text', 'content-invalid', () => jws({ signature: 1 })],
    ['another signature', 'signature-mismatch', () => jws({ signature: 'AAAA' })],
    ['an empty payload', 'content-invalid', () => jws({ payload: '' })],
    ['no payload', 'content-invalid', () => jws({ payload: undefined })],
    ['a payload without a target', 'content-invalid', () => jws({}, '{}')],
    [
      'another member beside the target',
      'content-invalid',
      () => jws({}, JSON.stringify({ targetArtifact: target, x: 1 })),
    ],
    ['another member of the target', 'content-invalid', () => jws({}, payloadOf({ urls: [] }))],
    ['an artifact type', 'verified', () => jws({}, payloadOf({ artifactType: 'a/b' }))],
    ['no media type', 'content-invalid', () => jws({}, payloadOf({ mediaType: undefined }))],
    ['a size that is text', 'content-invalid', () => jws({}, payloadOf({ size: '8' }))],
    ['no digest', 'content-invalid', () => jws({}, payloadOf({ digest: undefined }))],
    ['a digest that is not one', 'content-invalid', () => jws({}, payloadOf({ digest: 'sha1:00' }))],
    ['another media type', 'signature-mismatch', () => jws({}, payloadOf({ mediaType: 'a/b' }))],
    ['another size', 'signature-mismatch', () => jws({}, payloadOf({ size: 9 }))],
    ['another digest', 'digest-mismatch', () => jws({}, payloadOf({ digest: digestOf(utf8('x')) }))],
  ])('with %s: %s', async (_, code, envelope) => {
    expect(await outcome(envelope)).toBe(code);
  });
});

describe('a COSE of Notation', () => {
  const fields = (change: readonly (readonly [unknown, unknown])[] = []) =>
    new Map<unknown, unknown>([
      [1, -7],
      [2, ['io.cncf.notary.signingScheme']],
      [3, SIGNATURE_TYPES.notationPayload],
      ['io.cncf.notary.signingScheme', 'notary.x509'],
      ['io.cncf.notary.signingTime', signingTime],
      ...change,
    ]);
  const ders = chain.map(({ der }) => der);
  async function cose(
    change: { header?: unknown; open?: unknown; parts?: (all: unknown[]) => unknown } = {},
  ) {
    const header =
      change.header instanceof Uint8Array ? change.header : encodeCbor(change.header ?? fields());
    const payload = utf8(notationPayload(image));
    const signature = await leaf.signer.sign(signatureStructure(header, payload));
    const all: unknown[] = [header, change.open ?? new Map([[33, ders]]), payload, signature];
    const written = change.parts === undefined ? all : change.parts(all);
    return readNotationCose(concatBytes([Uint8Array.of(0xd2), encodeCbor(written)]), 'it');
  }
  const replaced = (at: number, value: unknown) => (all: unknown[]) => all.with(at, value);
  it.each<[string, string, () => Promise<Envelope>]>([
    ['as it should be', 'verified', () => cose()],
    ['five parts', 'content-invalid', () => cose({ parts: (all) => [...all, 1] })],
    ['three parts', 'content-invalid', () => cose({ parts: (all) => all.slice(0, 3) })],
    ['no list', 'content-invalid', () => cose({ parts: () => new Map() })],
    ['a header that is text', 'content-invalid', () => cose({ parts: replaced(0, 'x') })],
    ['a payload that is text', 'content-invalid', () => cose({ parts: replaced(2, 'x') })],
    ['no payload', 'content-invalid', () => cose({ parts: replaced(2, null) })],
    ['a signature that is text', 'content-invalid', () => cose({ parts: replaced(3, 'x') })],
    ['unprotected headers that are a list', 'content-invalid', () => cose({ open: [] })],
    ['protected headers that are a list', 'content-invalid', () => cose({ header: [] })],
    ['an empty protected header', 'content-invalid', () => cose({ header: new Uint8Array() })],
    [
      'a chain of one certificate that is not a list',
      'content-invalid',
      () => cose({ open: new Map([[33, ders[0]]]) }),
    ],
    [
      'a chain of which one is text',
      'content-invalid',
      () => cose({ open: new Map([[33, [ders[0], 'x']]]) }),
    ],
    ['an empty chain', 'content-invalid', () => cose({ open: new Map([[33, []]]) })],
    [
      'a header that is protected and not',
      'content-invalid',
      () =>
        cose({
          header: fields([['x', 1]]),
          open: new Map<unknown, unknown>([
            [33, ders],
            ['x', 1],
          ]),
        }),
    ],
    [
      'other headers, protected or not',
      'verified',
      () =>
        cose({
          header: fields([['x', 1]]),
          open: new Map<unknown, unknown>([
            [33, ders],
            ['y', 1],
          ]),
        }),
    ],
    [
      'a signing time in text',
      'content-invalid',
      () => cose({ header: fields([['io.cncf.notary.signingTime', 'x']]) }),
    ],
    [
      'more bytes than allowed',
      'content-invalid',
      () =>
        cose({
          open: new Map<unknown, unknown>([
            [33, ders],
            ['y', new Uint8Array(MAX_NOTATION_BYTES)],
          ]),
        }),
    ],
  ])('with %s: %s', async (_, code, envelope) => {
    expect(await outcome(envelope)).toBe(code);
  });

  it('of exactly as many bytes as allowed is read', async () => {
    const plain = await cose({
      open: new Map<unknown, unknown>([
        [33, ders],
        ['y', new Uint8Array(70_000)],
      ]),
    });
    expect(plain.kind).toBe('notation-cose');
  });
});

describe('CBOR', () => {
  it.each<[string, string]>([
    ['a tag of its own', 'c0613a'],
    ['a time in fractions', 'c1f93e00'],
    ['a time in text', 'c16130'],
    ['a time that does not exist', 'c11b001fffffffffffff'],
    ['undefined', 'f7'],
    ['NaN', 'f97e00'],
    ['an integer of 64 bits', '1b0020000000000000'],
    ['a long form', '1800'],
    ['an indefinite list', '9fff'],
    ['a key twice', 'a201010102'],
    ['nothing', ''],
    ['something after it', '0000'],
  ])('refuses %s', (_, text) => {
    expect(() => parseCbor(new Uint8Array(Buffer.from(text, 'hex')), 'it')).toThrow(coded('content-invalid'));
  });

  it('reads times in whole seconds, before 1970 too', () => {
    const times = [new Date(0), new Date('2026-06-01T00:00:00Z'), new Date('2100-01-01T00:00:00Z')];
    expect(parseCbor(encodeCbor(times), 'it')).toEqual(times);
    expect(parseCbor(Uint8Array.of(0xc1, 0x20), 'it')).toEqual(new Date(-1000));
  });
});

describe('a chain', () => {
  it('is refused as a part of what carried it, with cause and hint', () => {
    const other = issueChain();
    const check =
      (roots: typeof chain, time = now) =>
      () =>
        checkTrustedChain(chain, roots, { now: time }, 'signature x');
    expect(check([root.certificate])).not.toThrow();
    expect(check([leaf.certificate])).not.toThrow();
    for (const [run, code] of [
      [check([other.root.certificate]), 'certificate-invalid'],
      [check([]), 'certificate-invalid'],
      [check([root.certificate], new Date('2030-01-01T00:00:00Z')), 'certificate-expired'],
      [
        () => checkTrustedChain(chain.slice(0, 1), [leaf.certificate], { now }, 'signature x'),
        'certificate-invalid',
      ],
    ] as const)
      expect(run).toThrow(
        expect.objectContaining({ code, message: expect.stringMatching(/^signature x: /) }),
      );
    expect(isAnchored(chain, [])).toBe(false);
    const made = (signingTime: Date) => () =>
      checkTrustedChain(chain, [root.certificate], { now, signingTime }, 'signature x');
    expect(made(now)).not.toThrow();
    for (const time of ['2020-01-01T00:00:00Z', '2030-01-01T00:00:00Z'])
      expect(made(new Date(time))).toThrow(coded('certificate-expired'));
  });

  it('has 1 to 16 certificates', () => {
    const der = leaf.certificate.der;
    expect(readChain([der], 'it')).toHaveLength(1);
    expect(
      readChain(
        Array.from({ length: 16 }, () => der),
        'it',
      ),
    ).toHaveLength(16);
    for (const count of [0, 17])
      expect(() =>
        readChain(
          Array.from({ length: count }, () => der),
          'it',
        ),
      ).toThrow(coded('content-invalid'));
  });
});

describe('the artifact of a signature', () => {
  const created = now;
  const made = (kind: 'notation-jws' | 'sigstore-bundle') =>
    buildSignatureArtifact(kind, utf8('{}'), { image, created, chain }).manifest;
  const artifact = (artifactType: string, layerType: string, size = 2): ManifestContent =>
    buildArtifact({
      artifactType,
      layers: [{ ...describeBytes(layerType, utf8('{}')), size }],
      subject: image,
    });
  const read = (content: ManifestContent) => () => locateEnvelope(content, image.digest);

  it('is none where it is something else', () => {
    expect(read(artifact('application/spdx+json', 'application/json'))()).toBeUndefined();
    expect(read(artifact(EMPTY_DESCRIPTOR.mediaType, SIGNATURE_TYPES.jws))()).toBeUndefined();
    const index = utf8(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.index.v1+json',
        artifactType: SIGNATURE_TYPES.notation,
        manifests: [],
        subject: image,
      }),
    );
    const content = {
      descriptor: describeBytes('application/vnd.oci.image.index.v1+json', index),
      bytes: index,
    };
    expect(read(content as ManifestContent)()).toBeUndefined();
  });

  it('must be about the image in hand', () => {
    for (const kind of ['notation-jws', 'sigstore-bundle'] as const) {
      expect(read(made(kind))()?.layer.size).toBe(2);
      expect(() => locateEnvelope(made(kind), digestOf(utf8('other')))).toThrow(coded('content-invalid'));
    }
  });

  it.each<[string, string, ErrorCode | 'read']>([
    [SIGNATURE_TYPES.notation, SIGNATURE_TYPES.jws, 'read'],
    [SIGNATURE_TYPES.notation, SIGNATURE_TYPES.cose, 'read'],
    [SIGNATURE_TYPES.bundle, SIGNATURE_TYPES.bundle, 'read'],
    [SIGNATURE_TYPES.notation, SIGNATURE_TYPES.bundle, 'unsupported-signature'],
    [SIGNATURE_TYPES.bundle, SIGNATURE_TYPES.jws, 'unsupported-signature'],
    [SIGNATURE_TYPES.bundle, SIGNATURE_TYPES.cose, 'unsupported-signature'],
    [SIGNATURE_TYPES.notation, 'application/json', 'unsupported-signature'],
  ])('of %s with %s: %s', (artifactType, layerType, expected) => {
    const run = read(artifact(artifactType, layerType));
    if (expected === 'read') expect(() => run()?.read(utf8('{}'))).toThrow(BullaError);
    else expect(run).toThrow(coded(expected));
  });

  it.each([
    [SIGNATURE_TYPES.notation, SIGNATURE_TYPES.jws, MAX_NOTATION_BYTES],
    [SIGNATURE_TYPES.bundle, SIGNATURE_TYPES.bundle, MAX_ATTESTATION_BYTES],
  ])('of %s is bounded', (artifactType, layerType, most) => {
    expect(read(artifact(artifactType, layerType, most))()?.layer.size).toBe(most);
    expect(read(artifact(artifactType, layerType, most + 1))).toThrow(coded('content-invalid'));
  });
});

describe('what is thrown about a signature', () => {
  it.each<ErrorCode>([
    'content-invalid',
    'unsupported-signature',
    'signature-mismatch',
    'digest-mismatch',
    'certificate-invalid',
    'key-invalid',
  ])('becomes a finding: %s', (code) => {
    const found = refusalOf(manifest, new BullaError(code, 'why', { hint: 'what' }), 'notation-jws');
    expect(found).toEqual({
      outcome: 'refused',
      refusal: { manifest, code, message: 'why', kind: 'notation-jws', hint: 'what' },
    });
    expect(refusalOf(manifest, new BullaError(code, 'why', {}))).toEqual({
      outcome: 'refused',
      refusal: { manifest, code, message: 'why' },
    });
  });

  it('is thrown on where it is about the way to it, or a defect', () => {
    for (const error of [
      new BullaError('registry-unreachable', 'x', { hint: 'y' }),
      new BullaError('timeout', 'x', { hint: 'y' }),
      new TypeError('x'),
    ])
      expect(() => refusalOf(manifest, error)).toThrow(error);
  });
});
