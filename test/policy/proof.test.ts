import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { publicKeyOf } from '../../src/crypto/public-key.ts';
import { base64, fromBase64, utf8 } from '../../src/encoding/bytes.ts';
import { describe as descriptorOf } from '../../src/oci/descriptor.ts';
import { decide } from '../../src/policy/decision.ts';
import { type Requirements, requirements } from '../../src/policy/requirements.ts';
import { examineEnvelope, type Finding, refusalOf } from '../../src/signatures/evidence.ts';
import { RELEASE_PURPOSE } from '../../src/signatures/formats.ts';
import { readBundle } from '../../src/signatures/sigstore-bundle.ts';
import { preAuthEncoding } from '../../src/sigstore/dsse.ts';
import { parseTrustedRoot } from '../../src/sigstore/trusted-root.ts';
import { SigstoreInstance } from '../support/sigstore/instance.ts';
import { timeStampResponse } from '../support/sigstore/time-stamp-response.ts';

const now = new Date('2026-12-01T00:00:00Z');
const seen = new Date('2026-06-01T12:00:00Z');
const instance = new SigstoreInstance();
const root = parseTrustedRoot(instance.trustedRoot(), 'the root');
const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const image = descriptorOf('application/vnd.oci.image.manifest.v1+json', utf8('{}'));
const IN_TOTO = 'application/vnd.in-toto+json';
const PROOF = { transparency: true, timestamp: true, root };

/** A bundle by a key, in a log and stamped. */
function signed(rekor: 1 | 2, by: KeyObject = keys.privateKey, of = instance): Uint8Array {
  const subject = [{ digest: { sha256: image.digest.slice(7) } }];
  const _type = 'https://in-toto.io/Statement/v1';
  const payload = utf8(JSON.stringify({ _type, subject, predicateType: RELEASE_PURPOSE, predicate: {} }));
  const message = preAuthEncoding(IN_TOTO, payload);
  const signature = new Uint8Array(sign('sha256', message, by));
  const { spki } = publicKeyOf(by);
  const pem = `-----BEGIN PUBLIC KEY-----\n${base64(spki).replace(/.{64}/g, '$&\n')}\n-----END PUBLIC KEY-----\n`;
  const verifier = { keyDetails: 'PKIX_ECDSA_P256_SHA_256', publicKey: { rawBytes: base64(spki) } };
  const hash = new Uint8Array(createHash('sha256').update(message).digest());
  const entry = rekor === 1 ? of.entry1(pem, payload, signature, seen) : of.entry2(verifier, hash, signature);
  const stamp = timeStampResponse(signature, seen, of.tsa.privateKey, of.tsaCertificate);
  return utf8(
    JSON.stringify({
      mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      verificationMaterial: {
        publicKey: { hint: 'a hint' },
        tlogEntries: [entry],
        timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: base64(stamp) }] },
      },
      dsseEnvelope: {
        payloadType: IN_TOTO,
        payload: base64(payload),
        signatures: [{ sig: base64(signature) }],
      },
    }),
  );
}

async function outcome(bundle: Uint8Array, proof: Requirements['proof']): Promise<string> {
  const required = requirements({ now, keys: [publicKeyOf(keys.publicKey)], ...(proof && { proof }) });
  let finding: Finding;
  try {
    finding = await examineEnvelope(readBundle(bundle, 'the bundle'), image.digest, image, required.keys);
  } catch (error) {
    finding = refusalOf(image.digest, error);
  }
  const decision = decide('the image', { findings: [finding], unexamined: 0 }, required);
  return decision.accepted ? 'verified' : decision.error.code;
}

describe.each([1, 2] as const)('a signature by a trusted key with an entry of Rekor v%d', (rekor) => {
  const bundle = signed(rekor);

  it('counts, also where a policy demands the entry and the stamp', async () => {
    expect(await outcome(bundle, undefined)).toBe('verified');
    expect(await outcome(bundle, PROOF)).toBe('verified');
    expect(await outcome(bundle, { ...PROOF, timestamp: false })).toBe('verified');
  });

  it('of another instance counts only where none is demanded', async () => {
    const other = signed(rekor, keys.privateKey, new SigstoreInstance());
    expect(await outcome(other, undefined)).toBe('verified');
    expect(await outcome(other, PROOF)).toBe('signature-mismatch');
  });

  it('does not count where a proof is demanded and one member is altered, left out, or of another signature', async () => {
    const other = JSON.parse(String(Buffer.from(signed(rekor))));
    // What the signature is verified with does not depend on the hint, and Rekor v1 says when by its promise.
    const unneeded = /^verificationMaterial\.publicKey\.hint|\.inclusionPromise$/;
    const accepted: string[] = [];
    const walk = (value: unknown, path: readonly string[]): (readonly string[])[] => [
      ...(path.length > 0 ? [path] : []),
      ...(typeof value === 'object' && value !== null
        ? Object.entries(value).flatMap(([name, inner]) => walk(inner, [...path, name]))
        : []),
    ];
    for (const path of walk(JSON.parse(String(Buffer.from(bundle))), [])) {
      const theirs = path.reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], other);
      for (const how of [() => undefined, flipped, () => theirs]) {
        const json = JSON.parse(String(Buffer.from(bundle))) as Record<string, unknown>;
        const parent = path.slice(0, -1).reduce((at, name) => at[name] as Record<string, unknown>, json);
        const last = path.at(-1) ?? '';
        const before = JSON.stringify(parent[last]);
        parent[last] = how(parent[last]);
        if (JSON.stringify(parent[last]) === before) continue;
        const code = await outcome(utf8(JSON.stringify(json)), PROOF);
        if (code === 'verified') accepted.push(path.join('.'));
      }
    }
    expect(accepted.filter((place) => !unneeded.test(place))).toEqual([]);
  });
});

function flipped(value: unknown): unknown {
  if (typeof value !== 'string') return typeof value === 'object' ? [] : 7;
  const bytes = fromBase64(value);
  if (bytes === undefined || bytes.byteLength < 4) return `${value}0`;
  bytes[bytes.byteLength >> 1] = (bytes[bytes.byteLength >> 1] ?? 0) ^ 1;
  return base64(bytes);
}
