import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { generatePrivateKey } from '../../../src/crypto/private-key.ts';
import { publicKeyOf, publicKeyPem } from '../../../src/crypto/public-key.ts';
import type { JsonObject } from '../../../src/encoding/json.ts';
import { parsePolicy } from '../../../src/policy/file/parse.ts';
import type { ImportedPolicy } from '../../../src/policy/import/draft.ts';
import { importPolicy } from '../../../src/policy/import/import.ts';

const KEY = publicKeyPem(publicKeyOf(generatePrivateKey('P-256')));
const OTHER = publicKeyPem(publicKeyOf(generatePrivateKey('P-256')));

async function imported(...sources: readonly string[]): Promise<ImportedPolicy> {
  const documents = sources.map((source) => parse(source) as JsonObject);
  const stores: Readonly<Record<string, readonly string[]>> = {
    acme: ['/store/acme/a.crt', '/store/acme/b.crt'],
  };
  const found = await importPolicy(documents, { trustStore: async (_, name) => stores[name] ?? [] });
  // What is printed is read as a policy again.
  expect(parsePolicy(stringify(found.policy), 'it')).toEqual(found.policy);
  return found;
}

const indented = (pem: string, by: number): string => pem.trim().replaceAll('\n', `\n${' '.repeat(by)}`);

describe('of Notation', () => {
  const trustPolicy = (
    verification: string,
    more = 'trustStores: ["ca:acme"], trustedIdentities: ["x509.subject: C=DE, O=Acme"]',
  ) =>
    `{version: "1.0", trustPolicies: [{name: p, registryScopes: [registry.example.com/app], signatureVerification: ${verification}, ${more}}]}`;

  it('carries scopes, authorities and identities over', async () => {
    const { policy } = await imported(trustPolicy('{level: strict}'));
    expect(policy.rules).toEqual([
      {
        scope: 'registry.example.com/app',
        signatures: [
          {
            authorities: ['/store/acme/a.crt', '/store/acme/b.crt'],
            identities: ['x509.subject: C=DE, O=Acme'],
            revocation: 'enforce',
          },
        ],
      },
    ]);
  });

  it('carries time-stamp authorities over', async () => {
    const more = 'trustStores: ["ca:acme", "tsa:acme"], trustedIdentities: ["*"]';
    const files = ['/store/acme/a.crt', '/store/acme/b.crt'];
    const plain = { authorities: files, timestampAuthorities: files };
    const demand = { ...plain, revocation: 'enforce' };
    const lenient = { ...plain, revocation: 'log' };
    for (const [level, expected] of [
      ['{level: strict}', { ...demand, timestamp: 'required' }],
      ['{level: strict, verifyTimestamp: always}', { ...demand, timestamp: 'required' }],
      ['{level: strict, verifyTimestamp: afterCertExpiry}', demand],
      ['{level: permissive}', { ...lenient, logged: ['expiry', 'authenticTimestamp'] }],
      [
        '{level: permissive, override: {authenticTimestamp: enforce}}',
        { ...lenient, logged: ['expiry'], timestamp: 'required' },
      ],
      ['{level: strict, override: {authenticTimestamp: log}}', { ...demand, logged: ['authenticTimestamp'] }],
      [
        '{level: permissive, override: {revocation: skip, expiry: enforce}}',
        { ...plain, logged: ['authenticTimestamp'] },
      ],
    ] as const)
      expect((await imported(trustPolicy(level, more))).policy.rules[0]?.signatures).toEqual([expected]);
  });

  it.each([
    ['{level: audit}', { mode: 'audit' }],
    ['{level: strict, override: {authenticity: log}}', { mode: 'audit' }],
    ['{level: skip}', { allow: expect.any(String) }],
    ['{level: whatever}', { deny: expect.any(String) }],
    ['{level: strict, override: {authenticity: skip}}', { deny: expect.any(String) }],
    ['{level: strict, override: {integrity: log}}', { deny: expect.any(String) }],
    ['{level: strict, override: {integrity: enforce}}', { deny: expect.any(String) }],
    ['{level: permissive, override: {expiri: enforce}}', { deny: expect.any(String) }],
    ['{level: permissive, override: {expiry: [enforce]}}', { deny: expect.any(String) }],
    ['{level: skip, override: {expiry: enforce}}', { deny: expect.any(String) }],
    ['{}', { deny: expect.any(String) }],
  ])('reads %s', async (level, rule) => {
    expect((await imported(trustPolicy(level))).policy.rules).toEqual([expect.objectContaining(rule)]);
  });

  it.each([
    ['a store that is not there', 'trustStores: ["ca:other"], trustedIdentities: ["*"]'],
    ['a signing authority', 'trustStores: ["signingAuthority:acme"], trustedIdentities: ["*"]'],
    ['no store', 'trustStores: [], trustedIdentities: ["*"]'],
    ['no identity', 'trustStores: ["ca:acme"], trustedIdentities: []'],
    [
      'every identity and another',
      'trustStores: ["ca:acme"], trustedIdentities: ["*", "x509.subject: C=DE"]',
    ],
    ['an identity of another kind', 'trustStores: ["ca:acme"], trustedIdentities: ["x509.san: a"]'],
  ])('denies with %s', async (_, more) => {
    const { policy, notes } = await imported(trustPolicy('{level: strict}', more));
    expect(policy.rules).toEqual([{ scope: 'registry.example.com/app', deny: expect.any(String) }]);
    expect(notes.length).toBeGreaterThan(0);
  });
});

