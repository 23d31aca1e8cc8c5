import { describe, expect, it } from 'vitest';
import type { Certificate } from '../../src/crypto/certificate.ts';
import type { StatusFinding } from '../../src/crypto/certificate-status.ts';
import { BullaError } from '../../src/errors.ts';
import { parseDigest } from '../../src/oci/digest.ts';
import { judge, revocableChains } from '../../src/policy/judgement.ts';
import { type Requirements, requirements } from '../../src/policy/requirements.ts';
import { revocationRemarks } from '../../src/policy/revocation.ts';
import type { Evidence } from '../../src/signatures/evidence.ts';
import { RELEASE_PURPOSE } from '../../src/signatures/formats.ts';
import { timeStampToken } from '../../src/sigstore/time-stamp.ts';
import { issue, issueChain } from '../support/issue.ts';
import { hoursFromNow, NOW } from '../support/revocation.ts';
import { timeStampResponse } from '../support/sigstore/time-stamp-response.ts';

const { root, leaf, chain } = issueChain();
const tsaRoot = issue({ subject: { CN: 'TSA root' }, ca: true, usages: [5] });
const tsa = issue({
  ...{ subject: { CN: 'TSA' }, issuer: tsaRoot, usages: [0], constraints: null },
  more: [['2.5.29.37', Buffer.from('300a06082b06010505070308', 'hex'), true]],
});
const STAMPED = hoursFromNow(-10);
const signature = Uint8Array.of(1, 2, 3);
const token = timeStampToken(
  timeStampResponse(signature, STAMPED, tsa.privateKey, tsa.certificate.der, [tsa.certificate.der]),
  'it',
);

const evidence: Evidence = {
  kind: 'notation-jws',
  manifest: parseDigest(`sha256:${'0'.repeat(64)}`),
  key: leaf.certificate.publicKey,
  certificates: chain,
  purpose: RELEASE_PURPOSE,
  annotations: new Map(),
};
const stamped: Evidence = { ...evidence, timeStamp: { token, stamped: signature } };

type Mode = NonNullable<Requirements['revocation']>['mode'];
const demanding = (mode: Mode, more: Partial<Requirements> = {}): Requirements =>
  requirements({
    ...{ now: NOW, roots: [root.certificate], timestampAuthorities: [tsaRoot.certificate] },
    ...{ revocation: { mode, privateHosts: [] }, ...more },
  });

const found = (certificate: Certificate, outcome: StatusFinding['outcome']): StatusFinding => ({
  certificate,
  outcome,
});
const revoked = (invaliditySince?: Date): StatusFinding['outcome'] => ({
  ...{ kind: 'revoked', at: hoursFromNow(-1), reason: undefined, invaliditySince },
});
const unreachable = new BullaError('registry-unreachable', 'no answer', { hint: 'try again' });
const code = (of: Evidence, findings: readonly StatusFinding[] | undefined, mode: Mode = 'enforce'): string =>
  judge(findings === undefined ? of : { ...of, revocation: findings }, demanding(mode))?.code ?? 'counts';

describe('a certificate', () => {
  it.each<[string, StatusFinding['outcome'], string, string, string]>([
    ['that is good', { kind: 'good' }, 'counts', 'counts', 'counts'],
    ['that cannot be revoked', { kind: 'not-revocable' }, 'counts', 'counts', 'counts'],
    ['that was not asked about', { kind: 'not-asked' }, 'counts', 'counts', 'counts'],
    ['that was revoked', revoked(), 'revoked', 'revoked', 'counts'],
    ['that is not known', { kind: 'unknown' }, 'certificate-invalid', 'counts', 'counts'],
    [
      'of which nothing is known',
      { kind: 'unavailable', error: unreachable },
      'registry-unreachable',
      'counts',
      'counts',
    ],
  ])('%s', (_, outcome, enforced, soft, logged) => {
    const findings = [found(leaf.certificate, outcome)];
    expect(code(evidence, findings, 'enforce')).toBe(enforced);
    expect(code(evidence, findings, 'soft')).toBe(soft);
    expect(code(evidence, findings, 'log')).toBe(logged);
    expect(revocationRemarks(findings)).toHaveLength(
      ['good', 'not-revocable'].includes(outcome.kind) ? 0 : 1,
    );
  });

  it('is not accepted because nothing was asked', () => {
    expect(code(evidence, undefined, 'enforce')).toBe('certificate-invalid');
    expect(code(evidence, undefined, 'soft')).toBe('certificate-invalid');
    expect(code(evidence, undefined, 'log')).toBe('counts');
  });

  it('that became invalid after a trusted time stamp was good when it signed', () => {
    const since = (hours: number) => [found(leaf.certificate, revoked(hoursFromNow(hours)))];
    expect(code(stamped, since(-9))).toBe('counts');
    expect(code(stamped, since(-10))).toBe('revoked');
    expect(code(stamped, since(-11))).toBe('revoked');
    // The signing time alone is the word of the signer.
    expect(code(evidence, since(-9))).toBe('revoked');
    // Without an invalidity date, the time of revocation says nothing about when the key was lost.
    expect(code(stamped, [found(leaf.certificate, revoked())])).toBe('revoked');
  });

  it('of a time-stamp authority must not have been revoked, whenever it stamped', () => {
    expect(code(stamped, [found(tsa.certificate, revoked(hoursFromNow(-9)))])).toBe('revoked');
    expect(code(stamped, [found(tsa.certificate, { kind: 'unavailable', error: unreachable })])).toBe(
      'registry-unreachable',
    );
  });
});

describe('what is asked about', () => {
  const names = (of: Evidence, required: Requirements): string[][] =>
    revocableChains(of, required).map((each) => each.map(({ thumbprint }) => thumbprint));
  const own = chain.map(({ thumbprint }) => thumbprint);

  it('is the chain of the signer, and that of the time stamp which counts', () => {
    expect(names(evidence, demanding('enforce'))).toEqual([own]);
    expect(names(stamped, demanding('enforce'))).toEqual([
      own,
      [tsa, tsaRoot].map(({ certificate }) => certificate.thumbprint),
    ]);
    expect(names(stamped, demanding('enforce', { timestampAuthorities: [] }))).toEqual([own]);
  });

  it.each<[string, Evidence, Requirements]>([
    ['nothing if the policy does not want to know', evidence, { ...demanding('log'), revocation: undefined }],
    ['no strangers', evidence, demanding('enforce', { roots: [issueChain().root.certificate] })],
    ['no signature that has expired', { ...evidence, expiry: hoursFromNow(-1) }, demanding('enforce')],
    [
      'no signature for another purpose',
      { ...evidence, purpose: 'https://example.com/scan' },
      demanding('enforce'),
    ],
    ['no signature by a trusted key', evidence, demanding('enforce', { keys: [leaf.certificate.publicKey] })],
    [
      'no time stamp that does not verify',
      { ...stamped, timeStamp: { token, stamped: Uint8Array.of(9) } },
      demanding('enforce'),
    ],
  ])('is %s', (_, of, required) => {
    expect(revocableChains(of, required)).toEqual([]);
  });

  it('is about authorities', () => {
    expect(() =>
      requirements({
        now: NOW,
        keys: [leaf.certificate.publicKey],
        revocation: { mode: 'log', privateHosts: [] },
      }),
    ).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});
