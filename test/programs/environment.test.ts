import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { expect, it } from 'vitest';
import { childEnvironment, keyVariables } from '../../src/programs/environment.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';

const PEM = '-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n';

/** What helpers for the clouds and for proxies need. */
const NEEDED = {
  PATH: '/usr/bin',
  HOME: '/home/me',
  AWS_ACCESS_KEY_ID: 'a',
  AWS_SECRET_ACCESS_KEY: 'b',
  AWS_SESSION_TOKEN: 'c',
  AWS_WEB_IDENTITY_TOKEN_FILE: '/token',
  GOOGLE_APPLICATION_CREDENTIALS: '/gcp.json',
  AZURE_CLIENT_SECRET: 'd',
  HTTPS_PROXY: 'http://proxy',
  DOCKER_CONFIG: '/docker',
  GNUPGHOME: '/gpg',
  DBUS_SESSION_BUS_ADDRESS: 'unix:path=/run/bus',
};

it.each([
  ['BULLA_PASSPHRASE', 'x'],
  ['BULLA_NEW_PASSPHRASE', 'x'],
  ['BULLA_PASSPHRASE_FILE', '/run/secrets/x'],
  ['BULLA_ROOT_PASSPHRASE', 'x'],
  ['BULLA_KEY', 'env://X'],
  ['COSIGN_PASSWORD', 'x'],
  ['COSIGN_PRIVATE_KEY', 'x'],
  ['NOTARY_ROOT_PASSPHRASE', 'x'],
  ['NOTARY_DELEGATION_PASSPHRASE', 'x'],
  ['NOTATION_PASSWORD', 'x'],
  ['DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE', 'x'],
  ['DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE', 'x'],
  ['MY_KEY', PEM],
  ['MY_EC_KEY', PEM.replaceAll('PRIVATE', 'EC PRIVATE')],
  ['MY_SEALED_KEY', PEM.replaceAll('PRIVATE', 'ENCRYPTED SIGSTORE PRIVATE')],
  ['MY_CODED_KEY', Buffer.from(PEM).toString('base64')],
])('keeps %s from helpers, and nothing that they need', (name, value) => {
  expect(childEnvironment({ ...NEEDED, [name]: value })).toEqual(NEEDED);
});

it('keeps the variables of keys from helpers, whatever is in them', () => {
  const keys = keyVariables(['env://ROOT_KEY', ['release', 'env://SECOND'], true, undefined, 'file']);
  expect(keys).toEqual(['ROOT_KEY', 'SECOND']);
  expect(childEnvironment({ ...NEEDED, ROOT_KEY: 'x', SECOND: 'y' }, keys)).toEqual(NEEDED);
});

it('starts a helper without the secrets of the run', async () => {
  const home = await temporaryDirectory();
  const seen = join(home, 'seen');
  const helper = join(home, 'docker-credential-spy');
  writeFileSync(helper, `#!/bin/sh\nenv > ${seen}\necho '{"Username":"me","Secret":"pw"}'\n`);
  chmodSync(helper, 0o755);
  writeFileSync(join(home, 'config.json'), JSON.stringify({ credsStore: 'spy' }));
  const secrets = { BULLA_PASSPHRASE: 'hush', COSIGN_PASSWORD: 'hush', SIGNING: 'hush' };
  await bulla(['logout', '127.0.0.1:1', '--registry-config', join(home, 'config.json')], {
    env: {
      ...secrets,
      BULLA_KEY: 'env://SIGNING',
      PATH: `${home}${delimiter}${process.env['PATH']}`,
      AWS_X: '1',
    },
  });
  const text = readFileSync(seen, 'utf8');
  expect(text).toContain('AWS_X=1');
  expect(text).not.toContain('hush');
});
