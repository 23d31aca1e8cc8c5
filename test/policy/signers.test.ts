import { createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseIdentity } from '../../src/crypto/identity.ts';
import { utf8 } from '../../src/encoding/bytes.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { decide } from '../../src/policy/decision.ts';
import { judge } from '../../src/policy/judgement.ts';
import { type Requirements, requirements } from '../../src/policy/requirements.ts';
import { countSigners, mostSigners } from '../../src/policy/signers.ts';
import type { Evidence } from '../../src/signatures/evidence.ts';
import { RELEASE_PURPOSE } from '../../src/signatures/formats.ts';
import { EKU, type Issued, type IssueOptions, issue, issueChain, ROOT_NAME } from '../support/issue.ts';

const now = new Date('2026-12-01T00:00:00Z');
const { root } = issueChain();
const authority = root.certificate;
const intermediate = issue({ subject: { O: 'Acme', CN: 'Issuing' }, issuer: root, ca: true, usages: [5] });
type Relative = NonNullable<IssueOptions['relative']>;

let serial = 0;
/** Evidence by a certificate with a key of its own, unless told otherwise. */
function by(
  relative: Relative,
  options: Partial<IssueOptions> = {},
  above: readonly Issued[] = [root],
): Evidence {
  const leaf = issue({
    subject: {},
    relative,
    issuer: above[0] as Issued,
    extended: [EKU.codeSigning],
    ...options,
  });
  return {
    kind: 'notation-jws',
    manifest: digestOf(utf8(String(serial++))),
    key: leaf.signer.publicKey,
    certificates: [leaf.certificate, ...above.map(({ certificate }) => certificate)],
    purpose: RELEASE_PURPOSE,
    annotations: new Map(),
  };
}
const bare = (evidence: Evidence): Evidence => ({ ...evidence, certificates: [] });
const named = (...texts: readonly string[]) => texts.map((text) => parseIdentity(`x509.subject: ${text}`));
const trust = (parts: Partial<Requirements>) => requirements({ now, roots: [authority], ...parts });

const alice: Relative = [[['O', 'Acme']], [['CN', 'alice']]];
const bob: Relative = [[['O', 'Acme']], [['CN', 'bob']]];

describe('two certificates of one person are one signer', () => {
  const other: [name: string, relative: Relative, options?: Partial<IssueOptions>][] = [
    ['of the same subject, renewed', alice],
    ['with its attributes in another order', [[['CN', 'alice']], [['O', 'Acme']]]],
    [
      'with both attributes in one relative name',
      [
        [
          ['O', 'Acme'],
          ['CN', 'alice'],
        ],
      ],
    ],
    ['with a serial number', [...alice, [['SERIALNUMBER', '17']]]],
    [
      'with a serial number in the relative name',
      [
        [['O', 'Acme']],
        [
          ['CN', 'alice'],
          ['SERIALNUMBER', '17'],
        ],
      ],
    ],
    ['with a unit', [[['O', 'Acme']], [['OU', 'x']], [['CN', 'alice']]]],
    ['with an address', [...alice, [['E', 'alice@example.com', 0x16]]]],
    ['as PrintableString', [[['O', 'Acme', 0x13]], [['CN', 'alice', 0x13]]]],
    ['as TeletexString', [[['O', 'Acme', 0x14]], [['CN', 'alice', 0x14]]]],
    ['as BMPString', [[['O', 'Acme', 0x1e]], [['CN', 'alice', 0x1e]]]],
    ['with an attribute of another type', [...alice, [['2.5.4.65', 'a']]]],
    ['by the same authority, for another time', alice, { notAfter: new Date('2027-06-01T00:00:00Z') }],
  ];

  it.each(other)('%s', (_, relative, options) => {
    const evidence = [by(alice), by(relative, options)];
    for (const identities of [
      named('CN=alice', 'CN=bob'),
      named('O=Acme, CN=alice', 'O=Acme, CN=bob'),
      named('CN=alice', 'O=Other'),
    ]) {
      expect(countSigners(evidence, trust({ identities }))).toBe(1);
      const found = { findings: evidence.map((each) => ({ outcome: 'verified', evidence: each }) as const) };
      const decision = decide('app', { ...found, unexamined: 0 }, trust({ identities, threshold: 2 }));
      expect(decision).toMatchObject({ accepted: false, error: { code: 'threshold-not-met' } });
    }
    // Without an identity, the authority is the signer.
    expect(countSigners(evidence, trust({}))).toBe(1);
  });

  it('whatever spelling makes one of them match another identity as well', () => {
    const identities = named('CN=alice', 'O=Acme');
    const twice: Relative = [[['CN', 'alice']], [['O', 'Acme']], [['O', 'Other']]];
    const case_: Relative = [[['CN', 'alice']], [['O', 'ACME']]];
    const spaced: Relative = [[['CN', 'alice']], [['O', ' Acme ']]];
    const wide: Relative = [[['CN', 'alice']], [['O', '\uff21\uff43\uff4d\uff45']]];
    for (const relative of [twice, case_, spaced, wide])
      expect(countSigners([by([[['O', 'Acme']], [['CN', 'x']]]), by(relative)], trust({ identities }))).toBe(
        1,
      );
  });

  it('with the same key, for two identities', () => {
    const first = by(alice);
    const keys = issue({ subject: ROOT_NAME });
    const pair = { privateKey: keys.privateKey, publicKey: createPublicKey(keys.privateKey) };
    const identities = named('CN=alice', 'CN=bob');
    expect(countSigners([by(alice, { keys: pair }), by(bob, { keys: pair })], trust({ identities }))).toBe(1);
    expect(countSigners([first, { ...by(bob), key: first.key }], trust({ identities }))).toBe(1);
  });
});