describe('of Notation, a scope that it does not have', () => {
  it.each([
    ['registry.example.com/*', 'registry.example.com/*'],
    ['registry.example.com/team/*', 'registry.example.com/team/*'],
    ['registry.example.com/te*m/app', 'registry.example.com/*'],
    ['registry.example.com/app:v1', 'registry.example.com/*'],
    ['registry.example.com', '*'],
    ['**', '*'],
    ['app', '*'],
  ])('%s denies around it, whatever the level', async (written, scope) => {
    for (const level of ['strict', 'skip'])
      expect(
        (
          await imported(
            `{version: "1.0", trustPolicies: [{name: p, registryScopes: [${JSON.stringify(written)}], signatureVerification: {level: ${level}}, trustStores: ["ca:acme"], trustedIdentities: ["*"]}]}`,
          )
        ).policy.rules,
      ).toEqual([{ scope, deny: expect.any(String) }]);
  });
});

describe('of podman and CRI-O', () => {
  const sigstore = (more: string): string => `{type: sigstoreSigned, ${more}}`;
  const policyJson = (scope: string, demand: string): string =>
    `{default: [{type: reject}], transports: {docker: {${JSON.stringify(scope)}: [${demand}]}, oci: {"": []}}}`;

  it('carries keys over, for a namespace and the repository of its name', async () => {
    const { policy, notes } = await imported(
      policyJson('registry.example.com/team', sigstore('keyPath: /etc/a.pub')),
    );
    const signatures = [{ keys: ['/etc/a.pub'] }];
    expect(policy.rules).toEqual([
      { scope: '*', deny: expect.any(String) },
      { scope: 'registry.example.com/team', signatures },
      { scope: 'registry.example.com/team/*', signatures },
    ]);
    expect(notes.join()).toContain('oci');
  });

  it.each([
    ['registry.example.com/app:v1', 'registry.example.com/app'],
    ['registry.example.com/app@sha256:00', 'registry.example.com/app'],
    ['*.example.com', '*'],
  ])('denies what the scope %s cannot be, at %s', async (written, scope) => {
    const { policy } = await imported(policyJson(written, sigstore('keyPath: /etc/a.pub')));
    expect(policy.rules).toContainEqual({ scope, deny: expect.any(String) });
    expect(JSON.stringify(policy.rules)).not.toContain('/etc/a.pub');
  });

  it.each([
    ['signed by GPG', '{type: signedBy, keyType: GPGKeys, keyPath: /a.gpg}'],
    ['keyless with an own authority', sigstore('fulcio: {caPath: /ca.pem, subjectEmail: a@example.com}')],
    [
      'another name in the signature',
      sigstore('keyPath: /a.pub, signedIdentity: {type: remapIdentity, prefix: a, signedPrefix: b}'),
    ],
    ['a member of a later version', sigstore('keyPath: /a.pub, pki: {}')],
    ['no key', sigstore('keyPaths: []')],
    ['two demands, one unknown', `${sigstore('keyPath: /a.pub')}, {type: other}`],
  ])('denies %s', async (_, demand) => {
    const { policy } = await imported(policyJson('registry.example.com', demand));
    expect(policy.rules).toContainEqual({ scope: 'registry.example.com/*', deny: expect.any(String) });
  });

  it('demands all of several requirements', async () => {
    const { policy } = await imported(
      policyJson(
        'registry.example.com',
        `${sigstore('keyPath: /a.pub')}, ${sigstore('keyPath: /b.pub, rekorPublicKeyPath: /r.pub')}`,
      ),
    );
    expect(policy.rules).toContainEqual({
      scope: 'registry.example.com/*',
      signatures: [{ keys: ['/a.pub'] }, { keys: ['/b.pub'], transparency: 'required' }],
    });
  });
});

