import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openRepository } from '../../src/registry/client.ts';
import { bulla, type CliOptions, type CliResult, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { type RegistryOptions, startRegistry } from '../support/registry/server.ts';
import { certificateForLoopback, type ServerCertificate } from '../support/registry/tls.ts';
import { NOW, RepositorySimulator } from '../support/tuf/repository.ts';

const USER = ['--username', 'me', '--password-stdin'];
const OURS = certificateForLoopback();
const THEIRS = certificateForLoopback('elsewhere');

/** A server that a registry sends us to, and what it got to see. */
async function elsewhere(tls: ServerCertificate | undefined) {
  const seen: string[] = [];
  const shown: boolean[] = [];
  const listener = (request: IncomingMessage, response: import('node:http').ServerResponse): void => {
    seen.push(`${request.method} ${request.headers.authorization ?? '-'}`);
    if (tls !== undefined) shown.push((request.socket as TLSSocket).getPeerCertificate().raw !== undefined);
    request.resume();
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"token":"t0ken"}');
  };
  const server =
    tls === undefined
      ? createServer(listener)
      : createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: false }, listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { host, url: `http${tls === undefined ? '' : 's'}://${host}`, seen, shown };
}

/** A registry with an image, by plain HTTP or TLS, and somebody's command line with a configuration. */
async function lab(options: RegistryOptions = {}) {
  const registry = await startRegistry(options);
  onTestFinished(() => registry.close());
  const home = await temporaryDirectory();
  const name = `${registry.host}/team/app`;
  const file = async (file: string, text: string): Promise<string> => {
    await writeFile(join(home, file), text);
    return join(home, file);
  };
  const run = (argv: readonly string[], more: CliOptions = {}): Promise<CliResult> =>
    bulla(argv, { stdin: 'secret', ...more, env: { BULLA_HOME: home, ...more.env } });
  return { registry, name, home, file, run, config: (yaml: string) => file('config.yaml', yaml) };
}

/** The token server has a certificate that nothing here vouches for. */
async function misled(tls?: ServerCertificate) {
  const realm = await elsewhere(THEIRS);
  const place = await lab({
    ...(tls !== undefined && { tls }),
    auth: { mode: 'token', realm: `${realm.url}/token`, users: { me: 'secret' } },
  });
  const ask = (flags: readonly string[] = [], more: CliOptions = {}) =>
    place.run(['ls', place.name, ...USER, ...flags], more);
  return { ...place, realm, ask };
}