describe('different signers are as many as there are', () => {
  it.each<[string, () => readonly Evidence[], () => Requirements, number]>([
    [
      'two identities',
      () => [by(alice), by(bob)],
      () => trust({ identities: named('CN=alice', 'CN=bob') }),
      2,
    ],
    [
      'two identities, of attributes that have nothing to do with each other',
      () => [by([[['CN', 'alice']]]), by([[['OU', 'ci']]])],
      () => trust({ identities: named('CN=alice', 'OU=ci') }),
      2,
    ],
    [
      'an identity and a key',
      () => [by(alice), bare(by(bob))],
      () => trust({ identities: named('CN=alice'), keys: [] }),
      2,
    ],
    ['anybody whom an authority certifies', () => [by(alice), by(bob)], () => trust({}), 1],
    [
      'anybody, said with *',
      () => [by(alice), by(bob)],
      () => trust({ identities: [parseIdentity('*')] }),
      1,
    ],
    [
      'an identity that includes the others',
      () => [by(alice), by(bob)],
      () => trust({ identities: [...named('CN=alice', 'CN=bob'), parseIdentity('*')] }),
      1,
    ],
    ['nobody', () => [], () => trust({}), 0],
  ])('%s', (_, evidence, required, count) => {
    expect(countSigners(evidence(), required())).toBe(count);
  });

  it('two authorities without identities are two', () => {
    const second = issueChain({}, { subject: { O: 'Other', CN: 'Root' } }).root;
    const roots = [authority, second.certificate];
    const evidence = [by(alice), by(bob, {}, [second])];
    expect(countSigners(evidence, trust({ roots }))).toBe(2);
    expect(mostSigners(trust({ roots }))).toBe(2);
  });

  it.each<[string, () => { roots: Requirements['roots']; above: readonly Issued[] }]>([
    [
      'a root and its intermediate',
      () => ({ roots: [authority, intermediate.certificate], above: [intermediate, root] }),
    ],
    [
      'an authority that was certified again, with the same key',
      () => {
        const keys = { privateKey: root.privateKey, publicKey: createPublicKey(root.privateKey) };
        const again = issue({ subject: { O: 'Acme', CN: 'New' }, ca: true, usages: [5], keys });
        return { roots: [authority, again.certificate], above: [again] };
      },
    ],
    [
      'an authority that was certified again, with another key',
      () => {
        const again = issue({ subject: ROOT_NAME, ca: true, usages: [5] });
        return { roots: [authority, again.certificate], above: [again] };
      },
    ],
    [
      'an authority whose name is written in another order',
      () => {
        const relative: Relative = [
          [['CN', 'ROOT']],
          [
            ['O', 'Acme'],
            ['ST', 'Berlin'],
          ],
          [['C', 'DE']],
        ];
        const again = issue({ subject: {}, relative, ca: true, usages: [5] });
        return { roots: [authority, again.certificate], above: [again] };
      },
    ],
  ])('%s are one authority', (_, make) => {
    const { roots, above } = make();
    expect(countSigners([by(alice), by(bob, {}, above)], trust({ roots }))).toBe(1);
  });

  it('one authority that is given twice, or was certified again, counts once', () => {
    const again = issue({ subject: ROOT_NAME, ca: true, usages: [5] }).certificate;
    const other = issue({ subject: { O: 'Other' }, ca: true, usages: [5] }).certificate;
    for (const [roots, most] of [
      [[authority], 1],
      [[authority, authority], 1],
      [[authority, again], 1],
      [[authority, other], 2],
      [[authority, other, again], 2],
    ] as const)
      expect(mostSigners(trust({ roots }))).toBe(most);
  });

  it('certificates of signers that are trusted themselves are one each', () => {
    const [a, b] = [by(alice), by(bob)];
    const roots = [a, b].map(({ certificates }) => certificates[0] as (typeof a.certificates)[number]);
    expect(countSigners([a, b], trust({ roots }))).toBe(2);
    expect(mostSigners(trust({ roots }))).toBe(2);
    const renewed = by(alice);
    expect(
      countSigners([a, renewed], trust({ roots: [...roots, ...renewed.certificates.slice(0, 1)] })),
    ).toBe(1);
  });

  it('a trusted key counts for itself, whatever its certificate says', () => {
    const [a, b] = [by(alice), by(alice)];
    expect(countSigners([a, b], trust({ keys: [a.key, b.key], identities: named('CN=alice') }))).toBe(2);
    expect(countSigners([a, bare(a)], trust({ keys: [a.key] }))).toBe(1);
  });
});