describe('of Connaisseur', () => {
  const values = (rules: string): string => `
application:
  validators:
    - {name: allow, type: static, approve: true}
    - {name: deny, type: static, approve: false}
    - {name: default, type: notaryv1, host: notary.docker.io, trustRoots: [{name: default, key: x}]}
    - name: dct
      type: notaryv1
      host: notary.docker.io
      trustRoots:
        - name: default
          key: |
            ${indented(KEY, 12)}
        - name: other
          key: |
            ${indented(OTHER, 12)}
    - {name: elsewhere, type: notaryv1, host: "http://n.example/x", trustRoots: [{name: default, key: "${KEY.replaceAll('\n', '\\n')}"}]}
    - name: cosign
      type: cosign
      trustRoots:
        - name: alice
          key: |
            ${indented(KEY, 12)}
        - name: bob
          key: |
            ${indented(OTHER, 12)}
        - {name: kms, key: "awskms:///alias/x"}
        - {name: ci, keyless: {subjectRegex: "@example[.]com$", issuer: "https://accounts.example.com"}}
  policy: [${rules}]`;

  it.each([
    ['{pattern: "*:*", validator: deny}', { scope: '*', deny: expect.any(String) }],
    [
      '{pattern: "docker.io/org/*:*", validator: allow}',
      { scope: 'docker.io/org/*', allow: expect.any(String) },
    ],
    ['{pattern: "org/app:*", validator: allow}', { scope: 'docker.io/org/app', allow: expect.any(String) }],
    [
      '{pattern: "alpine", validator: allow}',
      { scope: 'docker.io/library/alpine', allow: expect.any(String) },
    ],
    [
      '{pattern: "docker.io/org/*:*", with: {delegations: [alice, targets/bob]}}',
      { scope: 'docker.io/org/*', trust: { signers: { all: ['alice', 'bob'] } } },
    ],
    [
      '{pattern: "docker.io/org/*:*", validator: dct, with: {delegations: [alice, targets/bob]}}',
      {
        scope: 'docker.io/org/*',
        notary: { server: 'https://notary.docker.io', root: { keys: [KEY] }, delegations: ['alice', 'bob'] },
      },
    ],
    [
      '{pattern: "*:*", validator: dct, with: {trustRoot: other}}',
      { scope: '*', notary: { server: 'https://notary.docker.io', root: { keys: [OTHER] } } },
    ],
    // Not exactly so: several root keys, a delegation that cannot be one, a server that is not reached by https.
    [
      '{pattern: "*:*", validator: dct, with: {trustRoot: "*"}}',
      { scope: '*', trust: { signers: { all: ['names'] } } },
    ],
    [
      '{pattern: "*:*", validator: dct, with: {delegations: [Alice]}}',
      { scope: '*', trust: { signers: { all: ['Alice'] } } },
    ],
    ['{pattern: "*:*", validator: elsewhere}', { scope: '*', trust: { signers: { all: ['names'] } } }],
    [
      '{pattern: "r.example/*:*", validator: cosign, with: {trustRoot: alice}}',
      { scope: 'r.example/*', signatures: [{ keys: [KEY], transparency: 'required' }] },
    ],
    [
      '{pattern: "r.example/*:*", validator: cosign, with: {trustRoot: ci}}',
      {
        scope: 'r.example/*',
        signatures: [
          {
            keyless: [{ identityRegexp: '.*@example[.]com', issuer: 'https://accounts.example.com' }],
            transparency: 'required',
          },
        ],
      },
    ],
    [
      '{pattern: "r.example/*:*", validator: cosign, with: {trustRoot: kms}}',
      { scope: 'r.example/*', deny: expect.any(String) },
    ],
    [
      '{pattern: "r.example/*:*", validator: cosign, with: {trustRoot: "*"}}',
      { scope: 'r.example/*', deny: expect.any(String) },
    ],
    ['{pattern: "r.example/*:*", validator: unheard-of}', { scope: 'r.example/*', deny: expect.any(String) }],
    ['{pattern: "r.example/pre*:*", validator: allow}', { scope: 'r.example/*', deny: expect.any(String) }],
    ['{pattern: "r.example/app:v1*", validator: allow}', { scope: 'r.example/*', deny: expect.any(String) }],
  ])('reads %s', async (rule, expected) => {
    expect((await imported(values(rule))).policy.rules).toEqual([expected]);
  });

  it('denies where two rules for one place demand names of different signers', async () => {
    const rules = ['releasers', 'testers'].map(
      (name, at) =>
        `{pattern: "r.example/*${at === 0 ? '' : ':*'}", validator: default, with: {delegations: [${name}]}}`,
    );
    expect((await imported(values(rules.join(', ')))).policy.rules).toEqual([
      { scope: 'r.example/*', deny: expect.any(String) },
    ]);
  });

  it('denies where one rule asks a Notary server, and another one a collection or another root', async () => {
    for (const other of ['validator: default', 'validator: dct, with: {trustRoot: other}']) {
      const rules = `{pattern: "r.example/*", validator: dct}, {pattern: "r.example/*:*", ${other}}`;
      expect((await imported(values(rules))).policy.rules).toEqual([
        { scope: 'r.example/*', deny: expect.any(String) },
      ]);
    }
  });

  it('counts signers as it did', async () => {
    const more = values(
      '{pattern: "r.example/*:*", validator: cosign, with: {trustRoot: "*", threshold: 2, required: [alice]}}',
    )
      .replace(/^.*kms.*\n/m, '')
      .replace(/^.*keyless.*\n/m, '');
    const logged = { transparency: 'required' };
    expect((await imported(more)).policy.rules).toEqual([
      {
        scope: 'r.example/*',
        signatures: [
          { keys: [KEY, OTHER], threshold: 2, ...logged },
          { keys: [KEY], ...logged },
        ],
      },
    ]);
  });
});

