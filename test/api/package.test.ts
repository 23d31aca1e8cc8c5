import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { cp, mkdir, open, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { cacheName, compileProgram, PROGRAM, SCRIPTS } from '../../src/cli/start/compiled.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { registryFor } from '../support/registry/open.ts';

const root = new URL('../..', import.meta.url).pathname;
const execFilePromise = promisify(execFile);

/** A program of somebody who has installed the package. */
async function asUser(source: string): Promise<string> {
  const dir = await temporaryDirectory();
  await mkdir(join(dir, 'node_modules'));
  await symlink(root, join(dir, 'node_modules', 'bulla'));
  await writeFile(join(dir, 'program.mjs'), source);
  return execFileSync(process.execPath, ['program.mjs'], { cwd: dir, encoding: 'utf8' });
}

describe('the package', () => {
  it('copies and verifies images from a program', async () => {
    const printed = await asUser(`
      import { mkdtempSync, rmSync } from 'node:fs';
      import { copyContent, createSigner, openLayout, openRepository, parseReference, requirements, signImage, verifyImage } from 'bulla';
      import { serveRegistry } from 'bulla/registry-server';
      import { generateKeyPairSync } from 'node:crypto';

      const dir = mkdtempSync('registry-');
      const server = await serveRegistry({ dir });
      const reference = parseReference(server.address + '/hello:v1');
      const destination = openRepository(reference);
      const source = await openLayout({ kind: 'layout', path: ${JSON.stringify(join(root, 'testdata/demo-image/layout'))} });
      const root = await source.onlyImage();
      await copyContent({ source, reference: root.digest, destination, tag: reference.tag });
      const signer = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
      const now = new Date();
      await signImage(destination, { tag: reference.tag }, { name: 'hello', signer, now, agent: 'example' });
      const required = requirements({ keys: [signer.publicKey], now });
      const verified = await verifyImage(destination, { tag: reference.tag }, { name: 'hello', required });
      console.log(verified.image.digest === root.digest);
      await destination.close();
      await source.close();
      await server.close();
      rmSync(dir, { recursive: true });
    `);
    expect(printed).toBe('true\n');
  });

  it.each(['bulla/oci', 'bulla/tuf', 'bulla/trust', 'bulla/registry-server'])('has %s', async (path) => {
    const names = JSON.parse(
      await asUser(`console.log(JSON.stringify(Object.keys(await import('${path}'))))`),
    ) as string[];
    expect(names).toContain(path === 'bulla/registry-server' ? 'serveRegistry' : 'BullaError');
  });

  it('has all that its command and its library are', () => {
    const printed = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: root,
      encoding: 'utf8',
    });
    const [packed] = JSON.parse(printed) as { files: { path: string; mode: number }[] }[];
    const modes = new Map(packed?.files.map(({ path, mode }) => [path, mode]));
    const scripts = SCRIPTS.flatMap((script) => [script, cacheName(process, script)]);
    const needed = ['bulla.js', ...scripts, 'package.json', 'lib/package.json', 'lib/api/index.js'];
    expect([...modes.keys()]).toEqual(expect.arrayContaining(needed.map((name) => `dist/${name}`)));
    expect(modes.get('dist/bulla.js')).toBe(0o755);
  });

  it.each(SCRIPTS)('brings %s compiled, for the Node that it was built with', (script) => {
    const { isCached } = compileProgram(join(root, 'dist'), undefined, script);
    expect(isCached, 'dist/ was made by another Node: remove it and make build').toBe(true);
  });

  it.each([
    ['as it is', async () => undefined],
    ['for another Node', (cache: string) => rm(cache)],
    ['with half of a cache', (cache: string) => truncate(cache, 500_000)],
    ['with an empty cache', (cache: string) => truncate(cache, 0)],
  ])('runs its command, linked to and moved elsewhere, %s', async (_, change) => {
    const dir = await temporaryDirectory();
    await cp(join(root, 'dist'), join(dir, 'dist'), { recursive: true });
    await change(join(dir, 'dist', cacheName()));
    await symlink('dist/bulla.js', join(dir, 'bulla'));
    const help = execFileSync(join(dir, 'bulla'), ['verify', '--help'], { encoding: 'utf8' });
    expect(help).toContain('Usage: bulla verify [options] [reference...]');
  });

  // It is read byte by byte (src/cli/start/compiled.ts). The bundler escapes what strings have, not what regular expressions do.
  it.each(SCRIPTS)('has %s in ASCII', async (script) => {
    const bytes = await readFile(join(root, 'dist', script));
    expect(bytes.findIndex((byte) => byte > 127)).toBe(-1);
  });

  // A command that read the others as well would start later (decision 500).
  it('needs only its first script for everyday commands', async () => {
    const dir = await temporaryDirectory();
    await cp(join(root, 'dist'), join(dir, 'dist'), { recursive: true });
    for (const script of SCRIPTS) if (script !== PROGRAM) await rm(join(dir, 'dist', script));
    const { host } = await registryFor();
    const image = `${host}/image:v1`;
    const env = { ...process.env, BULLA_HOME: join(dir, 'home'), BULLA_PASSPHRASE: 'of a test' };
    const bulla = async (dist: string, line: string): Promise<string> =>
      (
        await execFilePromise(process.execPath, [join(dist, 'bulla.js'), ...line.split(' ')], {
          cwd: dir,
          env,
        })
      ).stdout;
    await bulla(join(root, 'dist'), 'key generate mine');
    const everyday = [
      `push oci:${root}testdata/demo-image/layout ${image}`,
      `sign ${image} --key mine`,
      `verify ${image} --key mine`,
      `copy ${image} ${host}/copy:v1`,
      `pull ${image} oci:out --key mine`,
      `inspect ${image}`,
      `ls ${host}/image`,
      `tree ${image}`,
    ];
    for (const line of everyday) expect(await bulla(join(dir, 'dist'), line), line).not.toBe('');
    await expect(bulla(join(dir, 'dist'), 'key ls')).rejects.toThrow('more.js');
  });

  it('says that its output could not be written', async () => {
    const full = await open('/dev/full', 'w');
    onTestFinished(() => full.close());
    const { status, stderr } = spawnSync(process.execPath, [join(root, 'dist/bulla.js'), '--help'], {
      stdio: ['ignore', full.fd, 'pipe'],
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({
      status: 5,
      stderr: expect.stringMatching(/^error: the output cannot be written: ENOSPC.* \[storage-error\]\n$/),
    });
  });

  it('depends on exact versions, on nothing called oras, and records no place of download', async () => {
    const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Record<
      string,
      Record<string, string>
    >;
    const wanted = { ...manifest['dependencies'], ...manifest['devDependencies'] };
    expect(Object.keys(wanted)).not.toContain('oras');
    for (const version of Object.values(wanted)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(await readFile(join(root, 'package-lock.json'), 'utf8')).not.toContain('"resolved"');
  });
});
