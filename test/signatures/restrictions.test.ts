import { describe, expect, it } from 'vitest';
import { ecdsaToDer } from '../../src/crypto/signature.ts';
import { base64, concatBytes, utf8 } from '../../src/encoding/bytes.ts';
import { describe as describeBytes } from '../../src/oci/descriptor.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { judge } from '../../src/policy/judgement.ts';
import { requirements } from '../../src/policy/requirements.ts';
import { encodeCbor } from '../../src/signatures/cbor.ts';
import { readLegacySignature } from '../../src/signatures/cosign-legacy.ts';
import type { Envelope } from '../../src/signatures/envelope.ts';
import { examineEnvelope } from '../../src/signatures/evidence.ts';
import { SIGNATURE_ANNOTATIONS, SIGNATURE_TYPES } from '../../src/signatures/formats.ts';
import { readNotationCose, signatureStructure } from '../../src/signatures/notation-cose.ts';
import { readNotationJws } from '../../src/signatures/notation-jws.ts';
import { readBundle } from '../../src/signatures/sigstore-bundle.ts';
import { forgeBundle, forgeJws, PROTECTED, statement } from '../support/forge.ts';
import { issueChain } from '../support/issue.ts';

const { leaf, chain } = issueChain();
const image = describeBytes('application/vnd.oci.image.manifest.v1+json', utf8('an image'));
const sha256 = image.digest.slice(7);
const now = new Date('2026-12-01T00:00:00Z');
const PAST = '2026-11-01T00:00:00Z';
const FUTURE = '2027-11-01T00:00:00Z';

