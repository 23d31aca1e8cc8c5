import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pack } from 'tar-stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import type { Target } from '../../src/oci/target.ts';
import { openRepository } from '../../src/registry/client.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { blobOf, pushImage, pushIndex, pushReferrer } from '../support/content.ts';
import { registryFor } from '../support/registry/open.ts';

async function registry(): Promise<string> {
  const server = await serveRegistry({ dir: await temporaryDirectory() });
  onTestFinished(() => server.close());
  return server.address;
}

function repository(name: string): Target {
  const target = openRepository(parseReference(name) as RegistryReference);
  onTestFinished(() => target.close());
  return target;
}

describe('bulla copy', () => {
  it.each([
    ['a registry', (one: string) => `${one}/team/copy:v1`],
    ['a layout', () => 'oci:copy:v1'],
    ['an archive', () => 'oci-archive:copy.tar:v1'],
  ])('does not exit 0 where something that belongs to the image cannot be copied to %s', async (_, to) => {
    const one = await registryFor();
    const source = repository(`${one.host}/team/app`);
    const image = await pushImage(source, 'app', 'v1');
    const text = JSON.stringify({ mediaType: 'application/vnd.x+json', subject: image.descriptor });
    const { digest } = blobOf(text).descriptor;
    const { manifests } = one.repository('team/app');
    manifests.set(digest, { bytes: Buffer.from(text), mediaType: 'application/vnd.x+json' });
    one.repository('team/app').list(image.descriptor.digest, digest);
    const cwd = await temporaryDirectory();
    const copied = await bulla(['copy', `${one.host}/team/app:v1`, to(one.host)], { cwd });
    expect([copied.code, copied.stdout]).toEqual([40, '']);
    expect(copied.stderr).toContain(digest);
    const alone = await bulla(['copy', `${one.host}/team/app:v1`, to(one.host), '--no-referrers'], { cwd });
    expect(alone, alone.stderr).toMatchObject({ code: 0 });
  });

  it('brings an index with its platforms and referrers to another registry, a layout, an archive, and back', async () => {
    const [one, two] = [await registry(), await registry()];
    const source = repository(`${one}/team/app`);
    const { index, images } = await pushIndex(source, 'app', 'v1');
    const signature = await pushReferrer(source, index.descriptor, 'signature');
    await pushReferrer(source, images[0]!.descriptor, 'platform');
    const cwd = await temporaryDirectory();
    const trees: string[] = [];
    const names = [
      `${one}/team/app:v1`,
      `${two}/mirror/app:v1`,
      'oci:layout:v1',
      'oci-archive:image.tar:v1',
      `${two}/again:v2`,
    ];
    for (const [at, from] of names.entries()) {
      const tree = await bulla(['tree', from], { cwd });
      trees.push(tree.stdout.split('\n').slice(1).join('\n'));
      const to = names[at + 1];
      if (to === undefined) break;
      const copied = await bulla(['copy', from, to], { cwd });
      expect(copied, copied.stderr).toMatchObject({ code: 0 });
      expect(copied.stdout).toMatch(new RegExp(`@${index.descriptor.digest}\n$`));
      expect(copied.stderr).toContain('2 referring to it');
    }
    expect(new Set(trees).size).toBe(1);
    expect(trees[0]).toContain(signature.descriptor.digest);
  });

  it('has more requests under way than Node takes for a leak, and Node says nothing', async () => {
    const warned: string[] = [];
    const note = ({ name }: Error): void => void warned.push(name);
    process.on('warning', note);
    onTestFinished(() => void process.off('warning', note));
    const one = await registry();
    const source = repository(`${one}/app`);
    const image = await pushImage(source, 'app', 'v1');
    for (let at = 0; at < 16; at++) await pushReferrer(source, image.descriptor, `signature ${at}`);
    const copied = await bulla(['copy', `${one}/app:v1`, `${one}/other:v1`, '--concurrency', '16']);
    expect(copied.stderr).toContain('16 referring to it');
    // Warnings are told in the next turn.
    await new Promise((resolve) => setImmediate(resolve));
    expect(warned).toEqual([]);
  });

  it('says nothing of an archive that could not be written in the end', async () => {
    const one = await registry();
    await pushImage(repository(`${one}/app`), 'app', 'v1');
    const cwd = await temporaryDirectory();
    // What docker load needs is gathered when the archive is closed, and this cannot be read then.
    const broken = blobOf(
      '{"schemaVersion":2,"layers":"none"}',
      'application/vnd.oci.image.manifest.v1+json',
    );
    const tar = pack();
    tar.entry({ name: 'oci-layout' }, '{"imageLayoutVersion":"1.0.0"}');
    tar.entry({ name: 'index.json' }, JSON.stringify({ schemaVersion: 2, manifests: [broken.descriptor] }));
    tar.entry({ name: `blobs/sha256/${broken.descriptor.digest.slice(7)}` }, Buffer.from(broken.bytes));
    tar.finalize();
    await writeFile(join(cwd, 'image.tar'), tar as AsyncIterable<Uint8Array>);
    const copied = await bulla(['copy', `${one}/app:v1`, 'oci-archive:image.tar:v1'], { cwd });
    expect(copied).toMatchObject({ code: 40, stdout: '' });
  });

  it('takes the tag of the source where the destination has none, and says what a second run saved', async () => {
    const one = await registry();
    const image = await pushImage(repository(`${one}/app`), 'app', 'v1');
    const first = await bulla(['copy', `${one}/app:v1`, `${one}/mirror`, '-o', 'json']);
    expect(first.json()).toMatchObject({ ok: true, tag: 'v1', tagMoved: true, mounted: { content: 2 } });
    const again = (await bulla(['cp', `${one}/app:v1`, `${one}/mirror`, '-o', 'json'])).json();
    expect(again).toMatchObject({ tagMoved: false, pushed: { content: 0 }, mounted: { content: 0 } });
    expect((await bulla(['ls', `${one}/mirror`, '-l'])).stdout).toContain(image.descriptor.digest);
  });

  it('writes nothing on a dry run', async () => {
    const one = await registry();
    await pushImage(repository(`${one}/app`), 'app', 'v1');
    const { code, stderr } = await bulla(['copy', `${one}/app:v1`, `${one}/mirror`, '--dry-run']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('Would copy') });
    expect(stderr).toMatch(/: 3 to push \(/);
    expect(stderr).not.toMatch(/^pushed|Copied|Brought/m);
    expect(await bulla(['ls', `${one}/mirror`])).toMatchObject({ code: 11 });
  });

  it('copies one platform, and leaves what refers to the image behind where asked to', async () => {
    const one = await registry();
    const source = repository(`${one}/app`);
    const { images } = await pushIndex(source, 'app', 'v1');
    await pushReferrer(source, images[1]!.descriptor, 'platform');
    const copied = await bulla([
      'copy',
      `${one}/app:v1`,
      `${one}/arm:v1`,
      '--platform',
      'linux/arm64',
      '--no-referrers',
    ]);
    expect(copied.stdout).toBe(`${one}/arm@${images[1]!.descriptor.digest}\n`);
    expect((await bulla(['tree', `${one}/arm:v1`])).stdout.trim().split('\n')).toHaveLength(1);
  });

  it.each([
    ['a source without tag and digest', (host: string) => [`${host}/app`, `${host}/b:v1`], 2, 'usage'],
    ['a source that is not there', (host: string) => [`${host}/app:none`, `${host}/b:v1`], 11, 'not-found'],
    ['a layout that is not there', () => ['oci:none:v1', 'oci:b:v1'], 11, 'not-found'],
    [
      'a platform that is none',
      (host: string) => [`${host}/app:v1`, `${host}/b:v1`, '--platform', 'arm'],
      2,
      'usage',
    ],
    [
      'a digest that the source has not',
      (host: string) => [`${host}/app:v1`, `${host}/b@sha256:${'a'.repeat(64)}`],
      24,
      'digest-mismatch',
    ],
  ])('refuses %s', async (_, argv, exit, code) => {
    const host = await registry();
    await pushImage(repository(`${host}/app`), 'app', 'v1');
    const result = await bulla(['copy', ...argv(host)]);
    expect(result).toMatchObject({ code: exit, stdout: '' });
    expect(result.stderr).toContain(`[${code}]`);
  });
});
