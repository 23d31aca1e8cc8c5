import { execFileSync } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from './support/cli.ts';

const root = new URL('..', import.meta.url).pathname;

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
      import { copy, createSigner, openLayout, openRepository, parseReference, requirements, signImage, verifyImage } from 'bulla';
      import { serveRegistry } from 'bulla/registry-server';
      import { generateKeyPairSync } from 'node:crypto';

      const dir = mkdtempSync('registry-');
      const server = await serveRegistry({ dir });
      const reference = parseReference(server.address + '/hello:v1');
      const destination = openRepository(reference);
      const source = await openLayout({ kind: 'layout', path: ${JSON.stringify(join(root, 'testdata/demo-image/layout'))} });
      const root = await source.onlyImage();
      await copy({ source, reference: root.digest, destination, tag: reference.tag });
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
