import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { publicKeyOf } from '../../src/crypto/public-key.ts';
import { base64, fromBase64, utf8 } from '../../src/encoding/bytes.ts';
import { type Descriptor, describe as descriptorOf } from '../../src/oci/descriptor.ts';
import { decide } from '../../src/policy/decision.ts';
import { type Requirements, requirements } from '../../src/policy/requirements.ts';
import { readLegacyAttestation, readLegacySignature } from '../../src/signatures/cosign-legacy.ts';
import { examineEnvelope, type Finding, refusalOf } from '../../src/signatures/evidence.ts';
import { SIGNATURE_TYPES } from '../../src/signatures/formats.ts';
import { parseTrustedRoot } from '../../src/sigstore/trusted-root.ts';
import {
  type LegacyKind,
  type LegacyLayer,
  type Making,
  SigstoreInstance,
} from '../support/sigstore/instance.ts';

const now = new Date('2026-12-01T00:00:00Z');
const issuer = 'https://accounts.example.com';
const instance = new SigstoreInstance();
const root = parseTrustedRoot(instance.trustedRoot(), 'the root');
const image = descriptorOf('application/vnd.oci.image.manifest.v1+json', utf8('{}'));
const PROVENANCE = 'https://slsa.dev/provenance/v1';
const payload = (of: Descriptor = image): Uint8Array =>
  utf8(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': '' },
        image: { 'docker-manifest-digest': of.digest },
        type: 'cosign container image signature',
      },
      optional: null,
    }),
  );
const statement = (of: Descriptor = image): Uint8Array =>
  utf8(
    JSON.stringify({
      _type: 'https://in-toto.io/Statement/v0.1',
      subject: [{ name: '', digest: { sha256: of.digest.slice(7) } }],
      predicateType: PROVENANCE,
      predicate: { builder: { id: 'x' } },
    }),
  );
const layerOf = (kind: LegacyKind, making: Partial<Making> = {}): LegacyLayer =>
  instance.legacy(kind, kind === 'hashedrekord' ? payload() : statement(), making);
const KINDS: readonly LegacyKind[] = ['hashedrekord', 'dsse', 'intoto'];

const keyless = (subject = 'alice@example.com'): Partial<Requirements> => ({
  keyless: { root, identities: [{ subject, issuer }] },
});

/** The code of the refusal, or `verified`. */
async function outcome(
  kind: LegacyKind,
  { blob, annotations }: LegacyLayer,
  trust: Partial<Requirements> = keyless(),
): Promise<string> {
  const isAttestation = kind !== 'hashedrekord';
  const type = isAttestation ? SIGNATURE_TYPES.envelope : SIGNATURE_TYPES.simpleSigning;
  const layer = descriptorOf(type, blob, { annotations });
  const required = requirements({ now, ...trust, ...(isAttestation && { purposes: [PROVENANCE] }) });
  const finding: Finding = await (async () => {
    try {
      const envelope = (isAttestation ? readLegacyAttestation : readLegacySignature)(
        layer,
        blob,
        'the signature',
      );
      return await examineEnvelope(envelope, image.digest, image, required.keys);
    } catch (error) {
      return refusalOf(image.digest, error);
    }
  })();
  const decision = decide('the image', { findings: [finding], unexamined: 0 }, required);
  return decision.accepted ? 'verified' : decision.error.code;
}

