import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signaturesOf } from '../../src/actions/inspect/signatures.ts';
import { openLegacySignatures, openSignature } from '../../src/actions/verify/signature-reading.ts';
import { fetchLegacyManifest } from '../../src/actions/verify/signature-search.ts';
import { parseCertificates } from '../../src/crypto/certificate.ts';
import { parsePublicKeyPem } from '../../src/crypto/public-key.ts';
import { isBullaError } from '../../src/errors.ts';
import { DirectoryFiles } from '../../src/layout/directory.ts';
import { LayoutStore } from '../../src/layout/store.ts';
import { parseManifest } from '../../src/oci/manifest.ts';
import { decide } from '../../src/policy/decision.ts';
import { requirements } from '../../src/policy/requirements.ts';
import { readLegacySignature } from '../../src/signatures/cosign-legacy.ts';
import type { Envelope, SignatureKind } from '../../src/signatures/envelope.ts';
import { examineEnvelope } from '../../src/signatures/evidence.ts';
import { readNotationCose } from '../../src/signatures/notation-cose.ts';
import { readNotationJws } from '../../src/signatures/notation-jws.ts';
import { readBundle } from '../../src/signatures/sigstore-bundle.ts';
import { tagOf } from '../support/content.ts';

const data = new URL('../../testdata/signatures/', import.meta.url);
const text = (name: string) => readFileSync(new URL(name, data), 'utf8');
const cosign = parsePublicKeyPem(text('cosign.pub'), 'cosign.pub');
const roots = parseCertificates(text('notation.crt'), 'notation.crt');
const keys = [cosign];
const now = new Date('2026-11-21T12:00:00Z');

const store = new LayoutStore(await DirectoryFiles.open(fileURLToPath(new URL('stock', data))));
const image = (await store.fetchManifest(tagOf('v1'))).descriptor;
const signatures = await signaturesOf(store, image.digest, {});
const legacy = await fetchLegacyManifest(store, image.digest, {});

async function open(kind: SignatureKind): Promise<Envelope> {
  const { signature } = signatures.find((listed) => listed.kind === kind)!;
  const opened =
    kind === 'cosign-legacy'
      ? await openLegacySignatures(store, legacy!, {})[0]!()
      : (await openSignature(store, signature, image.digest, {}))[0];
  return opened!.envelope!;
}

function examine(envelope: Envelope) {
  return examineEnvelope(envelope, image.digest, image, keys);
}

describe('signatures of stock tools', () => {
  it.each([
    ['notation-jws', { roots }, { a: 'b' }],
    ['notation-cose', { roots }, {}],
    ['sigstore-bundle', { keys }, { x: 'y' }],
    ['cosign-legacy', { keys }, { x: 'y' }],
  ] as const)('%s counts for what it says, and for nobody else', async (kind, trusted, annotations) => {
    const finding = await examine(await open(kind));
    expect(finding).toMatchObject({ outcome: 'verified', evidence: { kind } });
    const found = { findings: [finding], unexamined: 0 };
    const decided = (more: object) => decide('app', found, requirements({ now, ...trusted, ...more }));
    expect(decided({ annotations: new Map(Object.entries(annotations)) })).toMatchObject({ accepted: true });
    expect(decided({ annotations: new Map([['x', 'z']]) })).toMatchObject({ accepted: false });
    const stranger = { keys: [roots[0]!.publicKey] };
    if ('keys' in trusted) expect(decided(stranger)).toMatchObject({ accepted: false });
    else {
      const late = { now: new Date('2026-11-22T04:14:05Z') };
      expect(decided(late)).toMatchObject({ accepted: false, error: { code: 'certificate-expired' } });
    }
  });

  it('are listed with what they say', () => {
    expect(signatures.map(({ kind, problem }) => [kind, problem]).sort()).toEqual([
      ['cosign-legacy', null],
      ['notation-cose', null],
      ['notation-jws', null],
      ['sigstore-bundle', null],
    ]);
  });
});

const layers = await Promise.all(
  signatures.map(async ({ signature, kind }) => {
    const manifest = parseManifest(await store.fetchManifest(signature));
    const layer = manifest.kind === 'manifest' ? manifest.layers[0]! : undefined!;
    return { kind: kind!, layer, bytes: await store.fetchBlob(layer, 1 << 20) };
  }),
);

function read(kind: SignatureKind, bytes: Uint8Array): Envelope {
  switch (kind) {
    case 'notation-jws':
      return readNotationJws(bytes, 'it');
    case 'notation-cose':
      return readNotationCose(bytes, 'it');
    case 'sigstore-bundle':
      return readBundle(bytes, 'it');
    case 'cosign-legacy':
      return readLegacySignature(layers.find((entry) => entry.kind === kind)!.layer, bytes, 'it');
  }
}

describe('a changed envelope', () => {
  it.each(layers.map((entry) => [entry.kind, entry] as const))(
    '%s verifies only where it says the same as before',
    async (kind, { bytes }) => {
      const honest = await examine(read(kind, bytes));
      const before = honest.outcome === 'verified' ? honest.evidence : undefined!;
      const change = fc.record({
        at: fc.nat(bytes.byteLength - 1),
        octet: fc.integer({ min: 0, max: 255 }),
        how: fc.constantFrom('replace', 'insert', 'remove', 'cut'),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
          let changed = [...bytes];
          for (const { at, octet, how } of changes) {
            if (how === 'replace') changed[at] = octet;
            else if (how === 'insert') changed.splice(at, 0, octet);
            else if (how === 'remove') changed.splice(at, 1);
            else changed = changed.slice(0, at);
          }
          try {
            const finding = await examine(read(kind, Uint8Array.from(changed)));
            if (finding.outcome === 'refused') return;
            const { certificates: _, key, ...rest } = finding.evidence;
            expect(key.fingerprint).toBe(before.key.fingerprint);
            expect({ ...rest, certificates: before.certificates, key: before.key }).toEqual(before);
          } catch (error) {
            if (!isBullaError(error)) throw error;
          }
        }),
        { numRuns: 400 },
      );
    },
  );
});
