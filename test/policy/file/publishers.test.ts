import { describe, expect, it } from 'vitest';
import { demandsText } from '../../../src/cli/render/policy-text.ts';
import { readPublicKeys } from '../../../src/crypto/public-key.ts';
import { isBullaError } from '../../../src/errors.ts';
import { type PolicyMistake, parsePolicy } from '../../../src/policy/file/parse.ts';
import { type PolicyMaterial, policyOf, type SignatureRule } from '../../../src/policy/file/policy.ts';
import { PUBLISHERS } from '../../../src/policy/file/publishers.ts';
import { parseTrustedRoot } from '../../../src/sigstore/trusted-root.ts';
import { SigstoreInstance } from '../../support/sigstore/instance.ts';

const instance = new SigstoreInstance();
const rootWith = (change: Parameters<SigstoreInstance['trustedRoot']>[0]) =>
  parseTrustedRoot(instance.trustedRoot(change), 'root');
const unlogged = (root: Record<string, unknown>): unknown => Object.assign(root, { tlogs: [], ctlogs: [] });

const material: PolicyMaterial = {
  keys: async (text) => readPublicKeys(Buffer.from(text), 'a key'),
  certificates: async () => [],
  file: async () => new Uint8Array(),
  trustedRoot: async (place) =>
    place === 'unlogged.json' ? rootWith(unlogged) : rootWith(place === 'bare.json' ? bare : () => undefined),
};
const bare = (root: Record<string, unknown>): unknown =>
  Object.assign(root, { tlogs: [], ctlogs: [], timestampAuthorities: [] });

async function ruleOf(entry: string, kind = 'signatures') {
  const text = `version: 1\nrules: [{ scope: r.example/app, ${kind}: [${entry}] }]`;
  const { rules } = await policyOf(parsePolicy(text, 'policy.yaml'), material);
  const verdict = rules[0]?.verdict;
  const [rule] = verdict?.kind === 'verify' ? verdict.signatures : [];
  return {
    rule: rule as SignatureRule,
    shown: [...demandsText(rules[0] as (typeof rules)[number])].join('\n'),
  };
}

async function mistake(entry: string): Promise<string> {
  try {
    await ruleOf(entry);
    return 'none';
  } catch (error) {
    if (!isBullaError(error, 'policy-invalid')) throw error;
    const [first] = (error.details['mistakes'] ?? []) as readonly PolicyMistake[];
    return first === undefined ? error.message : `${first.line}:${first.column} ${first.message}`;
  }
}

describe('a publisher', () => {
  it.each([...PUBLISHERS])(
    '%s has exact identities, or keys, and a public source',
    async (name, publisher) => {
      const { rule, shown } = await ruleOf(`{ publishers: [${name}] }`);
      expect((rule.keyless?.identities.length ?? 0) + rule.keys.length).toBeGreaterThan(0);
      for (const identity of publisher.keyless) {
        expect(identity).toEqual({ identity: expect.any(String), issuer: expect.stringMatching(/^https:/) });
        expect(shown).toContain(`${Object.values(identity)[0]}`);
      }
      for (const key of rule.keys) expect(shown).toContain(key.fingerprint);
      expect(publisher.source).toMatch(/^https:\/\//);
      expect(shown).toContain(`${publisher.source}, ${publisher.date}`);
    },
  );

  it('is one of several signers of an entry, and counts nowhere else', async () => {
    const { rule } = await ruleOf(
      '{ publishers: [kubernetes], keyless: [{ identity: a@b.c, issuer: https://i }], threshold: 2 }',
    );
    expect(rule.keyless?.identities.map(({ subject }) => subject)).toEqual([
      'a@b.c',
      'krel-trust@k8s-releng-prod.iam.gserviceaccount.com',
    ]);
    const other = await ruleOf('{ keyless: [{ identity: a@b.c, issuer: https://i }] }');
    expect(other.rule.keyless?.identities).toHaveLength(1);
    expect(other.shown).not.toContain('publisher');
  });

  it('may attest', async () => {
    const { rule } = await ruleOf('{ type: slsaprovenance1, publishers: [chainguard] }', 'attestations');
    expect(rule.purposes).toEqual(['https://slsa.dev/provenance/v1']);
  });

  it.each([
    ['an unknown name', '{ publishers: [acme] }', /^2:\d+ there is no publisher "acme"/],
    ['a name of JavaScript', '{ publishers: [constructor] }', /^2:\d+ there is no publisher/],
    ['an empty list', '{ publishers: [] }', /publishers/],
    ['a text instead of a list', '{ publishers: kubernetes }', /publishers/],
    [
      'another instance',
      '{ publishers: [distroless], trustedRoot: r.json }',
      /^2:\d+ distroless signs with the public/,
    ],
    ['a threshold beyond its identities', '{ publishers: [distroless], threshold: 2 }', /threshold/],
  ])('is refused with %s', async (_, entry, expected) => {
    expect(await mistake(entry)).toMatch(expected);
  });

  it('cannot be named outside of an entry', () => {
    for (const text of [
      'version: 1\npublishers: [kubernetes]\nrules: []',
      'version: 1\nrules: [{ scope: "*", publishers: [kubernetes] }]',
      'version: 1\nrules: [{ scope: "*", trust: { publishers: [kubernetes] } }]',
      'version: 1\nsets: { kubernetes: [] }\nrules: []',
    ])
      expect(() => parsePolicy(text, 'policy.yaml')).toThrow(/not a valid policy/);
  });
});

describe('an instance without logs', () => {
  const own =
    '{ keyless: [{ identity: a@b.c, issuer: https://i }], transparency: none, trustedRoot: unlogged.json }';

  it('is trusted if the policy says so', async () => {
    expect((await ruleOf(own)).rule.keyless?.root.isUnlogged).toBe(true);
    const silent = await ruleOf(own.replace('transparency: none, ', ''));
    expect(silent.rule.keyless?.root.isUnlogged).toBeUndefined();
  });

  it.each([
    ['that has logs', own.replace('unlogged.json', 'logged.json'), /its trusted root has logs/],
    [
      'that has no time-stamp authority',
      own.replace('unlogged.json', 'bare.json'),
      /or no time-stamp authority/,
    ],
    ['that is not named', own.replace(', trustedRoot: unlogged.json', ''), /without logs there must be/],
    [
      'for keys',
      '{ keys: [a], transparency: none, trustedRoot: unlogged.json }',
      /without logs there must be/,
    ],
    ['for a publisher', '{ publishers: [kubernetes], transparency: none }', /without logs there must be/],
    ['in other words', own.replace('none', 'optional'), /transparency/],
  ])('is refused %s', async (_, entry, expected) => {
    expect(await mistake(entry)).toMatch(expected);
  });
});
