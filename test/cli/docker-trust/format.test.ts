import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compareNatural } from '../../../src/actions/docker-trust/natural-order.ts';
import type { TrustInfo } from '../../../src/actions/docker-trust/trust-info.ts';
import { inspectJson, inspectPretty, question } from '../../../src/cli/docker-trust/format.ts';

const read = (path: string): string =>
  readFileSync(new URL(`../../../testdata/${path}`, import.meta.url), 'utf8');
/** What docker/cli's tests compare its output with. */
const golden = (name: string): string => read(`notary-v1/docker-trust-golden/trust-${name}.golden`);

const hex = (text: string): string => Buffer.from(text).toString('hex');
const administration = { rootKeys: ['rootID'], repositoryKeys: ['targetsID'] };
const signers = [
  { name: 'bob', keyIds: ['B'] },
  { name: 'alice', keyIds: ['A'] },
];
const green = { tag: 'green', digest: hex('green-digest'), signers: [] };
const withSigners: TrustInfo = {
  ...administration,
  name: 'signed-repo',
  tags: [
    { tag: 'blue', digest: hex('blue-digest'), signers: ['alice'] },
    green,
    { tag: 'red', digest: hex('red-digest'), signers: ['alice', 'bob'] },
  ],
  signers,
};
const withoutSigners: TrustInfo = { ...administration, name: 'signed-repo', tags: [green], signers: [] };
const empty: TrustInfo = { ...administration, name: 'reg/img:unsigned-tag', tags: [], signers: [] };
const unsigned: TrustInfo = { ...administration, name: 'signed-repo:unsigned', tags: [], signers };

interface DockerKeys {
  readonly Name: string;
  readonly Keys: readonly { readonly ID: string }[];
}
interface DockerRepository {
  readonly Name: string;
  readonly SignedTags: readonly { SignedTag: string; Digest: string; Signers: readonly string[] }[];
  readonly Signers: readonly DockerKeys[];
  readonly AdministrativeKeys: readonly [DockerKeys, DockerKeys];
}

/** What must have been known to print it. */
function infoOf({ Name, SignedTags, Signers, AdministrativeKeys: [root, own] }: DockerRepository): TrustInfo {
  const ids = ({ Keys }: DockerKeys) => Keys.map(({ ID }) => ID);
  return {
    name: Name,
    tags: SignedTags.map(({ SignedTag, Digest, Signers: by }) => ({
      tag: SignedTag,
      digest: Digest,
      signers: by.filter((signer) => signer !== 'Repo Admin'),
    })),
    signers: Signers.map((signer) => ({ name: signer.Name, keyIds: ids(signer) })),
    rootKeys: ids(root),
    repositoryKeys: ids(own),
  };
}

