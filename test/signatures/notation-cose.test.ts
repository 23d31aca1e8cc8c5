import { describe, expect, it } from 'vitest';
import { concatBytes, fromHex } from '../../src/encoding/bytes.ts';
import { describe as describeBytes } from '../../src/oci/descriptor.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { encodeCbor } from '../../src/signatures/cbor.ts';
import { examineEnvelope } from '../../src/signatures/evidence.ts';
import { SIGNATURE_TYPES } from '../../src/signatures/formats.ts';
import {
  buildNotationCose,
  readNotationCose,
  signatureStructure,
} from '../../src/signatures/notation-cose.ts';
import { buildNotationPayload } from '../../src/signatures/notation-payload.ts';
import { issueChain } from '../support/issue.ts';

const { leaf, chain } = issueChain();
const bytes = new TextEncoder().encode('an image');
const image = describeBytes('application/vnd.oci.image.manifest.v1+json', bytes);
const signingTime = new Date('2026-06-01T00:00:00Z');
const parts = { image, annotations: new Map([['a', 'b']]), signingTime, agent: 'bulla/test' };
const payload = buildNotationPayload(parts);

const SCHEME = 'io.cncf.notary.signingScheme';
const TIME = 'io.cncf.notary.signingTime';
const EXPIRY = 'io.cncf.notary.expiry';

const honest: readonly (readonly [unknown, unknown])[] = [
  [1, -7],
  [2, [SCHEME]],
  [3, SIGNATURE_TYPES.notationPayload],
  [SCHEME, 'notary.x509'],
  [TIME, signingTime],
];
const x5chain = [33, chain.map(({ der }) => der)] as const;

function changed(...changes: readonly (readonly [unknown, unknown])[]): Uint8Array {
  return encodeCbor(new Map([...honest, ...changes]));
}

interface Parts {
  readonly header?: Uint8Array;
  readonly unprotected?: unknown;
  readonly tag?: number;
  readonly more?: readonly unknown[];
}

async function forge({ header = changed(), unprotected = new Map([x5chain]), tag = 0xd2, more = [] }: Parts) {
  const signature = await leaf.signer.sign(signatureStructure(header, payload));
  return concatBytes([Uint8Array.of(tag), encodeCbor([header, unprotected, payload, signature, ...more])]);
}

async function outcome(envelope: Uint8Array) {
  const read = readNotationCose(envelope, 'it');
  return examineEnvelope(read, digestOf(envelope), image, []);
}

