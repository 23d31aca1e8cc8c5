import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTokenServer, type TokenServer } from '../support/token-server.ts';
import { DEMO_LAYOUT } from './artifacts.ts';
import { bulla, havePeers, type Outcome, ok, peer } from './peers.ts';
import { type Registry, startDistribution } from './registries.ts';
import { Signers } from './signers.ts';

const have = havePeers('docker-registry', 'registry3', 'oras', 'skopeo', 'notation', 'cosign');
const USERS = { alice: 'wonder: land', bob: 'builder' };

describe.runIf(have)('bulla login', () => {
  let signers: Signers;
  let tokens: TokenServer;
  let byPassword: Registry;
  let byToken: Registry;
  const run = (args: string[], input = '', env = {}): Promise<Outcome> =>
    bulla(args, { env: { ...signers.env, ...env }, input });

  beforeAll(async () => {
    signers = await Signers.create();
    tokens = await startTokenServer({ users: USERS, anonymous: ['pull'] });
    byPassword = await startDistribution('registry3', { users: USERS });
    byToken = await startDistribution('docker-registry', { tokens });
  });
  afterAll(async () => {
    await byPassword?.stop();
    await byToken?.stop();
    await tokens?.stop();
    signers?.remove();
  });

  it('refuses a wrong password and stores nothing', async () => {
    const outcome = await run(['login', byPassword.host, '-u', 'alice', '--password-stdin'], 'wrong');
    expect(outcome.status).toBe(4);
    expect(outcome.stderr).toContain('unauthorized');
    expect(outcome.stderr).not.toContain('wrong');
  });

  it.each(['registry3', 'docker-registry'] as const)(
    'lets push and pull on %s, until logout',
    async (kind) => {
      const { host } = kind === 'registry3' ? byPassword : byToken;
      const push = (name: string) => run(['push', '-q', `oci:${DEMO_LAYOUT}:v1`, `${host}/${name}:v1`]);
      expect(await push('app')).toMatchObject({ status: 4 });
      const login = await run(['login', host, '-u', 'alice', '--password-stdin'], USERS.alice);
      expect(login, login.stderr).toMatchObject({ status: 0 });
      const pushed = await push('app');
      expect(pushed, pushed.stderr).toMatchObject({ status: 0 });
      expect(await run(['logout', host])).toMatchObject({ status: 0 });
      expect(await push('another')).toMatchObject({ status: 4 });
    },
  );

  it('shares the credential file with skopeo, both ways', async () => {
    const file = join(signers.directory, 'auth.json');
    const env = { REGISTRY_AUTH_FILE: file };
    const login = await run(['login', byPassword.host, '-u', 'bob', '--password-stdin'], USERS.bob, env);
    expect(login, login.stderr).toMatchObject({ status: 0 });
    expect(statSync(file).mode & 0o077).toBe(0);
    const pushed = await run(
      ['push', '-q', `oci:${DEMO_LAYOUT}:v1`, `${byPassword.host}/shared:v1`],
      '',
      env,
    );
    expect(pushed, pushed.stderr).toMatchObject({ status: 0 });
    const inspect = ['inspect', '--raw', '--tls-verify=false', `docker://${byPassword.host}/shared:v1`];
    await ok(peer('skopeo'), inspect, { env });

    await run(['logout', byPassword.host], '', env);
    expect(readFileSync(file, 'utf8')).not.toContain('auth"');
    const bob = ['-u', 'bob', '--password-stdin', '--tls-verify=false', '--authfile', file];
    await ok(peer('skopeo'), ['login', ...bob, byPassword.host], { input: USERS.bob });
    expect(await run(['ls', `${byPassword.host}/shared`], '', env)).toMatchObject({ status: 0 });
  });

  it('finds what oras login stored', async () => {
    const config = join(signers.directory, 'docker');
    const args = ['login', '--plain-http', '-u', 'alice', '--password-stdin', byToken.host];
    const file = join(config, 'config.json');
    await ok(peer('oras'), [...args, '--registry-config', file], { input: USERS.alice });
    const push = ['push', '-q', `oci:${DEMO_LAYOUT}:v1`, `${byToken.host}/by-oras:v1`];
    const outcome = await run(push, '', { DOCKER_CONFIG: config });
    expect(outcome, outcome.stderr).toMatchObject({ status: 0 });
  });

  it('asks a credential helper', async () => {
    const config = join(signers.directory, 'helped');
    const helpers = join(signers.directory, 'helpers');
    await ok('mkdir', ['-p', config, helpers]);
    const secret = JSON.stringify({ ServerURL: byPassword.host, Username: 'alice', Secret: USERS.alice });
    writeFileSync(
      join(helpers, 'docker-credential-testing'),
      `#!/bin/sh\ncat >/dev/null\necho '${secret}'\n`,
      {
        mode: 0o755,
      },
    );
    writeFileSync(
      join(config, 'config.json'),
      JSON.stringify({ credHelpers: { [byPassword.host]: 'testing' } }),
    );
    const outcome = await run(['push', '-q', `oci:${DEMO_LAYOUT}:v1`, `${byPassword.host}/helped:v1`], '', {
      DOCKER_CONFIG: config,
      PATH: `${helpers}:${process.env['PATH']}`,
    });
    expect(outcome, outcome.stderr).toMatchObject({ status: 0 });
  });

  it('asks for no more than it needs: a pull by nobody in particular', async () => {
    const before = tokens.requests.length;
    expect(await run(['ls', `${byToken.host}/by-oras`])).toMatchObject({ status: 0 });
    const asked = tokens.requests.slice(before);
    expect(asked.map(({ user }) => user)).toEqual(asked.map(() => undefined));
    expect(asked.flatMap(({ scopes }) => scopes).join(' ')).not.toContain('push');
  });
});
