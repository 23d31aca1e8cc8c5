import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseIdentity } from '../../src/crypto/identity.ts';
import { type PublicKey, publicKeyOf } from '../../src/crypto/public-key.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { decide } from '../../src/policy/decision.ts';
import { type Requirements, requirements } from '../../src/policy/requirements.ts';
import { describeEvidence } from '../../src/policy/summary.ts';
import type { Evidence, Finding } from '../../src/signatures/evidence.ts';
import { RELEASE_PURPOSE } from '../../src/signatures/formats.ts';
import { EKU, type IssueOptions, issue, issueChain, LEAF_NAME } from '../support/issue.ts';

const now = new Date('2026-12-01T00:00:00Z');
const [one, two, three] = [1, 2, 3].map(() =>
  publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey),
) as [ReturnType<typeof publicKeyOf>, ReturnType<typeof publicKeyOf>, ReturnType<typeof publicKeyOf>];
const acme = issueChain();

let serial = 0;
function digest() {
  return digestOf(new TextEncoder().encode(String(serial++)));
}

function verified(different: Partial<Evidence> = {}): Finding {
  const evidence: Evidence = {
    kind: 'sigstore-bundle',
    manifest: digest(),
    key: one,
    certificates: [],
    purpose: RELEASE_PURPOSE,
    annotations: new Map(),
    ...different,
  };
  return { outcome: 'verified', evidence };
}
function refused(code: ErrorCode, message = code as string): Finding {
  return { outcome: 'refused', refusal: { manifest: digest(), code, message, hint: `hint of ${code}` } };
}
/** What else the authority certifies with a chain that it made before. */
function certifiedToo(options: Partial<IssueOptions>): Partial<Evidence> {
  const leaf = issue({ subject: LEAF_NAME, issuer: acme.root, extended: [EKU.codeSigning], ...options });
  return { key: leaf.signer.publicKey, certificates: [leaf.certificate, acme.root.certificate] };
}
const renewed = certifiedToo({});
const { privateKey } = acme.leaf;
const renamed = certifiedToo({
  subject: { ...LEAF_NAME, CN: 'other' },
  keys: { privateKey, publicKey: createPublicKey(privateKey) },
});
const another = certifiedToo({ subject: { ...LEAF_NAME, CN: 'other' } });
const RELEASE = parseIdentity('x509.subject: O=Acme, CN=release');
const OTHER = parseIdentity('x509.subject: O=Acme, CN=other');
const certified = { key: acme.leaf.signer.publicKey, certificates: acme.chain };

function run(findings: readonly Finding[], parts: Partial<Requirements> = { keys: [one] }, unexamined = 0) {
  return decide('app:v1', { findings, unexamined }, requirements({ now, ...parts }));
}