describe.each(KINDS)('a keyless signature of cosign 2 with an entry of kind %s', (kind) => {
  const seen = (text: string): Partial<Making> => ({ seen: new Date(`2026-06-01T${text}Z`) });
  it.each<[string, string, Partial<Making>]>([
    ['as cosign makes it', 'verified', {}],
    ['without a time stamp: Rekor says when', 'verified', { isStamped: false }],
    ['in no log', 'signature-mismatch', { isLogged: false }],
    ['at the last second of its certificate', 'verified', seen('12:10:00')],
    ['a second after', 'certificate-expired', seen('12:10:01')],
    ['a certificate that was never published', 'certificate-invalid', { isPublished: false }],
    ['a certificate for servers', 'certificate-invalid', { purposes: ['1.3.6.1.5.5.7.3.1'] }],
    [
      'another identity',
      'untrusted-identity',
      { owner: { kind: 'email', subject: 'bob@example.com', issuer } },
    ],
    [
      'another issuer',
      'untrusted-identity',
      { owner: { kind: 'email', subject: 'alice@example.com', issuer: 'https://evil.example.com' } },
    ],
  ])('%s: %s', async (_, code, making) => {
    expect(await outcome(kind, layerOf(kind, making))).toBe(code);
  });

  it('counts for an identity alone', async () => {
    const key = publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey);
    expect(await outcome(kind, layerOf(kind), { keys: [key] })).toBe('unsupported-signature');
  });

  it('of another image is refused', async () => {
    const other = descriptorOf('application/vnd.oci.image.manifest.v1+json', utf8('{ }'));
    const bytes = kind === 'hashedrekord' ? payload(other) : statement(other);
    expect(await outcome(kind, instance.legacy(kind, bytes))).toBe('digest-mismatch');
  });

  it('of another instance is refused', async () => {
    const other = new SigstoreInstance();
    const bytes = kind === 'hashedrekord' ? payload() : statement();
    expect(await outcome(kind, other.legacy(kind, bytes))).not.toBe('verified');
  });

  /** Rekor and the time-stamp authority both say when. */
  const optional = ['dev.sigstore.cosign/rfc3161timestamp', 'dev.sigstore.cosign/chain'];
  // In an attestation the signature stands in the envelope.
  const unread = [
    'dev.sigstore.cosign/chain',
    ...(kind === 'hashedrekord' ? [] : ['dev.cosignproject.cosign/signature']),
  ];

  it('is refused with an annotation left out or taken from another one', async () => {
    const layer = layerOf(kind);
    const other = layerOf(kind);
    for (const [name, value] of Object.entries(layer.annotations)) {
      const { [name]: _, ...without } = layer.annotations;
      const code = await outcome(kind, { ...layer, annotations: without });
      expect(code === 'verified', `${name} left out: ${code}`).toBe([...optional, ...unread].includes(name));
      const theirs = other.annotations[name];
      if (theirs === value || theirs === undefined) continue;
      const swapped = await outcome(kind, {
        ...layer,
        annotations: { ...layer.annotations, [name]: theirs },
      });
      expect(swapped, name).not.toBe('verified');
    }
  });

  it('is refused with a bit of any part altered', async () => {
    const layer = layerOf(kind);
    for (const [name, value] of Object.entries(layer.annotations)) {
      if (unread.includes(name)) continue;
      for (const text of alterations(value)) {
        const annotations = { ...layer.annotations, [name]: text };
        expect(await outcome(kind, { ...layer, annotations }), `${name}: ${text.slice(0, 60)}`).not.toBe(
          'verified',
        );
      }
    }
    for (let at = 0; at < layer.blob.byteLength; at += 7) {
      const blob = Uint8Array.from(layer.blob);
      blob[at] = (blob[at] ?? 0) ^ 1;
      if (kind !== 'hashedrekord' && isSameEnvelope(blob, layer.blob)) continue;
      expect(await outcome(kind, { ...layer, blob }), `octet ${at}`).not.toBe('verified');
    }
  });
});

/** The id of the key beside a signature is a hint. */
function isSameEnvelope(one: Uint8Array, other: Uint8Array): boolean {
  const partsOf = (bytes: Uint8Array): unknown => {
    const { payload, payloadType, signatures } = JSON.parse(String(Buffer.from(bytes)));
    return [payload, payloadType, signatures[0].sig];
  };
  try {
    return JSON.stringify(partsOf(one)) === JSON.stringify(partsOf(other));
  } catch {
    return false;
  }
}