/** What becomes of an envelope by a trusted key: a code, or that it counts. */
async function outcome(read: () => Envelope | Promise<Envelope>): Promise<string> {
  try {
    const found = await examineEnvelope(await read(), digestOf(utf8('m')), image, [leaf.signer.publicKey]);
    if (found.outcome === 'refused') return found.refusal.code;
    return judge(found.evidence, requirements({ keys: [leaf.signer.publicKey], now }))?.code ?? 'counts';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

async function bundle(different: object): Promise<Envelope> {
  const payload = JSON.stringify(statement(image, different));
  return readBundle(utf8(await forgeBundle({ payload, signer: leaf.signer })), 'it');
}
const subject = (annotations: unknown, digest: object = { sha256 }) => ({ digest, annotations });

async function legacy(document: object | string): Promise<Envelope> {
  const payload = utf8(typeof document === 'string' ? document : JSON.stringify(document));
  const signature = base64(ecdsaToDer(await leaf.signer.sign(payload)));
  const layer = {
    ...describeBytes(SIGNATURE_TYPES.simpleSigning, payload),
    annotations: { [SIGNATURE_ANNOTATIONS.legacySignature]: signature },
  };
  return readLegacySignature(layer, payload, 'it');
}
const critical = {
  identity: { 'docker-reference': 'app' },
  image: { 'docker-manifest-digest': image.digest },
  type: 'cosign container image signature',
};

interface JwsChange {
  readonly header?: object | string;
  readonly payload?: object;
  readonly unprotected?: object;
  readonly beside?: object;
}
async function jws({ header = PROTECTED, payload = {}, unprotected = {}, beside }: JwsChange) {
  const target = { mediaType: image.mediaType, digest: image.digest, size: image.size };
  const document = { targetArtifact: target, ...payload };
  const forged = await forgeJws({
    header,
    payload: JSON.stringify(document),
    signer: leaf.signer,
    chain,
    unprotected,
  });
  return readNotationJws(utf8(JSON.stringify({ ...forged, ...beside })), 'it');
}
const notation = (annotations: unknown) => ({
  payload: {
    targetArtifact: { mediaType: image.mediaType, digest: image.digest, size: image.size, annotations },
  },
});

const SCHEME = 'io.cncf.notary.signingScheme';
const EXPIRY = 'io.cncf.notary.expiry';
const label = (name: unknown, value: unknown) => [name, value] as const;
interface CoseChange {
  readonly header?: readonly (readonly [unknown, unknown])[];
  readonly unprotected?: readonly (readonly [unknown, unknown])[];
}
async function cose({ header = [], unprotected = [] }: CoseChange): Promise<Envelope> {
  const fields = encodeCbor(
    new Map<unknown, unknown>([
      [1, -7],
      [2, [SCHEME]],
      [3, SIGNATURE_TYPES.notationPayload],
      [SCHEME, 'notary.x509'],
      ['io.cncf.notary.signingTime', new Date('2026-06-01T00:00:00Z')],
      ...header,
    ]),
  );
  const payload = utf8(
    JSON.stringify({
      targetArtifact: { mediaType: image.mediaType, digest: image.digest, size: image.size },
    }),
  );
  const signature = await leaf.signer.sign(signatureStructure(fields, payload));
  const open = new Map<unknown, unknown>([[33, chain.map(({ der }) => der)], ...unprotected]);
  return readNotationCose(
    concatBytes([Uint8Array.of(0xd2), encodeCbor([fields, open, payload, signature])]),
    'it',
  );
}

type Row = readonly [name: string, code: string, envelope: () => Promise<Envelope>];
const withExpiry = (expiry: unknown) => ({ 'vnd.bulla.expires': expiry });
const criticalExpiry = (expiry: unknown): object => ({
  ...PROTECTED,
  crit: [...PROTECTED.crit, EXPIRY],
  [EXPIRY]: expiry,
});

const rows: readonly Row[] = [
  // What does not restrict, or not yet, counts.
  ['a bundle without annotations', 'counts', () => bundle({})],
  ['a bundle whose annotations are null', 'counts', () => bundle({ subject: [subject(null)] })],
  ['a bundle with an expiry to come', 'counts', () => bundle({ subject: [subject(withExpiry(FUTURE))] })],
  [
    'a bundle with annotations of other types',
    'counts',
    () => bundle({ subject: [subject({ n: 1, o: {}, b: true })] }),
  ],
  ['a bundle with a predicate', 'counts', () => bundle({ predicate: { expires: PAST, a: [{ b: null }] } })],
  ['a .sig without optional', 'counts', () => legacy({ critical })],
  ['a .sig whose optional is null', 'counts', () => legacy({ critical, optional: null })],
  [
    'a .sig with an expiry to come',
    'counts',
    () => legacy({ critical, optional: { ...withExpiry(FUTURE), creator: 'x' } }),
  ],
  ['a JWS without an expiry', 'counts', () => jws({})],
  ['a JWS with an expiry to come', 'counts', () => jws({ header: criticalExpiry(FUTURE) })],
  ['a JWS with annotations', 'counts', () => jws(notation({ a: 'b' }))],
  [
    'a JWS with agent and timestamp',
    'counts',
    () =>
      jws({
        unprotected: { 'io.cncf.notary.signingAgent': 'x', 'io.cncf.notary.timestampSignature': 'eA' },
      }),
  ],
  ['a COSE without an expiry', 'counts', () => cose({})],
  [
    'a COSE with agent and timestamp',
    'counts',
    () =>
      cose({
        unprotected: [
          label('io.cncf.notary.signingAgent', 'x'),
          label('io.cncf.notary.timestampSignature', 'x'),
        ],
      }),
  ],

  // A restriction that holds.
  ['an expired bundle', 'certificate-expired', () => bundle({ subject: [subject(withExpiry(PAST))] })],
  ['an expired .sig', 'certificate-expired', () => legacy({ critical, optional: withExpiry(PAST) })],
  [
    'a .sig that expires this very moment',
    'certificate-expired',
    () => legacy({ critical, optional: withExpiry('2026-12-01T00:00:00Z') }),
  ],
  ['an expired JWS', 'certificate-expired', () => jws({ header: criticalExpiry(PAST) })],
  ['a JWS whose annotation expired', 'certificate-expired', () => jws(notation(withExpiry(PAST)))],
  [
    'a JWS whose annotation expired before its header',
    'certificate-expired',
    () => jws({ header: criticalExpiry(FUTURE), ...notation(withExpiry(PAST)) }),
  ],
  [
    'a JWS whose header expired before its annotation',
    'certificate-expired',
    () => jws({ header: criticalExpiry(PAST), ...notation(withExpiry(FUTURE)) }),
  ],
  [
    'an expired COSE',
    'certificate-expired',
    () => cose({ header: [label(2, [SCHEME, EXPIRY]), label(EXPIRY, new Date(PAST))] }),
  ],
  [
    'a bundle of which another subject expired',
    'certificate-expired',
    () =>
      bundle({
        subject: [subject(withExpiry(FUTURE)), subject(withExpiry(PAST), { sha256: '0'.repeat(64) })],
      }),
  ],
  [
    'a bundle with an expired subject of an unknown kind of digest',
    'certificate-expired',
    () => bundle({ subject: [subject({}), subject(withExpiry(PAST), { blake3: '00' })] }),
  ],
  [
    'a bundle with an expired subject whose digest is not one',
    'certificate-expired',
    () => bundle({ subject: [subject({}), subject(withExpiry(PAST), { sha256: 'x' })] }),
  ],
  [
    'a bundle with an expired subject that has no digests',
    'certificate-expired',
    () => bundle({ subject: [subject({}), subject(withExpiry(PAST), {})] }),
  ],

  // A restriction that cannot be read.
  ...(
    [
      ['an array', [withExpiry(PAST)]],
      ['a number', 17],
      ['a string', JSON.stringify(withExpiry(PAST))],
      ['true', true],
      ['an empty array', []],
    ] as const
  ).flatMap<Row>(([what, value]) => [
    [
      `a bundle whose annotations are ${what}`,
      'content-invalid',
      () => bundle({ subject: [subject(value)] }),
    ],
    [
      `a bundle whose second subject's annotations are ${what}`,
      'content-invalid',
      () => bundle({ subject: [subject({}), subject(value, { blake3: '00' })] }),
    ],
    [`a .sig whose optional is ${what}`, 'content-invalid', () => legacy({ critical, optional: value })],
    [`a JWS whose annotations are ${what}`, 'content-invalid', () => jws(notation(value))],
  ]),
  ...(
    [
      ['a number', 1_767_225_600],
      ['a date without a time', '2099-01-01'],
      ['a day that does not exist', '2099-02-30T00:00:00Z'],
      ['a time without a zone', '2099-01-01T00:00:00'],
      ['a word', 'never'],
      ['nothing', ''],
      ['null', null],
      ['an array', [FUTURE]],
      ['an object', { time: FUTURE }],
      ['padded', ` ${FUTURE}`],
    ] as const
  ).flatMap<Row>(([what, value]) => [
    [
      `a bundle whose expiry is ${what}`,
      'content-invalid',
      () => bundle({ subject: [subject(withExpiry(value))] }),
    ],
    [
      `a .sig whose expiry is ${what}`,
      'content-invalid',
      () => legacy({ critical, optional: withExpiry(value) }),
    ],
    [`a JWS whose expiry is ${what}`, 'content-invalid', () => jws({ header: criticalExpiry(value) })],
    [
      `a JWS annotated with an expiry that is ${what}`,
      'content-invalid',
      () => jws(notation(withExpiry(value))),
    ],
    [
      `a COSE whose expiry is ${what}`,
      'content-invalid',
      () => cose({ header: [label(2, [SCHEME, EXPIRY]), label(EXPIRY, value)] }),
    ],
  ]),
  [
    'a .sig with two expiries',
    'content-invalid',
    () =>
      legacy(
        JSON.stringify({ critical, optional: withExpiry(FUTURE) }).replace(
          '"optional":{',
          `"optional":{"vnd.bulla.expires":"${PAST}",`,
        ),
      ),
  ],
  [
    'a JWS with two expiries',
    'content-invalid',
    () =>
      jws({
        header: JSON.stringify(criticalExpiry(FUTURE)).replace(/}$/, `,"${EXPIRY}":"${PAST}"}`),
      }),
  ],

  // A restriction in the wrong place, or under a name that is not known.
  [
    'a bundle with an expiry in its predicate',
    'content-invalid',
    () => bundle({ predicate: withExpiry(PAST) }),
  ],
  ['a bundle with an expiry beside the subject', 'content-invalid', () => bundle(withExpiry(PAST))],
  [
    'a bundle with an expiry in the subject itself',
    'content-invalid',
    () => bundle({ subject: [{ ...subject({}), ...withExpiry(PAST) }] }),
  ],
  [
    'a bundle with an expiry inside another annotation',
    'content-invalid',
    () => bundle({ subject: [subject({ more: [withExpiry(PAST)] })] }),
  ],
  [
    'a .sig with an expiry inside another annotation',
    'content-invalid',
    () => legacy({ critical, optional: { more: withExpiry(PAST) } }),
  ],
  [
    'a .sig with an expiry among what is critical',
    'content-invalid',
    () => legacy({ critical: { ...critical, ...withExpiry(PAST) } }),
  ],
  ['a JWS with an expiry beside its target', 'content-invalid', () => jws({ payload: withExpiry(PAST) })],
  ['a JWS with an annotation that is not text', 'content-invalid', () => jws(notation({ a: 1 }))],
  ...(
    [
      'Vnd.Bulla.Expires',
      'vnd.bulla.expiry',
      'vnd.bulla.',
      'VND.BULLA.EXPIRES',
      'vnd.bulla.notbefore',
    ] as const
  ).flatMap<Row>((name) => [
    [
      `a bundle with the annotation ${name}`,
      'unsupported-signature',
      () => bundle({ subject: [subject({ [name]: FUTURE })] }),
    ],
    [
      `a .sig with the annotation ${name}`,
      'unsupported-signature',
      () => legacy({ critical, optional: { [name]: FUTURE } }),
    ],
    [`a JWS with the annotation ${name}`, 'unsupported-signature', () => jws(notation({ [name]: FUTURE }))],
  ]),
  ...(
    [
      [EXPIRY, PAST],
      ['IO.CNCF.NOTARY.EXPIRY', PAST],
      [SCHEME, 'notary.x509'],
      ['io.cncf.notary.verificationPlugin', 'x'],
      ['io.cncf.notary.authenticSigningTime', PAST],
      ['io.cncf.notary.anything', 'x'],
    ] as const
  ).flatMap<Row>(([name, value]) => [
    [
      `a JWS with an unprotected ${name}`,
      'content-invalid',
      () => jws({ header: withoutHeader(name), unprotected: { [name]: value } }),
    ],
    [`a JWS with ${name} beside its parts`, 'content-invalid', () => jws({ beside: { [name]: value } })],
    [
      `a COSE with an unprotected ${name}`,
      'content-invalid',
      () => cose({ unprotected: [label(name, value)] }),
    ],
  ]),
  ...(['crit', 'b64', 'cty'] as const).map<Row>((name) => [
    `a JWS with an unprotected ${name}`,
    'content-invalid',
    () => jws({ header: withoutHeader(name), unprotected: { [name]: ['x'] } }),
  ]),
  ...([1, 2, 3] as const).map<Row>((name) => [
    `a COSE with label ${name} unprotected as well`,
    'content-invalid',
    () => cose({ unprotected: [label(name, -7)] }),
  ]),
  ...(
    [
      'io.cncf.notary.Expiry',
      'io.cncf.notary.notBefore',
      'IO.CNCF.NOTARY.EXPIRY',
      'io.cncf.notary.x',
      'io.cncf.notary.',
    ] as const
  ).flatMap<Row>((name) => [
    [
      `a JWS with the unknown header ${name}`,
      'unsupported-signature',
      () => jws({ header: { ...PROTECTED, [name]: PAST } }),
    ],
    [
      `a COSE with the unknown header ${name}`,
      'unsupported-signature',
      () => cose({ header: [label(name, new Date(PAST))] }),
    ],
  ]),
  ...(['notary.x509.other', 'NOTARY.X509', '', 1, null] as const).flatMap<Row>((scheme) => [
    [
      `a JWS of scheme ${JSON.stringify(scheme)}`,
      'content-invalid',
      () => jws({ header: { ...PROTECTED, [SCHEME]: scheme } }),
    ],
    [
      `a COSE of scheme ${JSON.stringify(scheme)}`,
      'content-invalid',
      () => cose({ header: [label(SCHEME, scheme)] }),
    ],
  ]),
  ...(['exp', 'b64', 'x', 'alg', 'io.cncf.notary.signingTime'] as const).map<Row>((name) => [
    `a JWS in which ${name} is critical`,
    'unsupported-signature',
    () => jws({ header: { [name]: 'x', ...PROTECTED, crit: [...PROTECTED.crit, name] } }),
  ]),
  ...(['ES256', 'ES384', 'PS256', '-7', ''] as const).map<Row>((name) => [
    `a COSE whose algorithm is the text ${JSON.stringify(name)}`,
    'unsupported-signature',
    () => cose({ header: [label(1, name)] }),
  ]),
  ['a COSE with a label of bytes', 'content-invalid', () => cose({ header: [label(utf8(EXPIRY), 'x')] })],
  ['a COSE with a label that is true', 'content-invalid', () => cose({ unprotected: [label(true, 'x')] })],
];

function withoutHeader(name: string): object {
  return Object.fromEntries(Object.entries(PROTECTED).filter(([other]) => other !== name));
}

describe('what restricts a signature', () => {
  it.each(rows)('%s: %s', async (_, code, envelope) => {
    expect(await outcome(envelope)).toBe(code);
  });
});
