import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { profileCredentials } from '../../src/keystore/back-ends/aws-profile.ts';
import { Keystore } from '../../src/keystore/store.ts';
import { temporaryDirectory } from '../support/cli.ts';

/** The files of AWS in a home directory, and what they come to. */
async function found(
  files: Readonly<Record<string, string>>,
  variables: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  const home = await temporaryDirectory();
  await mkdir(join(home, '.aws'));
  for (const [name, text] of Object.entries(files)) await writeFile(join(home, '.aws', name), text);
  const env: Record<string, string | undefined> = {
    ...{ HOME: home, PATH: process.env['PATH'], BULLA_PASSPHRASE: 'not for you' },
    ...variables,
  };
  return await profileCredentials({
    keystore: new Keystore(join(home, 'keys')),
    environment: (name) => env[name],
    variables: env,
    passphrase: async () => utf8(''),
    cwd: home,
  });
}

const answer = (more: object = {}): string =>
  `credential_process = echo '${JSON.stringify({ Version: 1, AccessKeyId: 'AKIA', SecretAccessKey: 'x', ...more })}'`;
const KEYS = 'aws_access_key_id = AKIA\naws_secret_access_key = x\n';
const THERE = { accessKeyId: 'AKIA', secretAccessKey: 'x', sessionToken: undefined };

describe('the profile of AWS', () => {
  it.each<[string, Record<string, string>, Record<string, string>, unknown]>([
    ['in no file', {}, {}, undefined],
    ['with keys', { credentials: `[default]\n${KEYS}` }, {}, THERE],
    ['with keys in the configuration file', { config: `[default]\n${KEYS}` }, {}, THERE],
    ['by its name', { credentials: `[default]\n[work]\n${KEYS}` }, { AWS_PROFILE: 'work' }, THERE],
    [
      'by its name in the configuration file',
      { config: `[profile  work]\n${KEYS}` },
      { AWS_PROFILE: 'work' },
      THERE,
    ],
    ['of another name', { credentials: `[other]\n${KEYS}` }, {}, undefined],
    ['with a program', { config: `[default]\n${answer()}` }, {}, THERE],
    [
      'with a program and a session',
      { config: `[default]\n${answer({ SessionToken: 'y', Expiration: '2999-01-01T00:00:00Z' })}` },
      {},
      { ...THERE, sessionToken: 'y' },
    ],
    [
      'with keys, and a program that is not asked',
      { config: `[default]\n${KEYS}credential_process = exit 9` },
      {},
      THERE,
    ],
  ])('%s', async (_, files, variables, expected) => {
    expect(await found(files, variables)).toEqual(expected);
  });

  it.each<[string, string]>([
    ['fails', `credential_process = echo 'password=hunter2hunter2' >&2; exit 3`],
    ['says nothing', 'credential_process = true'],
    ['has another version', answer({ Version: 2 })],
    ['gives half of it', answer({ SecretAccessKey: 7 })],
    ['gives what has expired', answer({ Expiration: '2020-01-01T00:00:00Z' })],
    ['says too much', 'credential_process = yes'],
    ['wants our passphrase', `credential_process = test -n "$BULLA_PASSPHRASE"`],
  ])('whose program %s', async (_, line) => {
    const error = (await found({ config: `[default]\n${line}\n` }).catch((e: unknown) => e)) as Error;
    expect(error).toMatchObject({ code: 'unauthorized' });
    expect(error.message).not.toContain('hunter2');
  });
});