describe('the output of docker trust', () => {
  it.each<[string, readonly TrustInfo[]]>([
    ['inspect-uninitialized', []],
    ['inspect-empty-repo', [empty]],
    ['inspect-full-repo-no-signers', [withoutSigners]],
    ['inspect-full-repo-with-signers', [withSigners]],
    ['inspect-multiple-repos-with-signers', [withSigners, withSigners]],
    ['inspect-one-tag-no-signers', [{ ...withoutSigners, name: 'signed-repo:green' }]],
    ['inspect-unsigned-tag-with-signers', [unsigned]],
  ])('is the same as JSON: %s', (name, infos) => {
    expect(inspectJson(infos)).toBe(golden(name));
  });

  it.each<[string, TrustInfo]>([
    ['inspect-pretty-full-repo-no-signers', withoutSigners],
    ['inspect-pretty-full-repo-with-signers', withSigners],
    ['inspect-pretty-one-tag-no-signers', { ...withoutSigners, name: 'signed-repo:green' }],
    ['inspect-pretty-unsigned-tag-with-signers', unsigned],
  ])('is the same in tables: %s', (name, info) => {
    expect(inspectPretty(info)).toBe(golden(name));
  });

  it('is what docker 28 printed of a repository', () => {
    const printed = read('docker-trust/docker-28-inspect.json');
    const shown = JSON.parse(printed) as readonly DockerRepository[];
    const infos = shown.map(infoOf);
    // Told in another order than it is printed.
    expect(inspectJson(infos.map((info) => ({ ...info, signers: info.signers.toReversed() })))).toBe(printed);
    const [all] = infos as [TrustInfo];
    const none = { ...all, name: `${all.name}:v9`, tags: [] };
    expect([all, none].map(inspectPretty).join('\n\n')).toBe(
      read('docker-trust/docker-28-inspect-pretty.txt'),
    );
  });

  it('asks the same question', () => {
    const text = 'Confirm you would like to delete all signature data for example/trust-demo?';
    expect(`${question(text)}\n`).toBe(golden('revoke-prompt-termination'));
  });

  it('shortens key ids in tables, sorts them, and makes columns as wide as they need to be', () => {
    const long = 'a'.repeat(40);
    const info: TrustInfo = {
      ...withSigners,
      tags: [{ tag: long, digest: 'd', signers: ['bob', 'alice'] }],
      signers: [
        { name: 'signer10', keyIds: ['f'.repeat(64), '1'.repeat(64)] },
        { name: 'signer9', keyIds: ['2'.repeat(64)] },
      ],
      repositoryKeys: ['z', 'y'],
    };
    const lines = inspectPretty(info).split('\n');
    expect(lines).toContain(`${'SIGNED TAG'.padEnd(43)}DIGEST    SIGNERS`);
    expect(lines).toContain(`${long}   d         alice, bob`);
    expect(lines).toContain('SIGNER     KEYS');
    expect(lines).toContain(`signer10   ${'1'.repeat(12)}, ${'f'.repeat(12)}`);
    expect(lines.indexOf(`signer9    ${'2'.repeat(12)}`)).toBe(lines.indexOf('SIGNER     KEYS') + 1);
    expect(lines).toContain('  Repository Key:\ty, z');
  });

  it('escapes in JSON what Go escapes, and leaves empty members out', () => {
    const info = { ...empty, name: 'a<b>&c\u2028', signers: [{ name: 'x', keyIds: [] }], rootKeys: [] };
    const text = inspectJson([info]);
    expect(text).toContain('"Name": "a\\u003cb\\u003e\\u0026c\\u2028"');
    expect(text).toContain(
      '"Signers": [\n            {\n                "Name": "x"\n            }\n        ]',
    );
    expect(JSON.parse(text)).toMatchObject([{ Name: info.name, AdministrativeKeys: [{ Name: 'Root' }, {}] }]);
  });
});

describe('the order of tags', () => {
  it.each([
    [
      ['v10', 'v9', 'v1'],
      ['v1', 'v9', 'v10'],
    ],
    [
      ['1.10.0', '1.9.0', '1.9.10'],
      ['1.9.0', '1.9.10', '1.10.0'],
    ],
    [
      ['a01', 'a1', 'a001'],
      ['a1', 'a01', 'a001'],
    ],
    [
      ['latest', '1', 'Latest', '_x'],
      ['1', 'Latest', '_x', 'latest'],
    ],
    [
      ['v1-rc', 'v1', 'v1.0'],
      ['v1', 'v1-rc', 'v1.0'],
    ],
    [
      ['a0', 'a', 'a00'],
      ['a', 'a0', 'a00'],
    ],
    [
      ['x18446744073709551616', 'x18446744073709551615'],
      ['x18446744073709551615', 'x18446744073709551616'],
    ],
    [
      ['a1b2', 'a01b1', 'a1b10'],
      ['a1b2', 'a1b10', 'a01b1'],
    ],
  ])('is that of docker: %j', (tags, sorted) => {
    expect([...tags].sort(compareNatural)).toEqual(sorted);
  });

  it('is a total one', () => {
    expect(compareNatural('', '')).toBe(0);
    expect(compareNatural('a1', 'a1')).toBe(0);
    expect(Math.sign(compareNatural('a', 'b'))).toBe(-Math.sign(compareNatural('b', 'a')));
  });
});