describe('TLS settings of one registry do not reach the token server that it names', () => {
  it.each<[string, (place: Awaited<ReturnType<typeof misled>>) => Promise<CliResult>]>([
    [
      'insecure of its entry',
      async ({ config, registry, ask }) => {
        await config(`registries: { "${registry.host}": { insecure: true } }`);
        return await ask();
      },
    ],
    ['--insecure', ({ ask }) => ask(['--insecure'])],
    ['insecure of the environment', ({ ask }) => ask([], { env: { BULLA_INSECURE: '1' } })],
    [
      'insecure of the whole file',
      async ({ config, ask }) => {
        await config('insecure: true');
        return await ask();
      },
    ],
    [
      'insecure of an entry for the same host and another port',
      async ({ config, ask }) => {
        await config('registries: { "127.0.0.1": { insecure: true } }');
        return await ask();
      },
    ],
  ])('%s', async (_, attack) => {
    const place = await misled();
    const result = await attack(place);
    expect(place.realm.seen).toEqual([]);
    expect(result.code).toBe(3);
    expect(result.stderr).toContain('registry refers to a server whose certificate is not trusted');
  });

  it('its CA', async () => {
    const { config, file, registry, ask, realm } = await misled(OURS);
    await config(
      `registries: { "${registry.host}": { caFile: ${await file('ca.pem', OURS.cert + THEIRS.cert)} } }`,
    );
    expect((await ask()).code).toBe(3);
    expect(realm.seen).toEqual([]);
  });

  it('its client certificate', async () => {
    const { config, file, registry, ask, realm } = await misled(OURS);
    const certificate = `certFile: ${await file('c.pem', OURS.cert)}, keyFile: ${await file('c.key', OURS.key)}`;
    await config(
      `registries:\n  "${registry.host}": { insecure: true, ${certificate} }\n  "${realm.host}": { insecure: true, ${certificate} }`,
    );
    await ask();
    expect(realm.seen.length).toBeGreaterThan(0);
    expect(new Set(realm.shown)).toEqual(new Set([false]));
  });

  it('NODE_TLS_REJECT_UNAUTHORIZED, of nobody at all', async () => {
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    onTestFinished(() => {
      delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    });
    const { ask, realm } = await misled();
    expect((await ask()).code).toBe(3);
    expect(realm.seen).toEqual([]);
    const { run, name, registry, config } = await lab({ tls: OURS });
    await config(`registries: { "${registry.host}": { plainHttp: false } }`);
    const result = await run(['ls', name]);
    expect(result.stderr).toMatch(/self-signed.*registry-unreachable/);
    expect(registry.log).toEqual([]);
  });

  it('that it is reached by plain HTTP', async () => {
    const proxy = await elsewhere(undefined);
    const { run, name, config } = await lab({
      auth: { mode: 'token', realm: 'http://tokens.example/token', users: { me: 'secret' } },
    });
    const ask = () => run(['ls', name, ...USER], { env: { HTTP_PROXY: proxy.url } });
    const result = await ask();
    expect([result.code, proxy.seen]).toEqual([4, []]);
    expect(result.stderr).toContain('plainHttp: true');
    for (const entry of [
      `${name.split('/')[0]}: { plainHttp: true }`,
      'tokens.example:443: { plainHttp: true }',
    ]) {
      await config(`registries: { ${entry.replace(/^(\S+):/, '"$1":')} }`);
      expect([(await ask()).code, proxy.seen]).toEqual([4, []]);
    }
    await config('registries: { tokens.example: { plainHttp: true } }');
    await ask();
    expect(proxy.seen[0]).toMatch(/^GET Basic /);
  });

  it('is no reason to refuse one that has settings of its own', async () => {
    for (const settings of ['insecure: true', `caFile: CA`]) {
      const { config, file, ask, realm } = await misled();
      const ca = await file('theirs.pem', THEIRS.cert);
      await config(`registries: { "${realm.host}": { ${settings.replace('CA', ca)} } }`);
      await ask();
      expect(realm.seen[0]).toBe(`GET Basic ${Buffer.from('me:secret').toString('base64')}`);
    }
    const { file, ask, realm } = await misled(OURS);
    await ask(['--ca-file', await file('company.pem', OURS.cert + THEIRS.cert)]);
    expect(realm.seen[0]).toMatch(/^GET Basic /);
  });
});

describe('TLS settings of one registry do not reach', () => {
  it.each(['blob', 'manifest', 'tags'])('the host that it redirects a request for a %s to', async (kind) => {
    const other = await elsewhere(THEIRS);
    const { registry, name, run } = await lab();
    const target = openRepository({ registry: registry.host, repository: 'team/app' });
    await pushImage(target, 'app', 'v1');
    await target.close();
    const path = { blob: /\/blobs\//, manifest: /\/manifests\//, tags: /\/tags\// }[kind] as RegExp;
    registry.fault({
      method: 'GET',
      path,
      times: 99,
      action: { status: 307, headers: { location: `${other.url}/x` } },
    });
    const argv = kind === 'tags' ? ['ls', name] : ['copy', `${name}:v1`, 'oci:out:v1'];
    const result = await run([...argv, '--insecure']);
    expect(other.seen).toEqual([]);
    expect([result.code, result.stderr]).toEqual([3, expect.stringContaining('config.yaml')]);
  });

  it('the host that an upload goes on at', async () => {
    const other = await elsewhere(THEIRS);
    const [source, { registry, name, run }] = [await lab(), await lab()];
    const target = openRepository({ registry: source.registry.host, repository: 'team/app' });
    await pushImage(target, 'app', 'v1');
    await target.close();
    registry.fault({
      method: 'POST',
      path: /uploads/,
      times: 99,
      action: { status: 202, headers: { location: `${other.url}/upload` } },
    });
    const result = await run(['copy', `${source.name}:v1`, `${name}:v1`, '--insecure']);
    expect([result.code, other.seen]).toEqual([3, []]);
  });

  it('where a TUF repository redirects to, nor its other folder', async () => {
    const other = await elsewhere(THEIRS);
    const { files } = new RepositorySimulator();
    const [, root] = [...files].find(([name]) => name === '1.root.json') ?? [];
    const redirecting = createServer((_, response) =>
      response.writeHead(307, { location: `${other.url}/x` }).end(),
    );
    await new Promise<void>((resolve) => redirecting.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      redirecting.closeAllConnections();
      redirecting.close();
    });
    const url = `http://127.0.0.1:${(redirecting.address() as AddressInfo).port}/metadata`;
    const { run, home } = await lab();
    await writeFile(join(home, 'root.json'), root as Uint8Array);
    expect(await run(['tuf', 'init', url, join(home, 'root.json')], { now: NOW })).toMatchObject({ code: 0 });
    const result = await run(['tuf', 'refresh', url, '--insecure'], { now: NOW });
    expect([result.code, other.seen]).toEqual([3, []]);
  });
});