/** Other texts of an annotation: PEM, base64 or JSON with one value changed. */
function* alterations(text: string): Generator<string> {
  if (text.startsWith('{')) {
    const leaves = (value: unknown, path: string[] = []): string[][] =>
      typeof value === 'object' && value !== null
        ? Object.entries(value).flatMap(([name, inner]) => leaves(inner, [...path, name]))
        : [path];
    for (const path of leaves(JSON.parse(text)))
      for (const how of [flipped, () => undefined, () => '', () => null]) {
        const json = JSON.parse(text) as Record<string, unknown>;
        let at = json;
        for (const name of path.slice(0, -1)) at = at[name] as Record<string, unknown>;
        const last = path.at(-1) ?? '';
        at[last] = how(at[last]);
        yield JSON.stringify(json);
      }
    yield '{}';
    yield `${text}x`;
    return;
  }
  yield `${text}${text}`;
  yield text.slice(0, -40);
  const [head, body, foot] = text.includes('-----')
    ? text.split(/(?<=CERTIFICATE-----\n)|(?=-----END)/)
    : ['', text, ''];
  const bytes = fromBase64((body ?? '').replace(/\n/g, '')) ?? new Uint8Array();
  for (const at of [10, Math.floor(bytes.byteLength / 2), bytes.byteLength - 3]) {
    const copy = Uint8Array.from(bytes);
    copy[at] = (copy[at] ?? 0) ^ 1;
    yield `${head}${base64(copy).replace(/.{1,64}/g, head === '' ? '$&' : '$&\n')}${foot}`;
  }
}

function flipped(value: unknown): unknown {
  if (typeof value === 'number') return value + 1;
  const text = String(value);
  const bytes = fromBase64(text);
  if (bytes === undefined || /^[0-9a-f]{64}$/.test(text))
    return text.replace(/./, (c) => (c === '0' ? '1' : '0'));
  bytes[5] = (bytes[5] ?? 0) ^ 1;
  return base64(bytes);
}

describe('a signature of cosign 2 by a key', () => {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const trusted = { keys: [publicKeyOf(keys.publicKey)] };
  const proof = { transparency: true, timestamp: true, root };
  const bytesOf = (kind: LegacyKind) => (kind === 'hashedrekord' ? payload() : statement());

  it.each(KINDS)('counts with its entry (%s), which a policy may demand', async (kind) => {
    const layer = instance.legacy(kind, bytesOf(kind), {}, keys);
    expect(await outcome(kind, layer, trusted)).toBe('verified');
    expect(await outcome(kind, layer, { ...trusted, proof })).toBe('verified');
    const bare = instance.legacy(kind, bytesOf(kind), { isLogged: false, isStamped: false }, keys);
    expect(await outcome(kind, bare, trusted)).toBe('verified');
    expect(await outcome(kind, bare, { ...trusted, proof })).toBe('signature-mismatch');
  });

  it.each(['{', '{"SignedEntryTimestamp":1}', '[]', 'x'])(
    'counts with an entry that cannot be read (%s), and not where a policy demands one',
    async (text) => {
      const { blob, annotations } = instance.legacy('hashedrekord', payload(), {}, keys);
      const layer = { blob, annotations: { ...annotations, 'dev.sigstore.cosign/bundle': text } };
      expect(await outcome('hashedrekord', layer, trusted)).toBe('verified');
      expect(await outcome('hashedrekord', layer, { ...trusted, proof })).toBe('signature-mismatch');
    },
  );

  // GHSA-fx35-mq7g-6g98: a bare key where the certificate belongs has no identity that could be checked.
  it.each(KINDS)(
    'is not a keyless one if its public key stands in the place of the certificate (%s)',
    async (kind) => {
      const { blob, annotations } = instance.legacy(kind, bytesOf(kind), {}, keys);
      const pem = String(keys.publicKey.export({ type: 'spki', format: 'pem' }));
      const layer = { blob, annotations: { ...annotations, 'dev.sigstore.cosign/certificate': pem } };
      expect(await outcome(kind, layer)).toBe('certificate-invalid');
      expect(await outcome(kind, layer, trusted)).toBe('certificate-invalid');
    },
  );

  // GHSA-whqx-f9j3-ch6m: an entry of the log that is about something else proves nothing.
  it.each(KINDS)('is not proven by the entry of another signature (%s)', async (kind) => {
    const mine = instance.legacy(kind, bytesOf(kind), {}, keys);
    const other = instance.legacy(kind, utf8(`${Buffer.from(bytesOf(kind)).toString()} `), {}, keys);
    const name = 'dev.sigstore.cosign/bundle';
    const layer = { ...mine, annotations: { ...mine.annotations, [name]: other.annotations[name] ?? '' } };
    expect(await outcome(kind, layer, { ...trusted, proof })).toBe('signature-mismatch');
  });
});
