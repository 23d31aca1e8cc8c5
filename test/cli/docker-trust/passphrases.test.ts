import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { parsePrivateKey } from '../../../src/crypto/private-key.ts';
import { childEnvironment } from '../../../src/programs/environment.ts';
import { bulla, temporaryDirectory } from '../../support/cli.ts';
import { pushImage } from '../../support/content.ts';
import { registryFor, repositoryOf } from '../../support/registry/open.ts';

const DCT_KEY = new URL('../../../testdata/keys/dct-root.key', import.meta.url).pathname;
const PLAIN = new URL('../../../testdata/keys/sec1.pem', import.meta.url).pathname;

let home: string;
let env: Record<string, string>;
beforeEach(async () => {
  home = await temporaryDirectory();
  env = { BULLA_HOME: join(home, 'bulla') };
});
const trust = (line: string, more: Record<string, string> = {}) =>
  bulla(['docker-trust', ...line.split(' ')], { cwd: home, env: { ...env, ...more } });

/** Whether a passphrase opens a key of the key store. */
async function opens(name: string, passphrase: string): Promise<boolean> {
  const file = parsePrivateKey(await readFile(join(home, 'bulla/keys', `${name}.key`)), name);
  expect(file.encrypted).toBe(true);
  return await file.unlock(Buffer.from(passphrase)).then(
    () => true,
    () => false,
  );
}