describe('a registry on this machine is reached by TLS where', () => {
  it.each<
    [
      string,
      (ca: string, host: string, config: (yaml: string) => Promise<string>) => Promise<readonly string[]>,
    ]
  >([
    ['--ca-file is given', async (ca) => ['--ca-file', ca]],
    [
      'its entry has a CA',
      async (ca, host, config) => {
        await config(`registries: { "${host}": { caFile: ${ca} } }`);
        return [];
      },
    ],
    [
      'its entry says that HTTP is not to be spoken',
      async (ca, host, config) => {
        await config(`caFile: ${ca}\nregistries: { "${host}": { plainHttp: false } }`);
        return [];
      },
    ],
  ])('%s', async (_, settings) => {
    const { registry, name, run, file, config } = await lab({ tls: OURS });
    registry.repository('team/app');
    const flags = await settings(await file('ca.pem', OURS.cert), registry.host, config);
    for (const host of [registry.host, registry.host.replace('127.0.0.1', '[::ffff:127.0.0.1]')]) {
      const result = await run(['ls', name.replace(registry.host, host), ...flags]);
      expect(result.stderr).not.toContain('registry-unreachable');
    }
    expect(registry.log.length).toBeGreaterThan(0);
  });

  it('one of two sides has a CA', async () => {
    const source = await lab();
    const target = openRepository({ registry: source.registry.host, repository: 'team/app' });
    await pushImage(target, 'app', 'v1');
    await target.close();
    const { name, run, file } = await lab({ tls: OURS });
    const flags = ['--to-ca-file', await file('ca.pem', OURS.cert)];
    expect(await run(['copy', `${source.name}:v1`, `${name}:v1`, ...flags])).toMatchObject({ code: 0 });
  });
});

describe('entries of the configuration file', () => {
  it.each([
    ['two spellings of one host', '"r.example": {}, "R.example": {}'],
    ['the port of https', '"r.example": {}, "r.example:443": {}'],
    ['the port of http', '"r.example": { plainHttp: true }, "r.example:80": { plainHttp: true }'],
    ['an IPv4 address within IPv6', '"127.0.0.1:5000": {}, "[::ffff:7f00:1]:5000": {}'],
    ['names of Docker Hub', '"docker.io": {}, "registry-1.docker.io": {}'],
    ['a port with a leading zero', '"r.example:0443": {}'],
    ['an IPv4 address with a leading zero', '"127.0.0.01": {}'],
    ['an IPv4 address as a number', '"2130706433:5000": {}'],
    ['a URL', '"https://r.example": {}'],
  ])('are refused: %s', async (_, entries) => {
    const { config, run } = await lab();
    await config(`registries: { ${entries} }`);
    expect(await run(['pin', 'ls'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('config-invalid'),
    });
  });
});