const head = (kind: string, name = 'p'): string =>
  `apiVersion: ${kind === 'ClusterPolicy' ? 'kyverno.io/v1' : 'policy.sigstore.dev/v1beta1'}\nkind: ${kind}\nmetadata: {name: ${name}}\n`;

describe('of sigstore', () => {
  const policy = (glob: string, authorities: string, more = ''): string =>
    `${head('ClusterImagePolicy')}spec: {images: [{glob: "${glob}"}], authorities: ${authorities}${more}}`;
  const keyless =
    '{keyless: {url: "https://fulcio.sigstore.dev", identities: [{issuer: "https://i.example", subject: "a@example.com"}]}}';

  it.each([
    [
      'index.docker.io/library/**',
      `[${keyless}]`,
      '',
      {
        scope: 'docker.io/library/*',
        signatures: [{ keyless: [{ identity: 'a@example.com', issuer: 'https://i.example' }] }],
      },
    ],
    ['**', '[{static: {action: pass}}]', '', { scope: '*', allow: expect.any(String) }],
    ['r.example/**', '[{static: {action: fail}}]', '', { scope: 'r.example/*', deny: expect.any(String) }],
    ['r.example/*', '[{static: {action: pass}}]', '', { scope: 'r.example/*', deny: expect.any(String) }],
    ['r.example/app:v1', `[${keyless}]`, '', { scope: 'r.example/*', deny: expect.any(String) }],
    [
      'r.example/app',
      `[${keyless}, {key: {kms: "x"}}]`,
      '',
      { scope: 'r.example/app', deny: expect.any(String) },
    ],
    [
      'r.example/app',
      `[${keyless.replace('fulcio.sigstore.dev', 'fulcio.example')}]`,
      '',
      { scope: 'r.example/app', deny: expect.any(String) },
    ],
    [
      'r.example/app',
      `[${keyless}]`,
      ', policy: {type: cue, data: x}',
      { scope: 'r.example/app', deny: expect.any(String) },
    ],
    [
      'r.example/app',
      `[${keyless.replace(/}$/, ', attestations: [{name: a, predicateType: vuln, policy: {type: cue}}]}')}]`,
      '',
      { scope: 'r.example/app', deny: expect.any(String) },
    ],
    [
      'r.example/app',
      `[${keyless.replace(/}$/, ', attestations: [{name: a, predicateType: vuln}]}')}]`,
      '',
      {
        scope: 'r.example/app',
        attestations: [
          { type: 'vuln', keyless: [{ identity: 'a@example.com', issuer: 'https://i.example' }] },
        ],
      },
    ],
    [
      'r.example/app',
      `[${keyless}]`,
      ', mode: warn',
      expect.objectContaining({ scope: 'r.example/app', mode: 'audit' }),
    ],
  ])('reads %s %s %s', async (glob, authorities, more, rule) => {
    expect((await imported(policy(glob, authorities, more))).policy.rules).toEqual([rule]);
  });

  it('denies an identity that is given exactly and by an expression', async () => {
    const both = keyless.replace('subject: "a@example.com"', 'subject: "a@example.com", subjectRegExp: "^b"');
    const { policy: found } = await imported(policy('r.example/app', `[${both}]`));
    expect(found.rules).toEqual([{ scope: 'r.example/app', deny: expect.any(String) }]);
  });

  it('demands both of two policies for one place, and denial stays', async () => {
    const two = await imported(
      policy('r.example/app', `[${keyless}]`),
      policy('r.example/app', `[${keyless.replace('a@', 'b@')}]`),
    );
    expect(two.policy.rules).toEqual([
      expect.objectContaining({ signatures: [expect.anything(), expect.anything()] }),
    ]);
    const denied = await imported(
      policy('r.example/app', '[{static: {action: fail}}]'),
      policy('r.example/app', '[{static: {action: pass}}]'),
    );
    expect(denied.policy.rules).toEqual([expect.objectContaining({ deny: expect.any(String) })]);
  });
});

