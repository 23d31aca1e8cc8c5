import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listen } from '../support/listen.ts';
import { type Server, startServer } from '../support/process.ts';
import { pem, selfSignedCertificate } from '../support/self-signed.ts';
import { DEMO_LAYOUT } from './artifacts.ts';
import { BULLA, bulla, cleanEnvironment } from './peers.ts';

/** What only the bundle can get wrong: it leaves out parts of packages that nobody is to miss. */
describe('the bundled command', () => {
  const directory = mkdtempSync(join(tmpdir(), 'bulla-bundle-'));
  const tunnels: string[] = [];
  let registry: Server;
  let proxy: { host: string; stop(): Promise<void> };

  beforeAll(async () => {
    const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const certificate = selfSignedCertificate('registry.test', keys);
    const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
    writeFileSync(cert, pem('CERTIFICATE', certificate));
    writeFileSync(key, keys.privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
    const tls = ['--tls-cert', cert, '--tls-key', key];
    registry = await startServer({
      file: process.execPath,
      args: () => [
        BULLA,
        ...['serve', 'registry', '--dir', join(directory, 'data'), '--addr', '127.0.0.1:0', ...tls],
      ],
      env: cleanEnvironment(),
      announces: /127\.0\.0\.1:(\d+)/,
    });
    const server = createServer((_, response) => response.writeHead(403).end());
    server.on('connect', (request, socket, head) => {
      tunnels.push(request.url ?? '');
      const port = Number(registry.host.split(':')[1]);
      const onward = connect(port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        onward.write(head);
        onward.pipe(socket).pipe(onward);
      });
      onward.on('error', () => socket.destroy());
      socket.on('error', () => onward.destroy());
    });
    proxy = await listen(server);
  });
  afterAll(async () => {
    await proxy?.stop();
    await registry?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it('pushes to a registry with TLS through a proxy', async () => {
    const env = { BULLA_HOME: join(directory, 'home'), HTTPS_PROXY: `http://${proxy.host}` };
    const args = ['push', '-q', '--insecure', `oci:${DEMO_LAYOUT}:v1`, 'registry.test/app:v1'];
    const outcome = await bulla(args, { env });
    expect(outcome, outcome.stderr).toMatchObject({ status: 0 });
    expect(new Set(tunnels)).toEqual(new Set(['registry.test:443']));
  });

  it('uses the connection that it begins while it loads', async () => {
    let connections = 0;
    const server = createServer((_, response) => response.end('{"name":"app","tags":["v1"]}'));
    server.on('connection', () => connections++);
    const plain = await listen(server);
    try {
      // undici once waited with the request until the server hung up.
      const outcome = await bulla(['ls', '--plain-http', '--timeout', '4s', `${plain.host}/app`], {
        env: { BULLA_HOME: join(directory, 'home') },
      });
      expect(outcome, outcome.stderr).toMatchObject({ status: 0, stdout: 'v1\n' });
      expect(connections).toBe(1);
    } finally {
      await plain.stop();
    }
  });
});
