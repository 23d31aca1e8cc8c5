import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryFiles } from '../../src/layout/directory.ts';
import { LayoutStore } from '../../src/layout/store.ts';
import { hexOf } from '../../src/oci/digest.ts';
import { buildIndex } from '../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-types.ts';
import { fallbackTag, isBesideTag } from '../../src/oci/reference.ts';
import { blobOf, pushBytes, pushImage, pushIndex, pushReferrer, tagOf } from '../support/content.ts';
import { runChild, temporaryDirectory } from '../support/processes.ts';
import { describeTarget } from '../support/target-contract.ts';

describeTarget('layout directory', async () => {
  const directory = await temporaryDirectory();
  return { target: await open(join(directory.path, 'layout')), dispose: () => directory.remove() };
});

async function open(path: string, create = true): Promise<LayoutStore> {
  return new LayoutStore(await DirectoryFiles.open(path, { create }));
}

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let path: string;
beforeEach(async () => {
  directory = await temporaryDirectory();
  path = join(directory.path, 'layout');
});
afterEach(() => directory.remove());

interface IndexJson {
  manifests: { digest: string; annotations?: Record<string, string> }[];
}

async function indexJson(): Promise<IndexJson> {
  return JSON.parse(await readFile(join(path, 'index.json'), 'utf8')) as IndexJson;
}

