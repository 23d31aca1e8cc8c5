import { lstat, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hash } from 'bcryptjs';
import { describe, expect, it } from 'vitest';
import { gc } from '../../src/api/registry-server.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { certificateForLoopback } from '../support/registry/tls.ts';
import { keyFile } from '../support/resign/service.ts';
import { ONLINE } from '../support/tuf/editing.ts';

/** Runs the server until it is told to end, which is when `use` is done with it. */
async function serving(
  argv: readonly string[],
  use: (dir: string) => Promise<void>,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const dir = join(await temporaryDirectory(), 'registry');
  const ending = new AbortController();
  const running = bulla(['serve', 'registry', '--dir', dir, '--port', '0', ...argv], {
    signal: ending.signal,
  });
  try {
    await Promise.race([
      expect
        .poll(() =>
          gc(dir).then(
            () => 'up',
            () => 'down',
          ),
        )
        .toBe('up'),
      running,
    ]);
    await use(dir);
  } finally {
    ending.abort();
  }
  return await running;
}

describe('bulla serve registry', () => {
  it('says where it listens, and ends well when it is asked to', async () => {
    const { code, stdout, stderr } = await serving([], async () => undefined);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^serving .* on http:\/\/127\.0\.0\.1:[0-9]+\n$/);
  });

  it('says so in JSON, and warns where everybody can write', async () => {
    const { code, stdout, stderr } = await serving(
      ['--listen', '0.0.0.0:0', '-o', 'json'],
      async () => undefined,
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      url: expect.stringMatching(/^http:\/\/0\.0\.0\.0:/),
    });
    expect(stderr).toContain('can write to the registry');
  });

  it('collects while it serves, and says what it removed', async () => {
    await serving([], async (dir) => {
      const { code, stdout } = await bulla([
        'serve',
        'registry',
        'gc',
        '--dir',
        dir,
        '--grace',
        '0s',
        '-o',
        'json',
      ]);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ ok: true, manifests: 0, blobs: 0, dryRun: false });
    });
  });

  it.each([
    { what: 'no directory', argv: [] },
    { what: 'no address', argv: ['--dir', 'x', '--addr', 'a:b:c'] },
    { what: 'a port that is none', argv: ['--dir', 'x', '--port', '65536'] },
    { what: 'a port in the address that is none', argv: ['--dir', 'x', '--addr', '127.0.0.1:99999'] },
    { what: 'a certificate without its key', argv: ['--dir', 'x', '--tls-cert', 'cert.pem'] },
    { what: 'something else than a web address to notify', argv: ['--dir', 'x', '--notify', 'file:///etc'] },
  ])('refuses $what', async ({ argv }) => {
    const { code, stderr } = await bulla(['serve', 'registry', ...argv]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/\[usage\]\nhint: /);
  });

  it('refuses headers that are none, and does not show them', async () => {
    const dir = await temporaryDirectory();
    await writeFile(join(dir, 'headers'), 'a secret without a name\n');
    const argv = ['--dir', dir, '--notify', 'http://127.0.0.1:1/', '--notify-headers', join(dir, 'headers')];
    const { code, stderr } = await bulla(['serve', 'registry', ...argv]);
    expect(code).toBe(2);
    expect(stderr).not.toContain('secret');
  });

  it('collects nothing where there is no registry', async () => {
    const { code } = await bulla(['serve', 'registry', 'gc', '--dir', await temporaryDirectory()]);
    expect(code).toBe(11);
  });
});

describe('paths of bulla serve registry', () => {
  const names = async (path: string): Promise<readonly string[]> =>
    readdir(path).catch(() => [] as readonly string[]);

  async function ready(...argv: string[]): Promise<string> {
    const cwd = await temporaryDirectory();
    const { cert, key } = certificateForLoopback();
    await writeFile(join(cwd, 'cert.pem'), cert);
    await writeFile(join(cwd, 'key.pem'), key);
    await writeFile(join(cwd, 'htpasswd'), `me:${await hash('letmein', 4)}\n`);
    await writeFile(join(cwd, 'headers'), 'Authorization: Bearer x\n');
    await keyFile(cwd, 'online.pem', ONLINE);
    const ending = new AbortController();
    let stdout = '';
    const running = bulla(['serve', 'registry', '--dir', 'served', '--port', '0', ...argv], {
      cwd,
      signal: ending.signal,
      onStdout: (text) => {
        stdout += text;
      },
    });
    await Promise.race([expect.poll(() => stdout, { timeout: 20_000 }).toContain('serving'), running]);
    ending.abort();
    expect(await running).toMatchObject({ code: 0 });
    return cwd;
  }

  it.each([
    ['the directory alone', []],
    ['a certificate and its key', ['--tls-cert', 'cert.pem', '--tls-key', 'key.pem']],
    ['a password file', ['--htpasswd', 'htpasswd']],
    ['headers of notifications', ['--notify', 'http://127.0.0.1:1/', '--notify-headers', 'headers']],
    ['the key of a hosted re-signer', ['--resign-key', 'online.pem', '--resign-root-key-id', 'a'.repeat(64)]],
  ])('are those of the folder that the command runs in: %s', async (_, argv) => {
    const cwd = await ready(...argv);
    expect(await names(cwd)).toContain('served');
    await expect(lstat('served')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('are the same for the collector', async () => {
    const cwd = await ready();
    const { code } = await bulla(['serve', 'registry', 'gc', '--dir', 'served'], { cwd });
    expect(code).toBe(0);
  });
});
