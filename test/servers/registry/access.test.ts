import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { describe, expect, it } from 'vitest';
import { serveRegistry } from '../../../src/api/registry-server.ts';
import { artifact, type Client, startTestRegistry, temporaryDirectory } from './client.ts';

const PASSWORD = 'correct horse battery staple';
const LINE = `alice:${hashSync(PASSWORD, 4)}\n`;

function basic(user: string, password: string): Record<string, string> {
  return { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

async function startClosed(
  anonymousRead = false,
): Promise<{ client: Client; htpasswd: string; log: unknown[] }> {
  const htpasswd = join(await temporaryDirectory(), 'htpasswd');
  await writeFile(htpasswd, `# people\n\n${LINE}`);
  const log: unknown[] = [];
  const { client } = await startTestRegistry({ htpasswd, anonymousRead, log: (entry) => log.push(entry) });
  return { client, htpasswd, log };
}

describe('a registry with a password file', () => {
  it('asks for a name and a password everywhere but for its health', async () => {
    const { client } = await startClosed();
    for (const path of [
      '/v2/',
      '/v2/_catalog',
      '/v2/a/tags/list',
      '/v2/a/manifests/v1',
      '/metrics',
      '/nothing',
    ]) {
      const answer = await client.send('GET', path);
      expect([path, answer.status, answer.code()]).toEqual([path, 401, 'UNAUTHORIZED']);
      expect(answer.headers['www-authenticate']).toMatch(/^Basic realm=/);
    }
    expect((await client.send('GET', '/healthz')).status).toBe(200);
    expect((await client.send('POST', '/v2/a/blobs/uploads/')).status).toBe(401);
    expect((await client.send('GET', '/v2/', { headers: basic('alice', PASSWORD) })).status).toBe(200);
  });

  it.each([
    { what: 'a wrong password', headers: basic('alice', 'wrong') },
    { what: 'no password', headers: basic('alice', '') },
    { what: 'the hash as the password', headers: basic('alice', LINE.slice(6, -1)) },
    { what: 'nobody of this name', headers: basic('mallory', PASSWORD) },
    { what: 'an empty name', headers: basic('', '') },
    { what: 'a name as JavaScript has it', headers: basic('__proto__', PASSWORD) },
    { what: 'a token', headers: { Authorization: `Bearer ${PASSWORD}` } },
    { what: 'something that is not base64', headers: { Authorization: 'Basic ***' } },
    { what: 'base64 without a colon', headers: { Authorization: 'Basic YWxpY2U=' } },
    { what: 'base64 of what is not UTF-8', headers: { Authorization: 'Basic /////w==' } },
    { what: 'a kilobyte and more', headers: basic('alice', 'x'.repeat(2000)) },
  ])('refuses $what, every time', async ({ headers }) => {
    const { client } = await startClosed();
    for (let i = 0; i < 2; i++) expect((await client.send('GET', '/v2/', { headers })).status).toBe(401);
    expect((await client.send('GET', '/v2/', { headers: basic('alice', PASSWORD) })).status).toBe(200);
  });

  it('lets everybody read where it is told to, and still asks at /v2/, so that clients sign in', async () => {
    const { client } = await startClosed(true);
    expect((await client.send('GET', '/v2/_catalog')).status).toBe(200);
    expect((await client.send('HEAD', '/v2/a/manifests/v1')).status).toBe(404);
    expect((await client.send('GET', '/v2/_catalog', { headers: basic('', '') })).status).toBe(200);
    expect((await client.send('DELETE', '/v2/a/manifests/v1', { headers: basic('', '') })).status).toBe(401);
    expect((await client.send('GET', '/v2/')).status).toBe(401);
    const writes: [string, string][] = [
      ['POST', '/v2/a/blobs/uploads/'],
      ['PUT', '/v2/a/manifests/v1'],
      ['DELETE', '/v2/a/manifests/v1'],
      ['PATCH', '/v2/a/blobs/uploads/x'],
    ];
    for (const [method, path] of writes) {
      expect((await client.send(method, path, { body: artifact('x') })).status).toBe(401);
    }
    const wrong = await client.send('GET', '/v2/_catalog', { headers: basic('alice', 'wrong') });
    expect(wrong.status).toBe(401);
  });

  it('does not keep the passwords that it saw, and logs none', async () => {
    const { client, log } = await startClosed();
    await client.send('GET', '/v2/', { headers: basic('alice', PASSWORD) });
    await client.send('GET', '/v2/', { headers: basic('alice', 'tried-and-wrong') });
    await expect.poll(() => log.length).toBe(2);
    const text = JSON.stringify(log);
    expect(text).toContain('"user":"alice"');
    for (const secret of [
      PASSWORD,
      'tried-and-wrong',
      basic('alice', PASSWORD)['Authorization'] ?? '',
      '$2b$',
    ]) {
      expect(text).not.toContain(secret);
    }
  });

  it('reads the file again when it changed, and keeps the old one while the new one is no good', async () => {
    const { client, htpasswd } = await startClosed();
    const status = async (user: string): Promise<number> =>
      (await client.send('GET', '/v2/', { headers: basic(user, PASSWORD) })).status;
    await writeFile(htpasswd, 'half a li');
    await expect.poll(() => status('alice'), { timeout: 5_000 }).toBe(200);
    await writeFile(htpasswd, `bob:${hashSync(PASSWORD, 4)}\n`);
    await expect.poll(() => status('bob'), { timeout: 10_000, interval: 200 }).toBe(200);
    expect(await status('alice')).toBe(401);
  });

  it.each([
    { what: 'MD5', line: 'alice:$apr1$x$y' },
    { what: 'a plain password', line: 'alice:secret-that-must-not-show' },
    { what: 'no name', line: `:${hashSync('x', 4)}` },
    {
      what: 'a cost that would stop the server',
      line: 'alice:$2b$19$C6UzMDM.H6dfI/f/IKcEeO7ZL8sFQbJ5uVvXXnXWz.Q0lqDxKx1hK',
    },
  ])('does not start with $what in the file', async ({ line }) => {
    const dir = await temporaryDirectory();
    await writeFile(join(dir, 'htpasswd'), `${line}\n`);
    const starting = serveRegistry({ dir, htpasswd: join(dir, 'htpasswd') });
    await expect(starting).rejects.toMatchObject({ code: 'config-invalid' });
    await expect(starting).rejects.not.toThrow('secret-that-must-not-show');
  });
});
