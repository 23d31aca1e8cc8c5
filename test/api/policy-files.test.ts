import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type LoadedPolicy, readPolicyFiles } from '../../src/api/policy-files.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { ruleFor } from '../../src/policy/file/policy.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { poolKey } from '../support/tuf/keys.ts';

async function written(files: Readonly<Record<string, string>>): Promise<string> {
  const cwd = await temporaryDirectory();
  for (const directory of ['teams', 'teams/keys', 'keys']) await mkdir(join(cwd, directory));
  for (const [name, text] of Object.entries(files)) await writeFile(join(cwd, name), text);
  return cwd;
}

const read = (cwd: string): Promise<LoadedPolicy> =>
  readPolicyFiles('policy.yaml', { cwd, trustedRoot: async () => Promise.reject(new Error('not needed')) });
const pem = (number: number): string => publicKeyPem(publicKeyOf(poolKey(number).privateKey));
const signed = (scope: string, keys: string): string =>
  `rules: [{ scope: ${scope}, signatures: [{ keys: [${keys}] }] }]\n`;

const FILES = {
  'policy.yaml': `version: 1\nmode: audit\ninclude: [teams/a.yaml]\n${signed('r.example/*', '{ set: team }')}`,
  'teams/a.yaml': `version: 1\nsets: { team: [keys/k.pub] }\n${signed('r.example/app', 'keys/k.pub')}`,
  // What the paths in an included file would name if they were relative to the policy.
  'keys/k.pub': pem(9),
  'teams/keys/k.pub': pem(8),
};

it('reads the paths of an included file and of its sets from where that file is', async () => {
  const policy = await read(await written(FILES));
  expect(policy.files).toEqual(['policy.yaml', 'teams/a.yaml']);
  const keysFor = (repository: string) => {
    const rule = ruleFor(policy, repository);
    const demands = rule?.verdict.kind === 'verify' ? rule.verdict.signatures : [];
    return [rule?.file, rule?.mode, ...demands.flatMap(({ keys }) => keys.map((key) => key.fingerprint))];
  };
  const own = publicKeyOf(poolKey(8).privateKey).fingerprint;
  expect(keysFor('r.example/other')).toEqual([undefined, 'audit', own]);
  expect(keysFor('r.example/app')).toEqual(['teams/a.yaml', 'audit', own]);
});

it('has a digest over every byte that it is made of, and over nothing else', async () => {
  const { sha256 } = await read(await written(FILES));
  expect(sha256).toMatch(/^[0-9a-f]{64}$/);
  expect((await read(await written({ ...FILES, 'keys/k.pub': pem(7) }))).sha256).toBe(sha256);
  for (const [name, text] of [
    ['policy.yaml', `${FILES['policy.yaml']}# a comment\n`],
    ['teams/a.yaml', `${FILES['teams/a.yaml']} `],
    ['teams/keys/k.pub', pem(7)],
  ] as const)
    expect((await read(await written({ ...FILES, [name]: text }))).sha256, name).not.toBe(sha256);
});