describe('a decision', () => {
  it.each<[string, readonly Finding[], Partial<Requirements>]>([
    ['one key of two', [verified()], { keys: [one, two] }],
    [
      'one good signature among bad ones',
      [refused('signature-mismatch'), verified(), refused('content-invalid')],
      { keys: [one] },
    ],
    ['two keys of three', [verified(), verified({ key: three })], { keys: [one, two, three], threshold: 2 }],
    [
      'a key and a certificate',
      [verified(), verified(certified)],
      { keys: [one], roots: [acme.root.certificate], threshold: 2 },
    ],
    [
      'two certified identities, each with its key',
      [verified(certified), verified(another)],
      { roots: [acme.root.certificate], identities: [RELEASE, OTHER], threshold: 2 },
    ],
    [
      'two keys that are trusted themselves, whatever their certificates say',
      [verified(certified), verified(renewed)],
      { keys: [acme.leaf.signer.publicKey, renewed.key as PublicKey], threshold: 2 },
    ],
    ['an expiry to come', [verified({ expiry: new Date(now.getTime() + 1) })], { keys: [one] }],
    [
      'one of several purposes',
      [verified({ purpose: 'urn:b' })],
      { keys: [one], purposes: ['urn:a', 'urn:b'] },
    ],
    ['a pinned leaf', [verified(certified)], { roots: [acme.leaf.certificate] }],
  ])('accepts %s', (_, findings, parts) => {
    expect(run(findings, parts)).toMatchObject({ accepted: true });
  });

  it.each<[string, readonly Finding[], ErrorCode, Partial<Requirements>?]>([
    ['nothing', [], 'unsigned'],
    ['only kinds that cannot be judged', [refused('unsupported-signature')], 'unsupported-signature'],
    ['something unreadable', [refused('content-invalid')], 'signature-mismatch'],
    [
      'a stranger and something unsupported',
      [refused('unsupported-signature'), refused('signature-mismatch')],
      'signature-mismatch',
    ],
    [
      'an expired signature by the right key, and a stranger',
      [refused('signature-mismatch'), verified({ expiry: now })],
      'certificate-expired',
    ],
    ['a signature of another image', [refused('digest-mismatch')], 'digest-mismatch'],
    [
      'one key twice for two',
      [verified(), verified()],
      'threshold-not-met',
      { keys: [one, two], threshold: 2 },
    ],
    [
      'one key of two, and a refusal',
      [verified(), refused('certificate-expired')],
      'threshold-not-met',
      { keys: [one, two], threshold: 2 },
    ],
    [
      'two keys that one authority certified for one subject',
      [verified(certified), verified(renewed)],
      'threshold-not-met',
      { roots: [acme.root.certificate], identities: [RELEASE, OTHER], threshold: 2 },
    ],
    [
      'two subjects that one authority certified for one key',
      [verified(certified), verified(renamed)],
      'threshold-not-met',
      { roots: [acme.root.certificate], identities: [RELEASE, OTHER], threshold: 2 },
    ],
    ['a certificate where only a key is trusted', [verified(certified)], 'signature-mismatch'],
    [
      'a bare key where only an authority is trusted',
      [verified()],
      'signature-mismatch',
      { roots: [acme.root.certificate] },
    ],
    [
      'another authority',
      [verified(certified)],
      'certificate-invalid',
      { roots: [issueChain().root.certificate] },
    ],
  ])('refuses %s', (_, findings, code, parts) => {
    const decision = run(findings, parts);
    expect(decision).toMatchObject({
      accepted: false,
      error: { code, message: expect.stringContaining('app:v1') },
    });
    if (!decision.accepted) expect(decision.error.hint).toMatch(/\w/);
  });

  it('keeps every cause, and names the first few', () => {
    const findings = Array.from({ length: 12 }, (_, at) => refused('signature-mismatch', `cause ${at}`));
    const decision = run(findings);
    if (decision.accepted) throw new Error('accepted');
    expect(decision.error.details['causes']).toHaveLength(12);
    expect(decision.error.message).toContain('cause 4; and 7 more');
    expect(decision.refusals).toHaveLength(12);
  });

  it('never says unsigned or unsupported of what was not looked at', () => {
    expect(run([], undefined, 1)).toMatchObject({ error: { code: 'signature-mismatch' } });
    expect(run([refused('unsupported-signature')], undefined, 1)).toMatchObject({
      error: { code: 'signature-mismatch', message: expect.stringContaining('1 more were listed') },
    });
  });
});

describe('requirements', () => {
  it.each<[string, Partial<Requirements>, ErrorCode]>([
    ['nobody to believe', {}, 'trust-unpinned'],
    ['an identity without an authority', { keys: [one], identities: [{ kind: 'any', text: '*' }] }, 'usage'],
    ['more signers than keys', { keys: [one], threshold: 2 }, 'usage'],
    ['one key twice for two', { keys: [one, { ...one }], threshold: 2 }, 'usage'],
    ['a threshold of zero', { keys: [one], threshold: 0 }, 'usage'],
    [
      'two signers of an authority without identities',
      { roots: [acme.root.certificate], threshold: 2 },
      'usage',
    ],
    ['half a threshold', { roots: [acme.root.certificate], threshold: 1.5 }, 'usage'],
  ])('refuses %s', (_, parts, code) => {
    expect(() => requirements({ now, ...parts })).toThrow(expect.objectContaining({ code }));
  });

  it('take release signatures unless told otherwise', () => {
    expect(requirements({ now, keys: [one] })).toMatchObject({ threshold: 1, purposes: [RELEASE_PURPOSE] });
  });
});

it('evidence is described in one line', () => {
  const finding = verified({
    ...certified,
    kind: 'notation-jws',
    signingTime: now,
    expiry: new Date('2027-01-01T00:00:00Z'),
  });
  expect(finding.outcome === 'verified' && describeEvidence(finding.evidence)).toBe(
    'C=DE, ST=Berlin, O=Acme, CN=release (Notation JWS, made 2026-12-01T00:00:00Z, until 2027-01-01T00:00:00Z)',
  );
});
