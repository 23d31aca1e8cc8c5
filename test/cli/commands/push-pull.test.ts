import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseReference, type RegistryReference } from '../../../src/oci/reference.ts';
import { openRepository } from '../../../src/registry/client.ts';
import { serveRegistry } from '../../../src/servers/registry/server.ts';
import { bulla, temporaryDirectory } from '../../support/cli.ts';
import { pushImage } from '../../support/content.ts';

const LAYOUT = new URL('../../../testdata/demo-image/layout', import.meta.url).pathname;

/** A registry, a home with the key `release`, and a directory to work in. */
async function workshop(): Promise<{
  readonly host: string;
  readonly env: Record<string, string>;
  readonly cwd: string;
}> {
  const dir = await temporaryDirectory();
  const server = await serveRegistry({ dir: join(dir, 'registry') });
  onTestFinished(() => server.close());
  const env = { BULLA_HOME: join(dir, 'home'), BULLA_PASSPHRASE: 'correct horse' };
  const made = await bulla(['key', 'generate', 'release'], { env });
  expect(made, made.stderr).toMatchObject({ code: 0 });
  return { host: server.address, env, cwd: dir };
}

describe('bulla push', () => {
  it('brings a layout to a registry and signs it before its tag is there', async () => {
    const { host, env, cwd } = await workshop();
    const pushed = await bulla(['push', LAYOUT, `${host}/demo:v1`, '--key', 'release', '-o', 'json'], {
      env,
      cwd,
    });
    expect(pushed, pushed.stderr).toMatchObject({ code: 0 });
    expect(pushed.json()).toMatchObject({ ok: true, tag: 'v1', signatures: [{ kind: expect.any(String) }] });
    const verified = await bulla(['verify', `${host}/demo:v1`, '--key', 'release'], { env });
    expect(verified.stdout).toBe(`${pushed.json()['reference']}\n`);
  });

  it('sends nothing where the key cannot be opened', async () => {
    const { host, env, cwd } = await workshop();
    const pushed = await bulla(['push', LAYOUT, `${host}/demo:v1`, '--key', 'release'], {
      env: { ...env, BULLA_PASSPHRASE: 'wrong' },
      cwd,
    });
    expect(pushed).toMatchObject({ code: 2, stdout: '' });
    expect(await bulla(['ls', `${host}/demo`])).toMatchObject({ code: 11 });
  });

  it.each([
    [
      'a source that is not there',
      ['push', 'nothing-here', 'HOST/demo:v1'],
      11,
      /neither a layout nor an archive/,
    ],
    ['a destination that is no registry', ['push', LAYOUT, 'oci:there'], 2, /not in a registry/],
  ])('refuses %s', async (_, argv, code, message) => {
    const { host } = await workshop();
    const result = await bulla(argv.map((word) => word.replace('HOST', host)));
    expect(result).toMatchObject({ code, stdout: '' });
    expect(result.stderr).toMatch(message);
  });
});

describe('bulla pull', () => {
  it('verifies first, then brings exactly that with its signatures', async () => {
    const { host, env, cwd } = await workshop();
    await bulla(['push', LAYOUT, `${host}/demo:v1`, '--key', 'release'], { env, cwd });
    for (const destination of ['oci:here', 'oci-archive:image.tar:v1', undefined]) {
      const pulled = await bulla(
        ['pull', `${host}/demo:v1`, ...(destination === undefined ? [] : [destination]), '--key', 'release'],
        { env, cwd },
      );
      expect(pulled, pulled.stderr).toMatchObject({ code: 0 });
      const local = destination ?? 'oci:demo';
      const again = await bulla(['verify', local, '--key', 'release', '--offline'], { env, cwd });
      expect(again, again.stderr).toMatchObject({
        code: 0,
        stdout: pulled.stdout.replace(`${host}/demo`, local.replace(/:v1$/, '')),
      });
    }
  });

  it('brings nothing that is not signed, or by somebody else, or where nobody is trusted', async () => {
    const { host, env, cwd } = await workshop();
    const target = openRepository(parseReference(`${host}/app`) as RegistryReference);
    onTestFinished(() => target.close());
    await pushImage(target, 'app', 'v1');
    // Elsewhere: what is remembered of registries is no part of what is pulled.
    const empty = { BULLA_HOME: await temporaryDirectory() };
    const before = await readdir(cwd);
    expect(await bulla(['pull', `${host}/app:v1`, 'oci:a', '--key', 'release'], { env, cwd })).toMatchObject({
      code: 10,
      stdout: '',
    });
    const unpinned = await bulla(['pull', `${host}/app:v1`, 'oci:a'], { env: empty, cwd });
    expect(unpinned).toMatchObject({ code: 25, stdout: '' });
    expect(unpinned.stderr).toContain('--no-verify');
    expect(await readdir(cwd)).toEqual(before);
    // A directory, it may be meant; not an image of Docker Hub.
    const elsewhere = await bulla(['pull', `${host}/app:v1`, 'here', '--no-verify'], { env: empty, cwd });
    expect(elsewhere).toMatchObject({ code: 2, stdout: '' });
    expect(elsewhere.stderr).toContain('write oci:DIR, FILE.tar or docker-archive:FILE');
    const contradiction = ['pull', `${host}/app:v1`, 'oci:a', '--no-verify', '--key', 'alice'];
    expect((await bulla(contradiction, { env: empty, cwd })).code).toBe(2);
    const forced = await bulla(['pull', `${host}/app:v1`, 'oci:a', '--no-verify'], { env: empty, cwd });
    expect(forced).toMatchObject({ code: 0 });
    expect(forced.stderr).toContain('was not verified');
  });
});
