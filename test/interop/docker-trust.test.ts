import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BULLA, havePeers, ok, peer, run } from './peers.ts';
import { type Registry, startDistribution, startRegistry } from './registries.ts';

const LAYOUT = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;

/** A person with a docker of their own, whose `docker trust` is ours. */
class Person {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'bulla-docker-'));
  readonly env: Record<string, string> = {
    HOME: this.directory,
    BULLA_HOME: join(this.directory, 'bulla'),
    DOCKER_CONFIG: join(this.directory, '.docker'),
    DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: 'of the root',
    DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: 'of the others',
  };

  bulla(...args: string[]): Promise<string> {
    return ok(process.execPath, [BULLA, ...args], { cwd: this.directory, env: this.env });
  }

  docker(...args: string[]): Promise<string> {
    return ok(peer('docker'), args, { cwd: this.directory, env: this.env });
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

describe.runIf(havePeers('docker', 'docker-registry'))('docker 29 with the plug-in', () => {
  let registry: Registry;
  let admin: Person;
  let repository: string;
  beforeEach(async () => {
    admin = new Person();
    await admin.bulla('docker-trust', 'install-plugin');
  });
  afterEach(async () => {
    admin.remove();
    await registry?.stop();
  });

  it('knows it as docker trust', async () => {
    registry = await startRegistry('docker-registry');
    expect(await admin.docker('help')).toMatch(/^ {2}trust\*? +Manage trust on Docker images$/m);
    expect(await admin.docker('help', 'trust', 'sign')).toContain('--local');
    expect(await admin.docker('trust', 'signer', '--help')).toContain('remove');
  });

  it('signs, shows, revokes and removes as docker trust did', async () => {
    registry = await startRegistry('docker-registry');
    repository = `${registry.host}/team/app`;
    const digest = /sha256:([0-9a-f]{64})/.exec(await admin.bulla('push', LAYOUT, `${repository}:v1`))?.[1];
    await admin.docker('trust', 'key', 'generate', 'alice');
    await admin.docker('trust', 'signer', 'add', '--key', 'alice.pub', 'alice', repository);
    expect(await admin.docker('trust', 'sign', `${repository}:v1`)).toBe(
      `Signing and pushing trust metadata for ${repository}:v1\nSuccessfully signed ${repository}:v1\n`,
    );
    expect(JSON.parse(await admin.docker('trust', 'inspect', `${repository}:v1`))).toMatchObject([
      {
        Name: `${repository}:v1`,
        SignedTags: [{ SignedTag: 'v1', Digest: digest, Signers: ['alice'] }],
        Signers: [{ Name: 'alice', Keys: [{ ID: expect.stringMatching(/^[0-9a-f]{64}$/) }] }],
        AdministrativeKeys: [{ Name: 'Root' }, { Name: 'Repository' }],
      },
    ]);
    expect(await admin.docker('trust', 'inspect', '--pretty', repository)).toContain(
      `v1           ${digest}   alice`,
    );
    expect(await admin.bulla('verify', `${repository}:v1`)).toBe(`${repository}@sha256:${digest}\n`);
    // Docker hands on the status.
    const refused = await run(peer('docker'), ['trust', 'signer', 'remove', 'alice', repository], {
      env: admin.env,
    });
    expect(refused).toMatchObject({ status: 2 });
    expect(refused.stderr).toContain('no terminal to confirm on');
    const removed = await ok(peer('docker'), ['trust', 'signer', 'remove', 'alice', repository], {
      env: admin.env,
      input: 'y\n',
    });
    expect(removed).toContain(`Successfully removed alice from ${repository}`);
    const gone = await run(process.execPath, [BULLA, 'verify', `${repository}:v1`], { env: admin.env });
    expect(gone.status).toBe(23);
    await admin.docker('trust', 'sign', `${repository}:v1`);
    expect(await admin.docker('trust', 'revoke', `${repository}:v1`)).toBe(
      `Successfully deleted signature for ${repository}:v1\n`,
    );
  });

  it('uses the credentials of the docker that calls it', async () => {
    registry = await startDistribution('docker-registry', { users: { alice: 'secret' } });
    repository = `${registry.host}/team/app`;
    const elsewhere = join(admin.directory, 'elsewhere');
    mkdirSync(elsewhere);
    const auth = Buffer.from('alice:secret').toString('base64');
    writeFileSync(join(elsewhere, 'config.json'), JSON.stringify({ auths: { [registry.host]: { auth } } }));
    await admin.bulla('docker-trust', 'install-plugin', '--dir', join(elsewhere, 'cli-plugins'));
    await ok(process.execPath, [BULLA, 'push', LAYOUT, `${repository}:v1`], {
      env: { ...admin.env, DOCKER_CONFIG: elsewhere },
    });
    const denied = await run(peer('docker'), ['trust', 'sign', `${repository}:v1`], { env: admin.env });
    expect(denied.status).toBe(4);
    await admin.docker('--config', elsewhere, 'trust', 'sign', `${repository}:v1`);
    expect(await admin.docker('--config', elsewhere, 'trust', 'inspect', '--pretty', repository)).toContain(
      '(Repo Admin)',
    );
  });
});