describe('layout directory on disk', () => {
  it('is what the image specification says, with nothing else in it', async () => {
    const store = await open(path);
    const image = await pushImage(store, 'one', 'v1');
    expect((await readdir(path)).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
    expect(JSON.parse(await readFile(join(path, 'oci-layout'), 'utf8'))).toEqual({
      imageLayoutVersion: '1.0.0',
    });
    expect(await indexJson()).toEqual({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [{ ...image.descriptor, annotations: { 'org.opencontainers.image.ref.name': 'v1' } }],
    });
    const blob = await readFile(join(path, 'blobs', 'sha256', hexOf(image.descriptor.digest)));
    expect(blob).toEqual(Buffer.from(image.bytes));
  });

  it('takes no blob for one of the same size that somebody put there', async () => {
    const store = await open(path);
    const blob = blobOf('what was verified');
    await pushBytes(store, blob);
    const file = join(path, 'blobs', 'sha256', hexOf(blob.descriptor.digest));
    await writeFile(file, 'what was smuggled');
    expect(await pushBytes(store, blob)).toBe('pushed');
    expect(await readFile(file, 'utf8')).toBe('what was verified');
    expect(await pushBytes(store, blob)).toBe('exists');
  });

  it('is there for the next one that opens it', async () => {
    const image = await pushImage(await open(path), 'one', 'v1');
    const again = await open(path, false);
    expect((await again.resolve(tagOf('v1'))).digest).toBe(image.descriptor.digest);
  });

  it('lists an index once its children are in it, and referrers without a name', async () => {
    const store = await open(path);
    const { index, images } = await pushIndex(store, 'multi', 'v1');
    const signature = await pushReferrer(store, images[0]!.descriptor, 'signature');
    const listed = (await indexJson()).manifests.map(({ digest, annotations }) => [
      digest,
      annotations?.['org.opencontainers.image.ref.name'],
    ]);
    expect(listed).toEqual([
      [index.descriptor.digest, 'v1'],
      [signature.descriptor.digest, undefined],
      [expect.any(String), fallbackTag(images[0]!.descriptor.digest)],
    ]);
  });

  it('does not take a name from a manifest that is pushed', async () => {
    const store = await open(path);
    const image = await pushImage(store, 'one', 'v1');
    const layer = blobOf('evil');
    await pushBytes(store, layer);
    const evil = buildIndex({
      manifests: [],
      subject: image.descriptor,
      annotations: { 'org.opencontainers.image.ref.name': 'v1' },
    });
    await store.pushManifest(evil);
    expect((await store.resolve(tagOf('v1'))).digest).toBe(image.descriptor.digest);
    expect((await store.listTags()).filter((tag) => !isBesideTag(tag))).toEqual(['v1']);
  });

  it('keeps what other tools wrote into index.json', async () => {
    const store = await open(path);
    const image = await pushImage(store, 'one', 'v1');
    const json = await indexJson();
    json.manifests[0]!.annotations!['com.example.note'] = 'kept';
    await writeFile(
      join(path, 'index.json'),
      JSON.stringify({ ...json, annotations: { 'com.example.top': 'kept too' } }),
    );
    await store.pushManifest(image, { tag: tagOf('v2') });
    const after = await indexJson();
    expect(after).toMatchObject({ annotations: { 'com.example.top': 'kept too' } });
    expect(after.manifests[0]!.annotations!['com.example.note']).toBe('kept');
  });

  it('keeps a fallback index for regctl, and nothing of those before', async () => {
    const store = await open(path);
    const image = await pushImage(store, 'one', 'v1');
    const tag = fallbackTag(image.descriptor.digest);
    const blobs = async (): Promise<number> => (await readdir(join(path, 'blobs', 'sha256'))).length;
    const listed = async (): Promise<string[]> => {
      const text = new TextDecoder().decode((await store.fetchManifest(tag)).bytes);
      return (JSON.parse(text) as IndexJson).manifests.map(({ digest }) => digest).sort();
    };
    const one = await pushReferrer(store, image.descriptor, 'one');
    expect(await listed()).toEqual([one.descriptor.digest]);
    const two = await pushReferrer(store, image.descriptor, 'two');
    expect(await listed()).toEqual([one.descriptor.digest, two.descriptor.digest].sort());
    expect(await blobs()).toBe(3 + 1 + 2 * 2 + 1);
    await store.deleteManifest(one.descriptor.digest);
    expect(await listed()).toEqual([two.descriptor.digest]);
    await store.deleteManifest(two.descriptor.digest);
    await expect(store.resolve(tag)).rejects.toMatchObject({ code: 'not-found' });
    expect(await blobs()).toBe(3 + 1 + 2);
  });

  it('refuses to sign where something else stands under the fallback tag', async () => {
    const store = await open(path);
    const image = await pushImage(store, 'one', 'v1');
    const other = await pushImage(store, 'other', fallbackTag(image.descriptor.digest));
    await expect(pushReferrer(store, image.descriptor, 'x')).rejects.toMatchObject({
      code: 'content-invalid',
    });
    expect((await store.resolve(fallbackTag(image.descriptor.digest))).digest).toBe(other.descriptor.digest);
  });

  it('finds referrers that regctl keeps in a fallback index', async () => {
    const store = await open(path);
    const image = await pushImage(store, 'one', 'v1');
    const signature = await pushReferrer(store, image.descriptor, 'signature');
    const fallback = buildIndex({ manifests: [signature.descriptor] });
    await store.pushManifest(fallback, { tag: fallbackTag(image.descriptor.digest) });
    const json = await indexJson();
    json.manifests = json.manifests.filter(({ digest }) => digest !== signature.descriptor.digest);
    await writeFile(join(path, 'index.json'), JSON.stringify(json));
    const found = await (await open(path)).listReferrers(image.descriptor.digest);
    expect(found.map(({ digest }) => digest)).toEqual([signature.descriptor.digest]);
    const second = await pushReferrer(store, image.descriptor, 'second');
    expect((await store.listReferrers(image.descriptor.digest)).map(({ digest }) => digest).sort()).toEqual(
      [signature.descriptor.digest, second.descriptor.digest].sort(),
    );
    expect((await store.onlyImage()).digest).toBe(image.descriptor.digest);
  });

  it('finishes a layout whose making was killed', async () => {
    await pushImage(await open(path), 'one', 'v1');
    await rm(join(path, 'oci-layout'));
    await expect(open(path, false)).rejects.toMatchObject({ code: 'content-invalid' });
    expect(await (await open(path)).listTags()).toEqual(['v1']);
  });
});

describe('onlyImage', () => {
  it('is the one image, whatever refers to it', async () => {
    const store = await open(path);
    await expect(store.onlyImage()).rejects.toMatchObject({ code: 'not-found' });
    const image = await pushImage(store, 'one');
    await pushReferrer(store, image.descriptor, 'signature');
    expect((await store.onlyImage()).digest).toBe(image.descriptor.digest);
    await pushImage(store, 'two');
    await expect(store.onlyImage()).rejects.toMatchObject({ code: 'usage' });
    const named = await pushImage(store, 'three', 'v3');
    expect((await store.onlyImage()).digest).toBe(named.descriptor.digest);
  });
});

describe('hostile layouts', () => {
  const outside = 'content from outside the layout';

  it.each(['blob', 'blobs/sha256', 'blobs', 'index.json', 'oci-layout'])(
    'follows no symbolic link in place of %s',
    async (what) => {
      const store = await open(path);
      const blob = blobOf(outside);
      await pushBytes(store, blob);
      await pushImage(store, 'one', 'v1');
      const name = what === 'blob' ? `blobs/sha256/${hexOf(blob.descriptor.digest)}` : what;
      await rename(join(path, name), join(directory.path, 'outside'));
      await symlink(join(directory.path, 'outside'), join(path, name));
      const read = async (): Promise<unknown> => {
        const again = await open(path, false);
        await again.resolve(tagOf('v1'));
        return await again.fetchBlob(blob.descriptor, 100);
      };
      await expect(read()).rejects.toMatchObject({ code: 'storage-error', hint: expect.any(String) });
    },
  );

  it('does not write through a symbolic link in place of blobs/sha256', async () => {
    await open(path);
    await mkdir(join(directory.path, 'outside'));
    await symlink(join(directory.path, 'outside'), join(path, 'blobs', 'sha256'));
    const pushing = pushBytes(await open(path), blobOf('x'));
    await expect(pushing).rejects.toMatchObject({ code: 'storage-error' });
    expect(await readdir(join(directory.path, 'outside'))).toEqual([]);
  });

  it.each([
    ['a digest that is a path', { digest: 'sha256:../../../../etc/passwd' }],
    ['a digest with a path behind it', { digest: `sha256:${'a'.repeat(64)}/../x` }],
    ['a digest in capitals', { digest: `sha256:${'A'.repeat(64)}` }],
    ['a size below zero', { size: -1 }],
    ['a size that is no number', { size: '10' }],
    ['no media type', { mediaType: undefined }],
  ])('refuses an index.json with %s', async (_, change) => {
    await pushImage(await open(path), 'one', 'v1');
    const json = await indexJson();
    Object.assign(json.manifests[0]!, change);
    await writeFile(join(path, 'index.json'), JSON.stringify(json));
    await expect((await open(path)).resolve(tagOf('v1'))).rejects.toMatchObject({ code: 'content-invalid' });
  });

  it('refuses a key that stands twice in index.json', async () => {
    await pushImage(await open(path), 'one', 'v1');
    const text = await readFile(join(path, 'index.json'), 'utf8');
    await writeFile(join(path, 'index.json'), text.replace('{', '{"manifests":[],'));
    await expect((await open(path)).resolve(tagOf('v1'))).rejects.toMatchObject({ code: 'content-invalid' });
  });

  it('refuses a tag that names two manifests, by that tag only', async () => {
    const store = await open(path);
    const one = await pushImage(store, 'one', 'v1');
    await pushImage(store, 'two', 'v2');
    const text = await readFile(join(path, 'index.json'), 'utf8');
    await writeFile(join(path, 'index.json'), text.replace('"v2"', '"v1"'));
    await expect(store.resolve(tagOf('v1'))).rejects.toMatchObject({ code: 'content-invalid' });
    expect((await store.resolve(one.descriptor.digest)).digest).toBe(one.descriptor.digest);
  });

  it.each([
    ['a flipped byte', (bytes: Buffer) => Buffer.from(bytes.map((b, at) => (at === 20 ? b ^ 1 : b)))],
    ['a byte less', (bytes: Buffer) => bytes.subarray(1)],
    ['a byte more', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from(' ')])],
  ])('refuses a manifest with %s', async (_, damage) => {
    const store = await open(path);
    const image = await pushImage(store, 'one', 'v1');
    const file = join(path, 'blobs', 'sha256', hexOf(image.descriptor.digest));
    await writeFile(file, damage(await readFile(file)));
    await expect(store.fetchManifest(tagOf('v1'))).rejects.toMatchObject({ code: 'content-invalid' });
    const again = await open(path);
    await expect(again.listReferrers(image.descriptor.digest)).rejects.toMatchObject({
      code: 'content-invalid',
    });
  });

  it('says that it is damaged where the manifest of a tag is gone, not that the tag is', async () => {
    const store = await open(path);
    const image = await pushImage(store, 'one', 'v1');
    await rm(join(path, 'blobs', 'sha256', hexOf(image.descriptor.digest)));
    await expect(store.resolve(tagOf('v1'))).rejects.toMatchObject({ code: 'content-invalid' });
  });

  it('does not take a config for a manifest', async () => {
    const store = await open(path);
    const blob = blobOf('{"architecture":"amd64"}', MEDIA_TYPES.ociConfig);
    await pushBytes(store, blob);
    await expect(store.resolve(blob.descriptor.digest)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('refuses a pipe in place of a blob, and does not wait for it', async () => {
    const store = await open(path);
    const blob = blobOf('x');
    await pushBytes(store, blob);
    const file = join(path, 'blobs', 'sha256', hexOf(blob.descriptor.digest));
    await rm(file);
    execFileSync('mkfifo', [file]);
    await expect(store.fetchBlob(blob.descriptor, 9)).rejects.toMatchObject({ code: 'storage-error' });
  });
});

describe('opening', () => {
  it('says not-found where there is nothing', async () => {
    await expect(open(path, false)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('refuses to make a layout of a directory that holds something else', async () => {
    await mkdir(path);
    await writeFile(join(path, 'thesis.tex'), 'years of work');
    for (const create of [true, false]) {
      await expect(open(path, create)).rejects.toMatchObject({ code: 'content-invalid' });
    }
    expect(await readdir(path)).toEqual(['thesis.tex']);
  });

  it('refuses an unknown version', async () => {
    await open(path);
    await writeFile(join(path, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}');
    await expect(open(path)).rejects.toMatchObject({ code: 'content-invalid' });
  });

  it('refuses a file', async () => {
    await writeFile(path, '');
    await expect(open(path)).rejects.toMatchObject({ code: 'storage-error' });
  });
});

describe('layout directory under pressure', () => {
  it('loses nothing when processes write at once and are killed', { timeout: 60_000 }, async () => {
    await open(path);
    const writers = ['a', 'b'].map((name) => runChild('layout/writer-child.ts', [path, name, '15']));
    const victims = ['x', 'y'].map((name) => runChild('layout/writer-child.ts', [path, name, '100000']));
    for (const victim of victims) {
      await victim.printed('pushed 3\n');
      victim.process.kill('SIGKILL');
      await victim.ended;
    }
    for (const writer of writers) expect(await writer.ended).toMatchObject({ status: 0 });
    const store = await open(path);
    const tags = (await store.listTags()).filter((tag) => !tag.startsWith('sha256-'));
    for (const name of ['a', 'b']) for (let at = 0; at < 15; at++) expect(tags).toContain(`${name}${at}`);
    for (const name of ['x', 'y']) for (let at = 0; at <= 3; at++) expect(tags).toContain(`${name}${at}`);
    for (const tag of tags) {
      const content = await store.fetchManifest(tag);
      expect(await store.listReferrers(content.descriptor.digest)).toHaveLength(tag.startsWith('a') ? 1 : 0);
    }
  });

  it('says so when there is no room, and leaves no temporary file', async () => {
    const store = await open(path);
    await pushImage(store, 'one', 'v1');
    const child = runChild('layout/full-child.ts', [path], 'ulimit -f 1000;');
    expect((await child.ended).output).toMatch(/^storage-error: .*room/);
    expect((await readdir(path)).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
    expect(await store.listTags()).toEqual(['v1']);
  });

  it('sweeps what a killed process left when it is opened to be written', async () => {
    await open(path);
    const child = runChild('layout/slow-child.ts', [path]);
    await child.printed('streaming');
    child.process.kill('SIGKILL');
    await child.ended;
    expect(await readdir(path)).toHaveLength(4);
    await open(path);
    expect((await readdir(path)).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
  });
});
