import { describe, expect, it } from 'vitest';
import { publicKeyOf } from '../../../src/crypto/public-key.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { parsePolicy } from '../../../src/policy/file/parse.ts';
import type { PolicyDocument } from '../../../src/policy/file/schema.ts';
import type { FoundSigner, ImageInUse, SignerIdentity } from '../../../src/policy/init/found.ts';
import { starterPolicy } from '../../../src/policy/init/starter.ts';
import { RELEASE_PURPOSE } from '../../../src/signatures/formats.ts';
import { certifiedChain } from '../../support/certificates.ts';
import { poolKey } from '../../support/tuf/keys.ts';

const now = new Date('2026-12-01T00:00:00Z');
const digest = `sha256:${'a'.repeat(64)}` as Digest;

function signer(identity: SignerIdentity, purpose = RELEASE_PURPOSE): FoundSigner {
  return { signature: digest, kind: 'sigstore-bundle', identity, purpose };
}

function image(more: Partial<ImageInUse>): ImageInUse {
  return {
    text: 'r.example/app:v1',
    place: 'r.example/app',
    digest,
    signers: [],
    unconfirmed: [],
    unexamined: 0,
    ...more,
  };
}

/** The policy as a person leaves it who confirms all that is proposed. */
function confirmed(text: string): PolicyDocument {
  const all = text.replace(/^ {4}deny: .*\n/gm, '').replace(/^ {4}# /gm, '    ');
  return parsePolicy(all, 'the confirmed policy');
}

/** Texts that would leave a comment, a quoted text or a line, or would be read as something else than they are. */
const HOSTILE: readonly (readonly [string, string])[] = [
  ['a line break', 'a\n    allow: "yes"\n    # '],
  ['a carriage return', 'a\r    allow: "yes"\r'],
  ['a line break of Unicode', 'a\u2028    allow: yes\u2029    allow: yes'],
  ['a next-line character', 'a\u0085    allow: yes'],
  ['a form feed and a vertical tab', 'a\f    allow: yes\v'],
  ['the end of a quoted text', '"\n    allow: "yes'],
  ['the end of a quoted text on the line', '", issuer: "*" }, { identityRegexp: ".*'],
  ['a single quote', "'\n    allow: yes"],
  ['a backslash at the end', 'a\\'],
  ['escapes of YAML', '\\n    allow: yes\\x0a\\N\\L\\P\\u000a'],
  ['a comment', ' # # # allow: yes'],
  ['the end of a document', '\n---\nversion: 1\nrules: [{ scope: "*", allow: x }]\n...\n'],
  ['a directive', '%YAML 1.1\n---\n'],
  ['an alias, an anchor and a tag', '*a &b !!js/function <<: *c'],
  ['a block of text', '|\n    allow: yes'],
  ['characters that turn the line around', 'a\u202e\u2066"sey" :wolla\u2069'],
  ['characters that cannot be seen', 'release\u200b@example.com\ufeff\u00ad'],
  ['letters that look like others', 'rele\u0430se@\u0435xample.com'],
  ['an escape sequence of a terminal', '\u001b[2K\u001b]0;x\u0007'],
  ['a NUL and a DEL', 'a\u0000b\u007f'],
  ['half a surrogate pair', 'a\ud800b\udc00'],
  ['a long text', 'x'.repeat(900)],
  ['what means something in JSON', '{"allow":"yes"}'],
  ['nothing but spaces', '   '],
];

describe('a first policy', () => {
  it.each(HOSTILE)('keeps %s within a comment, and within a quoted text once it is confirmed', (_, evil) => {
    const signers = [
      signer({ kind: 'keyless', subject: evil, issuer: `https://x/${evil}` }),
      signer({ kind: 'keyless', subject: evil, issuer: 'https://y' }, 'https://slsa.dev/provenance/v1'),
      signer({ kind: 'keyless', subject: 'a', issuer: 'b' }, evil),
    ];
    const written = starterPolicy(
      [
        image({
          signers,
          unconfirmed: [
            { signature: digest, kind: null, claims: evil, code: 'content-invalid', message: evil },
          ],
        }),
        image({
          place: 'r.example/other',
          text: `r.example/other:${evil}`,
          failure: { code: 'timeout', message: evil },
        }),
        image({
          place: 'r.example/third',
          collection: { failure: { code: 'trust-invalid', message: evil } },
          signers,
        }),
      ],
      { now, trustedRoot: evil },
    );
    expect(written).toMatch(/^[\n -~]*$/);
    const { rules } = parsePolicy(written, 'as written');
    expect(rules.map(({ scope, deny, ...more }) => [scope, typeof deny, more])).toEqual([
      ['r.example/app', 'string', {}],
      ['r.example/other', 'string', {}],
      ['r.example/third', 'string', {}],
    ]);
    const own = {
      scope: 'r.example/app',
      signatures: [{ keyless: [{ identity: evil, issuer: `https://x/${evil}` }], trustedRoot: evil }],
      attestations: [
        {
          type: 'https://slsa.dev/provenance/v1',
          keyless: [{ identity: evil, issuer: 'https://y' }],
          trustedRoot: evil,
        },
      ],
    };
    // The rule for the image that could not be looked at proposes nothing, so it is left out here.
    const answered = written.replace(/ {2}- scope: "r.example\/other"\n(?: {4}.*\n)*/, '');
    expect(confirmed(answered).rules).toEqual([own, { ...own, scope: 'r.example/third' }]);
  });

  it('proposes keys, certificates, keyless identities and root keys, each as it will be demanded', async () => {
    const { chain } = await certifiedChain();
    const authority = chain.at(-1) as NonNullable<(typeof chain)[number]>;
    const key = publicKeyOf(poolKey(8).privateKey);
    const subject = 'x509.subject: C=DE, ST=Berlin, O=Acme, CN=release';
    const written = starterPolicy(
      [
        image({
          signers: [
            signer({ kind: 'key', key }),
            signer({ kind: 'keyless', subject: 'a@example.com', issuer: 'https://i' }),
            signer({ kind: 'certificate', authority, subject }),
          ],
          collection: { rootKeyIds: ['f'.repeat(64)] },
        }),
        image({
          text: 'r.example/app:v2',
          signers: [
            signer({ kind: 'keyless', subject: 'b@example.com', issuer: 'https://i' }),
            signer({ kind: 'keyless', subject: 'a@example.com', issuer: 'https://i' }),
          ],
        }),
      ],
      { now },
    );
    const [rule] = confirmed(written).rules;
    expect(rule).toEqual({
      scope: 'r.example/app',
      trust: { root: { keyIds: ['f'.repeat(64)] } },
      signatures: [
        { keys: [expect.stringContaining('BEGIN PUBLIC KEY')] },
        {
          keyless: [
            { identity: 'a@example.com', issuer: 'https://i' },
            { identity: 'b@example.com', issuer: 'https://i' },
          ],
        },
        { authorities: [authority.x509.toString()], identities: [subject] },
      ],
    });
    expect(written).toContain(key.fingerprint);
    expect(written).toContain(authority.thumbprint);
  });

  it('stays readable where an image was flooded with signatures', () => {
    const signers = Array.from({ length: 100 }, (_, at) =>
      signer({ kind: 'keyless', subject: `m${at}@example.com`, issuer: 'https://i' }),
    );
    const written = starterPolicy([image({ signers, unexamined: 900 })], { now });
    expect(confirmed(written).rules[0]?.signatures?.[0]?.keyless).toHaveLength(20);
    expect(written).toContain('80 more signers are not proposed');
    expect(written).toContain('900 more signatures are listed and were not looked at');
    expect(written.split('\n').length).toBeLessThan(100);
  });

  it('of no images denies everything', () => {
    expect(parsePolicy(starterPolicy([], { now }), 'as written')).toEqual({ version: 1, rules: [] });
  });
});
