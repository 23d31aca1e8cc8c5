import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Certificate } from '../../src/crypto/certificate.ts';
import { checkSigningChain } from '../../src/crypto/certificate-profile.ts';
import { checkTrustedChain } from '../../src/signatures/chain.ts';
import { EKU, type IssueOptions, issue, issueChain, LEAF_NAME, ROOT_NAME } from '../support/issue.ts';
import { rsaKeys } from '../support/rsa-keys.ts';

/** The Notary Project's signature specification, "Certificate Requirements": a row for each clause. */
type Row = readonly [clause: string, isAccepted: boolean, chain: () => readonly Certificate[]];

const leafOf = (leaf: Partial<IssueOptions>) => () => issueChain(leaf).chain;
const rootOf = (root: Partial<IssueOptions>) => () => issueChain({}, root).chain;
const alone = (options: Partial<IssueOptions>) => () => [
  issue({ subject: LEAF_NAME, ...options }).certificate,
];
const rsa = (modulusLength: number) => rsaKeys(modulusLength);
const curve = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });

/** A chain through authorities with these path lengths, from the root down. */
function through(...lengths: readonly (number | undefined)[]): () => readonly Certificate[] {
  return () => {
    const chain: Certificate[] = [];
    let issuer: ReturnType<typeof issue> | undefined;
    for (const [at, pathLength] of lengths.entries()) {
      issuer = issue({
        subject: { O: 'Acme', CN: `Authority ${at}` },
        ca: true,
        usages: [5],
        ...(issuer !== undefined && { issuer }),
        ...(pathLength !== undefined && { pathLength }),
      });
      chain.unshift(issuer.certificate);
    }
    const leaf = issue({ subject: LEAF_NAME, ...(issuer !== undefined && { issuer }) });
    return [leaf.certificate, ...chain];
  };
}

const rows: readonly Row[] = [
  // Root and intermediate CA certificates, 1: basic constraints.
  ['CA: basicConstraints critical and cA', true, rootOf({})],
  ['CA: basicConstraints not critical', false, rootOf({ constraints: false })],
  ['CA: no basicConstraints', false, rootOf({ constraints: null })],
  ['CA: cA is false', false, rootOf({ ca: false })],
  ['CA: an intermediate whose basicConstraints is not critical', false, intermediate({ constraints: false })],
  ['CA: an intermediate without basicConstraints', false, intermediate({ constraints: null })],
  ['CA: an intermediate that is fine', true, intermediate({})],
  ['CA: no path length', true, through(undefined, undefined, undefined)],
  ['CA: path lengths that are just enough', true, through(2, 1, 0)],
  ['CA: a root with path length 0 over one authority', false, through(0, undefined)],
  ['CA: a root with path length 1 over two authorities', false, through(1, undefined, undefined)],
  ['CA: an authority in between with path length 0 over another', false, through(2, 0, undefined)],
  // 2: key usage.
  ['CA: keyCertSign and cRLSign', true, rootOf({ usages: [5, 6] })],
  ['CA: keyCertSign and digitalSignature', true, rootOf({ usages: [0, 5] })],
  ['CA: no key usage', false, rootOf({ usages: null })],
  ['CA: key usage not critical', false, rootOf({ usageCritical: false })],
  ['CA: no keyCertSign', false, rootOf({ usages: [6] })],
  ['CA: an intermediate without keyCertSign', false, intermediate({ usages: [0] })],

  // Leaf certificates, 1: basic constraints.
  ['leaf: basicConstraints, not CA, critical', true, leafOf({})],
  ['leaf: basicConstraints, not CA, not critical', true, leafOf({ constraints: false })],
  ['leaf: no basicConstraints', true, leafOf({ constraints: null })],
  ['leaf: an authority', false, leafOf({ ca: true })],
  ['leaf: an authority, not critical', false, leafOf({ ca: true, constraints: false })],
  // 2: key usage.
  ['leaf: no key usage', false, leafOf({ usages: null })],
  ['leaf: key usage not critical', false, leafOf({ usageCritical: false })],
  ['leaf: no usage at all', false, leafOf({ usages: [1] })],
  ['leaf: digitalSignature and contentCommitment', true, leafOf({ usages: [0, 1] })],
  ...([2, 3, 4, 5, 6, 7, 8] as const).map<Row>((bit) => [
    `leaf: key usage bit ${bit} beside digitalSignature`,
    false,
    leafOf({ usages: [0, bit] }),
  ]),
  // 3: extended key usage. That codeSigning must be among them is ours (decision 242).
  ['leaf: no extended key usage', true, leafOf({ extended: [] })],
  ['leaf: codeSigning', true, leafOf({ extended: [EKU.codeSigning] })],
  ['leaf: codeSigning and one that nobody knows', true, leafOf({ extended: ['1.3.9.9', EKU.codeSigning] })],
  ...(
    ['any', 'serverAuth', 'clientAuth', 'emailProtection', 'timeStamping', 'ocspSigning'] as const
  ).flatMap<Row>((name) => [
    [`leaf: ${name} alone`, false, leafOf({ extended: [EKU[name]] })],
    [`leaf: ${name} beside codeSigning`, false, leafOf({ extended: [EKU.codeSigning, EKU[name]] })],
    [`leaf: ${name} before codeSigning`, false, leafOf({ extended: [EKU[name], EKU.codeSigning] })],
  ]),
  ['leaf: a certificate for VPN', false, leafOf({ extended: [EKU.ipsecEndSystem] })],
  ['leaf: a certificate for IKE', false, leafOf({ extended: [EKU.ipsecIke, EKU.ipsecEndSystem] })],
  ['leaf: a certificate for smart cards', false, leafOf({ extended: ['1.3.6.1.4.1.311.20.2.2'] })],
  ['leaf: a certificate for documents', false, leafOf({ extended: ['1.3.6.1.5.5.7.3.36'] })],
  ['leaf: one purpose that nobody knows', false, leafOf({ extended: ['1.3.9.9'] })],
  // 4: key length, and the table of algorithms.
  ['leaf: RSA 2048', true, leafOf({ keys: rsa(2048) })],
  ['leaf: RSA 3072', true, leafOf({ keys: rsa(3072) })],
  ['leaf: RSA 2056, which has no algorithm', false, leafOf({ keys: rsa(2056) })],
  ['leaf: P-384', true, leafOf({ keys: curve('P-384') })],
  ['leaf: P-521', true, leafOf({ keys: curve('P-521') })],

  // Other requirements.
  ['1: a leaf alone, signed by itself', true, alone({})],
  ['1: an authority alone', false, alone({ ca: true, usages: [5] })],
  ['1: an authority alone that may sign', false, alone({ ca: true, usages: [0, 5] })],
  ['1: no root', false, () => issueChain().chain.slice(0, 1)],
  ['1: a mail certificate alone', false, alone({ extended: [EKU.emailProtection] })],
  ['2: another order', false, () => [...issueChain().chain].reverse()],
  ['2: the leaf twice', false, () => [issueChain().chain, issueChain().chain].flat().slice(0, 3)],
  [
    '2: a certificate that has nothing to do with it',
    false,
    () => [...issueChain().chain, ...alone({ ca: true, usages: [5] })()],
  ],
  ['3: a leaf signed with SHA-1', false, leafOf({ weak: true })],
  ['3: a root signed with SHA-1', false, rootOf({ weak: true })],
  [
    '4: an unknown critical extension of the leaf, which is not evaluated',
    true,
    leafOf({ strange: '1.3.9.9' }),
  ],
  ['4: an unknown critical extension of the root', true, rootOf({ strange: '1.3.9.9' })],
  ['4: name constraints of the root', true, rootOf({ strange: '2.5.29.30' })],
  ['4: extended key usages of an authority', true, rootOf({ extended: [EKU.emailProtection] })],
  [
    '5: a leaf that is valid for longer than its issuer',
    true,
    leafOf({ notBefore: new Date('2020-01-01T00:00:00Z'), notAfter: new Date('2040-01-01T00:00:00Z') }),
  ],
];