describe('of Kyverno', () => {
  const entry = (pem: string): object => ({ keys: { publicKeys: pem, rekor: { ignoreTlog: true } } });
  const policy = (verify: object, action = 'Enforce'): string =>
    `${head('ClusterPolicy')}${stringify({ spec: { validationFailureAction: action, rules: [{ name: 'r', verifyImages: [verify] }] } })}`;
  const images = { imageReferences: ['ghcr.io/acme/*'] };

  it.each([
    [{ attestors: [{ entries: [entry(KEY), entry(OTHER)] }] }, [{ keys: [KEY] }, { keys: [OTHER] }]],
    [{ attestors: [{ count: 1, entries: [entry(KEY), entry(OTHER)] }] }, [{ keys: [KEY, OTHER] }]],
    [
      { attestors: [{ entries: [entry(KEY)] }, { entries: [entry(OTHER)] }] },
      [{ keys: [KEY] }, { keys: [OTHER] }],
    ],
    // Kyverno makes an entry of each key, and counts those.
    [{ attestors: [{ entries: [entry(KEY + OTHER)] }] }, [{ keys: [KEY] }, { keys: [OTHER] }]],
    [{ attestors: [{ count: 1, entries: [entry(KEY + OTHER)] }] }, [{ keys: [KEY, OTHER] }]],
    [{ attestors: [{ count: 2, entries: [entry(KEY + OTHER)] }] }, [{ keys: [KEY] }, { keys: [OTHER] }]],
    [
      { attestors: [{ entries: [{ keys: { publicKeys: KEY } }] }] },
      [{ keys: [KEY], transparency: 'required' }],
    ],
    [
      {
        attestors: [
          { entries: [{ keyless: { subject: 'https://github.com/acme/*', issuer: 'https://i.example' } }] },
        ],
      },
      [{ keyless: [{ identityRegexp: 'https://github\\.com/acme/.*', issuer: 'https://i.example' }] }],
    ],
  ])('carries attestors over: %j', async (verify, signatures) => {
    expect((await imported(policy({ ...images, ...verify }))).policy.rules).toEqual([
      { scope: 'ghcr.io/acme/*', mode: 'enforce', signatures },
    ]);
  });

  it.each([
    { attestors: [{ entries: [{ keys: { kms: 'x' } }] }] },
    { attestors: [{ entries: [{ keys: { publicKeys: 'k8s://a/b' } }] }] },
    { attestors: [{ entries: [{ attestor: {} }] }] },
    { attestors: [{ entries: [{ ...entry(KEY), keyless: { subject: 'a', issuer: 'b' } }] }] },
    {
      type: 'Notary',
      attestors: [{ count: 2, entries: ['a', 'b', 'c'].map((cert) => ({ certificates: { cert } })) }],
    },
    { attestors: [{ count: 0, entries: [entry(KEY)] }] },
    { attestors: [{ entries: [{ keyless: { subject: 'a', issuer: 'b', roots: 'x' } }] }] },
    { attestors: [{ entries: [{ ...entry(KEY), repository: 'other' }] }] },
    {
      attestors: [{ entries: [entry(KEY)] }],
      attestations: [{ type: 'x', conditions: [{}], attestors: [{ entries: [entry(KEY)] }] }],
    },
    { attestors: [{ entries: [entry(KEY)] }], validate: {} },
    { attestors: [] },
  ])('denies what it cannot say: %j', async (verify) => {
    expect((await imported(policy({ ...images, ...verify }))).policy.rules).toEqual([
      expect.objectContaining({ scope: 'ghcr.io/acme/*', deny: expect.any(String) }),
    ]);
  });

  it('audits where it audited', async () => {
    const verify = { ...images, attestors: [{ entries: [entry(KEY)] }] };
    expect((await imported(policy(verify, 'Audit'))).policy.rules[0]).toMatchObject({ mode: 'audit' });
  });
});

it('makes a valid policy, or none, of any document', async () => {
  const names = fc.constantFrom(
    'default',
    'transports',
    'docker',
    'type',
    'keyPath',
    'trustPolicies',
    'registryScopes',
    'signatureVerification',
    'level',
    'application',
    'policy',
    'pattern',
    'validators',
    'spec',
    'images',
    'glob',
    'authorities',
    'key',
    'data',
    'kind',
    'rules',
    'verifyImages',
    'imageReferences',
    'attestors',
    'entries',
    '__proto__',
  );
  const leaves = fc.constantFrom<unknown>(
    'strict',
    'sigstoreSigned',
    'ClusterImagePolicy',
    '*',
    'a.example/b',
    '',
    null,
    1,
    true,
    KEY,
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 6 },
      leaves,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(names, tie('value'), { maxKeys: 5 }),
    ),
  }));
  await fc.assert(
    fc.asyncProperty(fc.dictionary(names, value, { maxKeys: 5 }), async (document) => {
      await imported(JSON.stringify(document)).catch((error: { code?: string }) => {
        expect(['policy-invalid', 'key-invalid']).toContain(error.code);
      });
    }),
    { numRuns: 300 },
  );
});