describe('passphrases of docker-trust', () => {
  it('come from docker’s variables: one for the root key, one for the others', async () => {
    const registry = await registryFor();
    const repository = `${registry.host}/team/app`;
    await pushImage(repositoryOf(registry), 'app', 'v1');
    const variables = {
      DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: 'of the root',
      DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: 'of the others',
    };
    expect(await trust('key generate alice', variables)).toMatchObject({ code: 0 });
    const added = await trust(`signer add --key alice.pub alice ${repository}`, variables);
    expect(added, added.stderr).toMatchObject({ code: 0 });
    expect(await opens('root', 'of the root')).toBe(true);
    for (const name of ['alice', 'publisher', 'online'])
      expect(await opens(name, 'of the others')).toBe(true);
    const { DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: _, ...others } = variables;
    // Signing needs nothing of the root key.
    expect(await trust(`sign ${repository}:v1`, others)).toMatchObject({ code: 0 });
    const refused = await trust(`signer remove -f alice ${repository}`, others);
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.stderr).toContain('DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE');
    // Under another name it is the root key all the same.
    for (const ending of ['key', 'pub'])
      await copyFile(join(home, `bulla/keys/root.${ending}`), join(home, `bulla/keys/elsewhere.${ending}`));
    expect(await bulla(['key', 'rm', 'root', '--force'], { env })).toMatchObject({ code: 0 });
    const removed = await trust(`signer remove -f alice ${repository}`, variables);
    expect(removed, removed.stderr).toMatchObject({ code: 0 });
  }, 60_000);

  it('come from notary’s variables where docker’s are not set, and from bulla’s before all others', async () => {
    expect(await trust('key generate alice', { NOTARY_DELEGATION_PASSPHRASE: 'of notary' })).toMatchObject({
      code: 0,
    });
    expect(await opens('alice', 'of notary')).toBe(true);
    const both = {
      NOTARY_DELEGATION_PASSPHRASE: 'no',
      DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: 'of docker',
    };
    await trust('key generate bob', both);
    expect(await opens('bob', 'of docker')).toBe(true);
    await trust('key generate carol', { ...both, BULLA_PASSPHRASE: 'of bulla' });
    expect(await opens('carol', 'of bulla')).toBe(true);
    // An empty variable says nothing; it does not make a key without a passphrase.
    const empty = await trust('key generate dave', { DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: '' });
    expect(empty).toMatchObject({ code: 2 });
    expect(empty.stderr).toContain('BULLA_PASSPHRASE or DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE');
  }, 60_000);

  it('open keys of docker and notary, whose role says which passphrase it is', async () => {
    await copyFile(DCT_KEY, join(home, 'key.key'));
    await chmod(join(home, 'key.key'), 0o600);
    const wrong = await trust('key load key.key', {
      DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: 'correct horse',
    });
    expect(wrong).toMatchObject({ code: 2 });
    const loaded = await trust('key load key.key', { DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: 'correct horse' });
    expect(loaded).toMatchObject({ code: 0, stderr: expect.stringContaining('stored as root') });
    expect(await opens('root', 'correct horse')).toBe(true);
    const failed = await trust('key load key.key --name other', { BULLA_PASSPHRASE: 'wrong' });
    expect(failed.stderr).toContain('error importing key from key.key');
    expect(failed).toMatchObject({ code: 2 });
  }, 60_000);

  it('open a signer’s key that docker has made, whose public one docker wrote with a header', async () => {
    const made = new URL('../../../testdata/docker-trust/docker-28-alice', import.meta.url).pathname;
    for (const ending of ['key', 'pub']) await copyFile(`${made}.${ending}`, join(home, `a.${ending}`));
    await chmod(join(home, 'a.key'), 0o600);
    const passphrase = { DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: 'repopass1' };
    const loaded = await trust('key load a.key', passphrase);
    expect(loaded).toMatchObject({ code: 0, stderr: expect.stringContaining('stored as alice') });
    expect(await opens('alice', 'repopass1')).toBe(true);
    const registry = await registryFor();
    const repository = `${registry.host}/team/app`;
    await pushImage(repositoryOf(registry), 'app', 'v1');
    const more = { ...passphrase, DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: 'of the root' };
    const added = await trust(`signer add --key a.pub alice ${repository}`, more);
    expect(added, added.stderr).toMatchObject({ code: 0 });
    expect(await trust(`sign ${repository}:v1`, more)).toMatchObject({ code: 0 });
    const shown = JSON.parse((await trust(`inspect ${repository}`)).stdout) as unknown;
    expect(shown).toMatchObject([{ SignedTags: [{ Signers: ['alice'] }] }]);
  }, 60_000);

  it('seal a key that had none', async () => {
    await copyFile(PLAIN, join(home, 'plain.pem'));
    await chmod(join(home, 'plain.pem'), 0o600);
    const variables = { DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: 'of the others' };
    expect(await trust('key load plain.pem --name eve', variables)).toMatchObject({ code: 0 });
    expect(await opens('eve', 'of the others')).toBe(true);
  }, 60_000);

  it('are in no message, and not in the environment of a credential helper', async () => {
    const secrets = {
      BULLA_PASSPHRASE: 'hunter-1-',
      BULLA_NEW_PASSPHRASE: 'hunter-2-',
      COSIGN_PASSWORD: 'hunter-3-',
      DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: 'hunter-4-',
      DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: 'hunter-5-',
      NOTARY_ROOT_PASSPHRASE: 'hunter-6-',
      NOTARY_TARGETS_PASSPHRASE: 'hunter-7-',
      NOTARY_DELEGATION_PASSPHRASE: 'hunter-8-',
      NOTARY_AUTH: 'hunter-9-',
      RELEASE_KEY: '-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter-10-',
    };
    const others = { PATH: '/bin', HOME: home, PASSWORD_STORE_DIR: '/b' };
    expect(childEnvironment({ ...secrets, ...others })).toEqual(others);
    // Through the command: a helper that writes down what it was given.
    const bin = join(home, 'bin');
    await mkdir(bin);
    await writeFile(
      join(bin, 'docker-credential-spy'),
      `#!/bin/sh\nenv > "${home}/seen"\necho '{"Username":"u","Secret":"p"}'\n`,
      { mode: 0o755 },
    );
    await mkdir(join(home, 'docker'));
    const host = 'registry.example.com';
    await writeFile(join(home, 'docker/config.json'), JSON.stringify({ credHelpers: { [host]: 'spy' } }));
    const path = `${bin}${delimiter}${process.env['PATH']}`;
    const more = { ...secrets, PATH: path, DOCKER_CONFIG: join(home, 'docker') };
    const result = await bulla(['logout', host, '--trace'], { env: { ...env, ...more } });
    expect(result, result.stderr).toMatchObject({ code: 0 });
    const seen = await readFile(join(home, 'seen'), 'utf8');
    expect(seen).toContain(`PATH=${bin}`);
    expect(seen + result.stdout + result.stderr).not.toContain('hunter-');
  });
});