function intermediate(options: Partial<IssueOptions>): () => readonly Certificate[] {
  return () => {
    const root = issue({ subject: ROOT_NAME, ca: true, usages: [5] });
    const middle = issue({
      subject: { O: 'Acme', CN: 'Issuing' },
      issuer: root,
      ca: true,
      usages: [5],
      ...options,
    });
    const leaf = issue({ subject: LEAF_NAME, issuer: middle });
    return [leaf, middle, root].map(({ certificate }) => certificate);
  };
}

describe('certificate requirements of the Notary Project', () => {
  it.each(rows)('%s: %s', (_, isAccepted, chain) => {
    const certificates = chain();
    if (isAccepted) expect(() => checkSigningChain(certificates)).not.toThrow();
    else
      expect(() => checkSigningChain(certificates)).toThrow(
        expect.objectContaining({ code: 'certificate-invalid', hint: expect.any(String) }),
      );
  });

  const from = new Date('2026-01-01T00:00:00Z');
  const until = new Date('2028-01-01T00:00:00Z');
  const day = 86_400_000;
  it.each<[string, Partial<IssueOptions>, Partial<IssueOptions>, Date, Date | undefined, boolean]>([
    ['valid now and then', {}, {}, new Date(from.getTime() + day), from, true],
    ['valid to the very end', {}, {}, until, until, true],
    ['no signing time', {}, {}, until, undefined, true],
    ['made before the leaf was valid', {}, {}, until, new Date(from.getTime() - 1000), false],
    ['made after the leaf was valid', {}, {}, from, new Date(until.getTime() + 1000), false],
    ['made before the root was valid', {}, { notBefore: new Date(from.getTime() + day) }, until, from, false],
    ['expired', {}, {}, new Date(until.getTime() + 1000), from, false],
    ['not yet valid', {}, {}, new Date(from.getTime() - 1000), from, false],
    ['the root expired', {}, { notAfter: new Date(from.getTime() + day) }, until, from, false],
  ])('validity: %s', (_, leaf, root, now, signingTime, isAccepted) => {
    const { chain } = issueChain(leaf, root);
    const check = () => checkTrustedChain(chain, chain.slice(1), { now, signingTime }, 'it');
    if (isAccepted) expect(check).not.toThrow();
    else expect(check).toThrow(expect.objectContaining({ code: 'certificate-expired' }));
  });
});