describe('COSE_Sign1 of Notation', () => {
  it('is read as it is written, the same each time', async () => {
    const expiry = new Date('2027-06-01T00:00:00Z');
    const envelope = await buildNotationCose({ ...parts, expiry }, leaf.signer, chain);
    expect(await buildNotationCose({ ...parts, expiry }, leaf.signer, chain)).toEqual(envelope);
    expect(await outcome(envelope)).toMatchObject({
      outcome: 'verified',
      evidence: { kind: 'notation-cose', annotations: new Map([['a', 'b']]), signingTime, expiry },
    });
    expect(await outcome(await forge({}))).toMatchObject({ outcome: 'verified' });
  });

  const removed = (label: unknown) => encodeCbor(new Map(honest.filter(([name]) => name !== label)));
  const text = (value: string) => fromHex(value)!;
  it.each<[string, Parts, string]>([
    ['no tag', { tag: 0x84 }, 'content-invalid'],
    ['another tag', { tag: 0xd1 }, 'content-invalid'],
    ['a fifth part', { more: [1] }, 'content-invalid'],
    ['an unprotected header that is no map', { unprotected: [] }, 'content-invalid'],
    ['a protected header that is no map', { header: encodeCbor([1]) }, 'content-invalid'],
    [
      'a label that stands twice',
      { header: concatBytes([Uint8Array.of(0xa6), changed().subarray(1), text('0126')]) },
      'content-invalid',
    ],
    [
      'indefinite length',
      { header: concatBytes([Uint8Array.of(0xbf), changed().subarray(1), text('ff')]) },
      'content-invalid',
    ],
    ['something after the map', { header: concatBytes([changed(), text('00')]) }, 'content-invalid'],
    [
      'a header both protected and not',
      { unprotected: new Map<unknown, unknown>([x5chain, [1, -7]]) },
      'content-invalid',
    ],
    ['no certificates', { unprotected: new Map() }, 'content-invalid'],
    ['certificates that are not bytes', { unprotected: new Map([[33, ['x']]]) }, 'content-invalid'],
    ['no algorithm', { header: removed(1) }, 'unsupported-signature'],
    ['an HMAC', { header: changed([1, 5]) }, 'unsupported-signature'],
    ['an algorithm as text', { header: changed([1, 'ES256K']) }, 'unsupported-signature'],
    ['EdDSA', { header: changed([1, -8]) }, 'unsupported-signature'],
    ['no critical headers', { header: removed(2) }, 'content-invalid'],
    ['a critical header that is missing', { header: changed([2, [SCHEME, 'x']]) }, 'content-invalid'],
    [
      'an unknown critical header',
      { header: changed([2, [SCHEME, 'x']], ['x', 1]) },
      'unsupported-signature',
    ],
    ['an unknown critical label', { header: changed([2, [SCHEME, 99]], [99, 1]) }, 'unsupported-signature'],
    ['a plug-in', { header: changed(['io.cncf.notary.verificationPlugin', 'p']) }, 'unsupported-signature'],
    ['another content type', { header: changed([3, 'text/plain']) }, 'content-invalid'],
    ['no signing time', { header: removed(TIME) }, 'content-invalid'],
    ['a time without a tag', { header: changed([TIME, 1_780_000_000]) }, 'content-invalid'],
    ['a time as text', { header: changed([TIME, '2026-06-01T00:00:00Z']) }, 'content-invalid'],
    [
      'an expiry that is not critical',
      { header: changed([EXPIRY, new Date('2030-01-01')]) },
      'content-invalid',
    ],
    [
      'an expiry before the signing',
      { header: changed([2, [SCHEME, EXPIRY]], [EXPIRY, new Date('2020-01-01')]) },
      'content-invalid',
    ],
    [
      'a signing authority',
      { header: changed([SCHEME, 'notary.x509.signingAuthority']) },
      'unsupported-signature',
    ],
  ])('refuses %s', async (_, change, code) => {
    await expect(forge(change).then(outcome)).rejects.toMatchObject({ code });
  });

  it.each<[string, number]>([
    ['another curve', -35],
    ['RSA-PSS', -37],
  ])("refuses an algorithm that is not the key's: %s", async (_, number) => {
    expect(await outcome(await forge({ header: changed([1, number]) }))).toMatchObject({
      outcome: 'refused',
      refusal: { code: 'content-invalid' },
    });
  });

  it('refuses a payload that was not signed', async () => {
    const envelope = await forge({});
    const at = Buffer.from(envelope).indexOf('targetArtifact');
    envelope[at] = 0x54;
    expect(await outcome(envelope)).toMatchObject({
      outcome: 'refused',
      refusal: { code: 'signature-mismatch' },
    });
  });

  it('refuses nesting that would exhaust the stack, and what is too large', () => {
    const deep = concatBytes([Uint8Array.of(0xd2), new Uint8Array(200_000).fill(0x81), Uint8Array.of(0)]);
    expect(() => readNotationCose(deep, 'it')).toThrow(expect.objectContaining({ code: 'content-invalid' }));
    const large = new Uint8Array(4 * 1024 * 1024 + 1);
    expect(() => readNotationCose(large, 'it')).toThrow(expect.objectContaining({ code: 'content-invalid' }));
    // An array that says it has four thousand million elements.
    const claimed = fromHex('d29affffffff')!;
    expect(() => readNotationCose(claimed, 'it')).toThrow(
      expect.objectContaining({ code: 'content-invalid' }),
    );
  });
});
