import { describe, expect, it } from 'vitest';
import { isBullaError } from '../../../src/errors.ts';
import { type PolicyMistake, parsePolicy } from '../../../src/policy/file/parse.ts';

/** `LINE:COLUMN` and message of each mistake; nothing where there is none. */
function mistakes(text: string): string[] {
  try {
    parsePolicy(text, 'policy.yaml');
    return [];
  } catch (error) {
    if (!isBullaError(error, 'policy-invalid')) throw error;
    const listed = error.details?.['mistakes'] as readonly PolicyMistake[];
    return listed.map(({ line, column, message }) => `${line}:${column} ${message}`);
  }
}

const rule = (text: string): string =>
  `version: 1\nrules:\n  - scope: r.example/app\n${text.replace(/^/gm, '    ')}\n`;
const KEY_IDS = `root: { keyIds: [${'a'.repeat(64)}] }`;
const notary = (server: string, root = KEY_IDS, more = ''): string => `notary: { ${server}, ${root}${more} }`;
const keys = 'signatures: [{ keys: [a.pub] }]';

describe('a policy file', () => {
  it.each([
    ['nothing but a version', 'version: 1\nrules: []'],
    ['JSON', '{"version":1,"mode":"audit","rules":[{"scope":"*","deny":"not yet"}]}'],
    ['a rule for signatures', rule(keys)],
    ['a rule for names', rule('trust: { signers: { threshold: 2, of: [a, b, c] }, maxStaleness: 12h }')],
    ['an empty trust, for the role names under a pin', rule('trust: {}')],
    [
      'a name at a Notary server',
      rule(notary('server: https://notary.docker.io/x', KEY_IDS, ', delegations: [alice, targets/bob/c]')),
    ],
    ['one on this machine', rule(notary('server: "http://127.0.0.1:4443"'))],
    ['one beside signatures', rule(`${notary('server: "http://[::1]:1"')}\n${keys}`)],
    [
      'keyless identities',
      rule('signatures: [{ keyless: [{ identity: a@b.c, issuerRegexp: "https://.*" }] }]'),
    ],
    [
      'a named set',
      `sets: { release: [a.pub, b.pub] }\n${rule('signatures: [{ keys: [{ set: release }] }]')}`,
    ],
    [
      'a mapping of prefixes',
      'version: 1\nrules: [{ scope: m.example/up/*, trust: { collection: r.example/* } }]',
    ],
  ])('may hold %s', (_, text) => {
    expect(mistakes(text)).toEqual([]);
  });

  it.each([
    ['no version', 'rules: []', /^1:1 .*version/],
    ['another version', 'version: 2\nrules: []', /^1:1 .*version/],
    ['a member that is not known', 'version: 1\nrules: []\ntrustAll: true', /trustAll/],
    ['a misspelt demand', rule('signature: [{ keys: [a.pub] }]'), /^3:5 .*signature/],
    ['a key beside the demands', rule(`${keys}\nkeys: [evil.pub]`), /keys/],
    ['a key in the name’s demands', rule('trust: { keys: [evil.pub] }'), /^4:5 .*keys/],
    ['no decision', rule('mode: audit'), /^3:5 a rule has one of/],
    ['two decisions', rule(`allow: yes it is\n${keys}`), /^3:5 a rule has one of/],
    ['an allow without a reason', rule('allow: true'), /^4:5 .*allow/],
    ['no signer', rule('signatures: [{ threshold: 1 }]'), /^4:18 signatures need keys/],
    ['an empty list of keys', rule('signatures: [{ keys: [] }]'), /keys/],
    ['an empty list of signatures', rule('signatures: []'), /signatures/],
    [
      'identities without an authority',
      rule('signatures: [{ keys: [a], identities: ["*"] }]'),
      /^4:31 identities need/,
    ],
    ['a set that is not there', rule('signatures: [{ keys: [{ set: x }] }]'), /^4:27 there is no set "x"/],
    ['an identity without an issuer', rule('signatures: [{ keyless: [{ identity: a@b.c }] }]'), /keyless/],
    [
      'two kinds of issuer',
      rule('signatures: [{ keyless: [{ identity: a, issuer: b, issuerRegexp: c }] }]'),
      /keyless/,
    ],
    [
      'an expression that is not one',
      rule('signatures: [{ keyless: [{ identityRegexp: "(", issuer: b }] }]'),
      /regular/,
    ],
    [
      'a threshold of nobody',
      rule('trust: { signers: { threshold: 3, of: [a, b, b] } }'),
      /^4:25 there are fewer/,
    ],
    ['a duration that is not one', rule('trust: { maxStaleness: long }'), /^4:14 "long" is not a duration/],
    ['an id that is not one', rule('trust: { root: { keyIds: [abc] } }'), /^4:22 /],
    ['a Notary server without a root', rule('notary: { server: https://n.example }'), /^4:5 .*root/],
    [
      'first use at a Notary server',
      rule(notary('server: https://n.example', 'root: { tofu: true }')),
      /root/,
    ],
    ['no root key of one', rule(notary('server: https://n.example', 'root: { keys: [] }')), /root/],
    [
      'an id there that is not one',
      rule(notary('server: https://n.example', 'root: { keyIds: [a] }')),
      /key id/,
    ],
    ['http to a Notary server elsewhere', rule(notary('server: http://n.example')), /^4:15 .*https/],
    [
      'http to a host that begins like this machine',
      rule(notary('server: "http://127.0.0.1.n.example"')),
      /https/,
    ],
    ['a Notary server that docker would choose', rule(notary('server: auto')), /https/],
    ['a path instead of a Notary server', rule(notary('server: ./dump')), /https/],
    [
      'a password in the URL of one',
      rule(notary('server: "https://me:x@n.example"')),
      /without a name or password/,
    ],
    [
      'a name in a collection and at a server',
      rule(`trust: {}\n${notary('server: https://n.example')}`),
      /not in both/,
    ],
    [
      'a delegation that cannot be one',
      rule(notary('server: https://n.example', KEY_IDS, ', delegations: [alice, ../x]')),
      /delegation/,
    ],
    [
      'a root file of many repositories',
      `version: 1\nrules: [{ scope: r.example/*, ${notary('server: https://n.example', 'root: { file: r.json }')} }]`,
      /root file/,
    ],
    [
      'one repository of Notary for a prefix',
      `version: 1\nrules: [{ scope: r.example/*, ${notary('server: https://n.example', KEY_IDS, ', collection: r.example/a')} }]`,
      /r\.example/,
    ],
    ['two roots', rule('trust: { root: { tofu: true, file: r.json } }'), /root/],
    [
      'a scope with a star in its middle',
      'version: 1\nrules: [{ scope: "r.example/*/app", allow: x }]',
      /^2:11 /,
    ],
    ['a star without a slash', 'version: 1\nrules: [{ scope: "r.example/app*", allow: x }]', /^2:11 /],
    ['an upper-case host', 'version: 1\nrules: [{ scope: "R.example/app", allow: x }]', /^2:11 /],
    ['a scope with a tag', 'version: 1\nrules: [{ scope: "r.example/app:v1", allow: x }]', /^2:11 /],
    [
      'one scope twice',
      'version: 1\nrules:\n- { scope: docker.io/alpine, allow: x }\n- { scope: index.docker.io/library/alpine, deny: y }',
      /^4:5 another rule/,
    ],
    [
      'a root file for many',
      'version: 1\nrules: [{ scope: r.example/*, trust: { root: { file: r.json } } }]',
      /a root file/,
    ],
    [
      'a place for all',
      'version: 1\nrules: [{ scope: "*", trust: { at: r.example/t } }]',
      /cannot say where/,
    ],
    ['a member twice', 'version: 1\nversion: 1\nrules: []', /^2:1 /],
    ['an alias', 'version: 1\nrules: [&a { scope: r.example/app, allow: x }, *a]', /lias/],
    ['no YAML', 'version: 1\nrules: [', /^2:/],
    ['a list', '- version: 1', /expected object/],
    ['nothing', '', /version|object/],
  ])('may not hold %s', (_, text, expected) => {
    expect(mistakes(text).join('\n')).toMatch(expected);
  });
});