describe('a threshold that cannot be met is refused at once', () => {
  it.each<[string, readonly string[], number]>([
    ['one identity', ['CN=alice'], 1],
    ['one identity, twice', ['CN=alice', 'CN=alice'], 1],
    ['one identity in two spellings', ['O=Acme, CN=alice', 'cn=Alice,o=ACME'], 1],
    ['one that includes the other', ['O=Acme', 'O=Acme, CN=alice'], 1],
    ['one that includes two others', ['O=Acme', 'O=Acme, CN=alice', 'O=Acme, CN=bob'], 1],
    ['two', ['CN=alice', 'CN=bob'], 2],
    ['two, one of them twice', ['CN=alice', 'CN=bob', 'CN=ALICE'], 2],
  ])('%s', (_, texts, most) => {
    const identities = named(...texts);
    expect(mostSigners(trust({ identities }))).toBe(most);
    expect(() => trust({ identities, threshold: most })).not.toThrow();
    expect(() => trust({ identities, threshold: most + 1 })).toThrow(
      expect.objectContaining({ code: 'usage', hint: expect.stringContaining('--certificate-identity') }),
    );
  });

  it('* alone and beside others', () => {
    expect(mostSigners(trust({ identities: [parseIdentity('*')] }))).toBe(1);
    const identities = [...named('CN=alice', 'CN=bob'), parseIdentity('*')];
    expect(mostSigners(trust({ identities }))).toBe(1);
    expect(mostSigners(trust({ identities: [...identities].reverse() }))).toBe(1);
  });
});

it('a signature that counts says what it was accepted for', () => {
  const identities = named('CN=bob', 'CN=alice');
  const accepted = (evidence: Evidence, parts: Partial<Requirements>) => {
    const found = { findings: [{ outcome: 'verified', evidence } as const], unexamined: 0 };
    const decision = decide('app', found, trust(parts));
    return decision.accepted ? decision.evidence[0]?.identity : decision.error.code;
  };
  const a = by(alice);
  expect(accepted(a, { identities })).toBe('x509.subject: CN=alice');
  expect(accepted(a, {})).toBe('*');
  expect(accepted(a, { identities: [parseIdentity('*')] })).toBe('*');
  expect(accepted(a, { keys: [a.key] })).toBeNull();
  expect(accepted(bare(a), { keys: [a.key] })).toBeNull();
  expect(accepted(a, { identities: named('CN=bob') })).toBe('untrusted-identity');
});

it('a defect is not a reason to refuse a signature, and is thrown on', () => {
  const broken = { ...by(alice), certificates: null as unknown as Evidence['certificates'] };
  expect(() => judge(broken, trust({}))).toThrow(TypeError);
});
