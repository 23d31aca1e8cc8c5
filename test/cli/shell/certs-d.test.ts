import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { bulla, temporaryDirectory } from '../../support/cli.ts';
import { startRegistry } from '../../support/registry/server.ts';
import { certificateForLoopback } from '../../support/registry/tls.ts';

const OURS = certificateForLoopback();
const THEIRS = certificateForLoopback('elsewhere');

/** A registry on this machine that speaks TLS or not, and a home. */
async function place(tls = true) {
  const registry = await startRegistry(tls ? { tls: OURS } : {});
  onTestFinished(() => registry.close());
  const home = await temporaryDirectory();
  const put = async (path: string, text: string): Promise<void> => {
    await mkdir(dirname(join(home, path)), { recursive: true });
    await writeFile(join(home, path), text);
  };
  const ask = (flags: readonly string[] = [], env: Record<string, string> = {}) =>
    bulla(['ls', `${registry.host}/team/app`, ...flags], {
      env: {
        BULLA_HOME: join(home, 'b'),
        XDG_CONFIG_HOME: join(home, '.config'),
        DOCKER_CONFIG: join(home, '.docker'),
        ...env,
      },
    });
  return { host: registry.host, home, put, ask };
}

/** Whether the registry was reached: it has no such repository. */
const REACHED = { code: 11 };

describe('certs.d of docker and podman', () => {
  it.each(['.config/containers', '.config/docker', '.docker'])('is read: %s', async (tool) => {
    const { host, put, ask } = await place();
    await put(`${tool}/certs.d/${host}/ca.crt`, OURS.cert);
    const asked = await ask(['-v']);
    expect(asked).toMatchObject(REACHED);
    expect(asked.stderr).toContain(`${host}: authorities of`);
  });

  it.each<[string, (host: string) => string]>([
    ['another port', (host) => host.replace(/\d+$/, '1')],
    ['another host', (host) => host.replace('127.0.0.1', '127.0.0.2')],
    ['the host without its port', (host) => host.replace(/:\d+$/, '')],
  ])('of %s says nothing', async (_, other) => {
    const { host, put, ask } = await place();
    await put(`.docker/certs.d/${other(host)}/ca.crt`, OURS.cert);
    expect(await ask(['--plain-http=false'])).toMatchObject({ code: 3 });
  });

  it('with another authority refuses the registry, and plain HTTP is not tried', async () => {
    const { host, put, ask } = await place();
    await put(`.docker/certs.d/${host}/ca.crt`, THEIRS.cert);
    const asked = await ask();
    expect(asked).toMatchObject({ code: 3 });
    expect(asked.stderr).toContain('certificate');
  });

  it('that holds no certificate is left out, and told of', async () => {
    const { host, put, ask } = await place(false);
    await put(`.docker/certs.d/${host}/ca.crt`, 'nothing');
    const asked = await ask(['-v']);
    expect(asked).toMatchObject(REACHED);
    expect(asked.stderr).toContain('is left out');
  });

  it('does not come before --ca-file', async () => {
    const { host, home, put, ask } = await place();
    await put(`.docker/certs.d/${host}/ca.crt`, THEIRS.cert);
    await put('ours.pem', OURS.cert);
    expect(await ask(['--ca-file', join(home, 'ours.pem')])).toMatchObject(REACHED);
  });
});

describe('TLS on this machine', () => {
  it.each<[string, readonly string[], Record<string, string>]>([
    ['--plain-http=false', ['--plain-http=false', '--insecure'], {}],
    ['--plain-http=0', ['--insecure', '--plain-http=0'], {}],
    ['--no-plain-http', ['--no-plain-http', '--insecure'], {}],
    ['BULLA_PLAIN_HTTP=0', ['--insecure'], { BULLA_PLAIN_HTTP: '0' }],
    ['BULLA_PLAIN_HTTP=false', ['--insecure'], { BULLA_PLAIN_HTTP: 'false' }],
  ])('is spoken with %s', async (_, flags, env) => {
    expect(await (await place()).ask(flags, env)).toMatchObject(REACHED);
    expect(await (await place(false)).ask(flags, env)).toMatchObject({ code: 3 });
  });

  it('is spoken where a server speaks it, and its certificate must be trusted', async () => {
    const refused = await (await place()).ask();
    expect(refused).toMatchObject({ code: 3 });
    expect(refused.stderr).toContain('--ca-file');
  });

  it('is spoken with plainHttp: false in config.yaml', async () => {
    const { put, ask } = await place();
    await put('b/config.yaml', 'plainHttp: false\ninsecure: true\n');
    expect(await ask()).toMatchObject(REACHED);
  });

  it.each<[string, readonly string[], Record<string, string>]>([
    ['no setting', [], {}],
    ['--plain-http', ['--plain-http'], {}],
    ['--plain-http=true', ['--plain-http=true'], { BULLA_PLAIN_HTTP: '0' }],
    ['BULLA_PLAIN_HTTP=1', [], { BULLA_PLAIN_HTTP: '1' }],
  ])('is not spoken with %s', async (_, flags, env) => {
    expect(await (await place(false)).ask(flags, env)).toMatchObject(REACHED);
  });
});
