import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { extract, type Header, pack } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copy } from '../../src/actions/copy/copy.ts';
import { openLayout } from '../../src/layout/open.ts';
import type { LayoutStore } from '../../src/layout/store.ts';
import { streamOf } from '../../src/oci/content.ts';
import { digestOf, hexOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-types.ts';
import { MemoryStore } from '../../src/oci/memory.ts';
import { blobOf, pushBytes, pushImage, pushIndex, pushReferrer, tagOf } from '../support/content.ts';
import { runChild, temporaryDirectory } from '../support/processes.ts';
import { describeTarget } from '../support/target-contract.ts';

describeTarget('archive that is being written', async () => {
  const directory = await temporaryDirectory();
  const path = join(directory.path, 'image.tar');
  return {
    target: await openLayout({ kind: 'archive', path }, { create: true }),
    dispose: () => directory.remove(),
  };
});

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let path: string;
beforeEach(async () => {
  directory = await temporaryDirectory();
  path = join(directory.path, 'image.tar');
});
const opened: LayoutStore[] = [];
afterEach(async () => {
  for (const store of opened.splice(0)) await store.abandon();
  await directory.remove();
});

async function open(create = false, imageName?: string): Promise<LayoutStore> {
  const store = await openLayout({ kind: 'archive', path }, { create, imageName });
  opened.push(store);
  return store;
}

/** Writes an archive with one image and what refers to it. */
async function written(tag = 'v1'): Promise<{ image: string; signature: string }> {
  const store = await open(true);
  const image = await pushImage(store, 'one', tag);
  const signature = await pushReferrer(store, image.descriptor, 'signature');
  await store.close();
  return { image: image.descriptor.digest, signature: signature.descriptor.digest };
}

interface Entry {
  readonly header: Header;
  readonly bytes: Buffer;
}

/** What another reader of tars sees. */
async function entriesOf(file: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  const reader = extract();
  createReadStream(file).pipe(reader);
  for await (const entry of reader) {
    const pieces: Buffer[] = [];
    for await (const piece of entry) pieces.push(piece as Buffer);
    entries.push({ header: entry.header, bytes: Buffer.concat(pieces) });
  }
  return entries;
}

type TarEntry = Partial<Header> & { name: string; content?: Buffer | string };

/** A tar by another writer. */
async function tarOf(entries: readonly TarEntry[]): Promise<Buffer> {
  const writer = pack();
  for (const { content, ...header } of entries) writer.entry(header, content ?? '');
  writer.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of writer) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

describe('archive', () => {
  it('is a tar of a layout that other readers understand', async () => {
    await written();
    const entries = await entriesOf(path);
    const names = entries.map(({ header }) => header.name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(expect.arrayContaining(['oci-layout', 'index.json', 'manifest.json']));
    for (const { header, bytes } of entries) {
      const [, algorithm, hex] = /^blobs\/(\w+)\/(\w+)$/.exec(header.name) ?? [];
      if (hex !== undefined)
        expect(
          createHash(algorithm as string)
            .update(bytes)
            .digest('hex'),
        ).toBe(hex);
    }
    expect(entries.filter(({ header }) => header.name.startsWith('blobs/'))).toHaveLength(3 + 3 + 1);
  });

  it('is the same for the same content', async () => {
    await written();
    const first = await readFile(path);
    await rm(path);
    await written();
    expect((await readFile(path)).equals(first)).toBe(true);
  });

  it('gives everything back when it is opened again', async () => {
    const { image, signature } = await written();
    const store = await open();
    expect((await store.resolve(tagOf('v1'))).digest).toBe(image);
    expect((await store.onlyImage()).digest).toBe(image);
    expect(await store.listReferrers((await store.resolve(tagOf('v1'))).digest)).toMatchObject([
      { digest: signature },
    ]);
    await store.close();
  });

  it('takes a signature, and keeps all that was there', async () => {
    const { image, signature } = await written();
    const store = await open(true);
    const second = await pushReferrer(store, await store.resolve(tagOf('v1')), 'second');
    expect((await (await open()).listReferrers(digestOf(new Uint8Array()))).length).toBe(0);
    await store.close();
    const again = await open();
    const { digest } = await again.resolve(tagOf('v1'));
    expect(digest).toBe(image);
    expect((await again.listReferrers(digest)).map((entry) => entry.digest).sort()).toEqual(
      [signature, second.descriptor.digest].sort(),
    );
    await again.close();
    const names = (await entriesOf(path)).map(({ header }) => header.name);
    expect(new Set(names).size).toBe(names.length);
    expect(await readdir(directory.path)).toEqual(['image.tar']);
  });

  it('is not touched where nothing was changed', async () => {
    await written();
    const before = await stat(path);
    const store = await open(true);
    await pushImage(store, 'one', 'v1');
    await store.close();
    expect((await stat(path)).ino).toBe(before.ino);
    expect(await readdir(directory.path)).toEqual(['image.tar']);
  });

  it('stays as it was when the work is abandoned, or nothing was written', async () => {
    const store = await open(true);
    await pushImage(store, 'one', 'v1');
    await store.abandon();
    await (await open(true)).close();
    expect(await readdir(directory.path)).toEqual([]);
  });

  it('holds large blobs written at once, and one that failed leaves no trace', async () => {
    const blobs = Array.from({ length: 6 }, (_, at) => blobOf(`${at} `.repeat(100_000)));
    const store = await open(true);
    const broken = blobOf('broken '.repeat(50_000));
    const failing = store.pushBlob(broken.descriptor, async () =>
      streamOf(broken.bytes.subarray(0, 200_000)),
    );
    await Promise.all([
      ...blobs.map((blob) => pushBytes(store, blob)),
      expect(failing).rejects.toMatchObject({ code: 'content-invalid' }),
    ]);
    await pushBytes(store, blobs[0] as (typeof blobs)[0]);
    await pushImage(store, 'one', 'v1');
    await store.close();
    const again = await open();
    for (const { descriptor, bytes } of blobs) {
      expect(Buffer.from(await again.fetchBlob(descriptor, 1_000_000)).equals(bytes)).toBe(true);
    }
    await again.close();
    expect(await entriesOf(path)).toHaveLength(6 + 3 + 3);
  });

  it('keeps a blob by its sha512, whose name needs an extended header', async () => {
    const { bytes, descriptor } = blobOf('by another hash');
    const blob = { bytes, descriptor: { ...descriptor, digest: digestOf(bytes, 'sha512') } };
    const store = await open(true);
    await pushBytes(store, blob);
    await pushImage(store, 'one', 'v1');
    await store.close();
    const names = (await entriesOf(path)).map(({ header }) => header.name);
    expect(names).toContain(`blobs/sha512/${hexOf(blob.descriptor.digest)}`);
    expect((await (await open()).fetchBlob(blob.descriptor, 99)).byteLength).toBe(15);
  });

  it.each([
    [
      'with its list of repositories',
      ['repositories', `${'a'.repeat(64)}/json`, `${'a'.repeat(64)}/layer.tar`],
    ],
    [
      'without it, saved by an id',
      [`${'b'.repeat(64)}/VERSION`, `${'b'.repeat(64)}/json`, `${'b'.repeat(64)}/layer.tar`],
    ],
  ])('is refused as one by an old docker %s, and says what to do', async (_, names) => {
    const tar = pack();
    for (const name of names) tar.entry({ name }, '{}');
    tar.finalize();
    const pieces: Buffer[] = [];
    for await (const piece of tar) pieces.push(piece as Buffer);
    await writeFile(path, Buffer.concat(pieces));
    await expect(open()).rejects.toMatchObject({
      code: 'content-invalid',
      message: expect.stringContaining('before version 1.10'),
      hint: expect.stringContaining('docker load'),
    });
  });

  it('is read where it is compressed with gzip, and not written to', async () => {
    const { image } = await written();
    await writeFile(path, gzipSync(await readFile(path)));
    const store = await open(true);
    expect((await store.resolve(tagOf('v1'))).digest).toBe(image);
    await expect(pushImage(store, 'two')).rejects.toMatchObject({ code: 'usage' });
    await store.close();
    expect(await readdir(directory.path)).toEqual(['image.tar']);
  });

  it('lets one process write at a time, and loses nothing of either', async () => {
    await written();
    const children = ['one', 'two', 'three'].map((text) => runChild('layout/signing-child.ts', [path, text]));
    for (const child of children) expect(await child.ended).toMatchObject({ status: 0 });
    const store = await open();
    expect(await store.listReferrers((await store.resolve(tagOf('v1'))).digest)).toHaveLength(4);
    await store.close();
    expect(await readdir(directory.path)).toEqual(['image.tar']);
  });

  it('is whole after kill -9 of a writer, and the next one takes over', async () => {
    const { image } = await written();
    const child = runChild('layout/signing-child.ts', [path, 'never', 'wait']);
    await child.printed('pushed');
    child.process.kill('SIGKILL');
    await child.ended;
    expect((await (await open()).resolve(tagOf('v1'))).digest).toBe(image);
    const store = await open(true);
    await pushReferrer(store, await store.resolve(tagOf('v1')), 'second');
    await store.close();
    expect(await readdir(directory.path)).toEqual(['image.tar']);
  });

  it('stays as it was where there is no room', async () => {
    const { image } = await written();
    const child = runChild('layout/signing-child.ts', [path, 'x'.repeat(100_000)], 'ulimit -f 64;');
    expect((await child.ended).output).toMatch(/storage-error: .*room/);
    expect((await (await open()).resolve(tagOf('v1'))).digest).toBe(image);
    expect(await readdir(directory.path)).toEqual(['image.tar']);
  });

  it('carries an image from store to store unchanged', async () => {
    const source = new MemoryStore();
    const { index } = await pushIndex(source, 'app', 'v1');
    await pushReferrer(source, index.descriptor, 'signature');
    const archive = await open(true);
    await copy({ source, reference: tagOf('v1'), destination: archive, tag: tagOf('v1') });
    await archive.close();
    const back = new MemoryStore();
    const reading = await open();
    const result = await copy({
      source: reading,
      reference: tagOf('v1'),
      destination: back,
      tag: tagOf('v1'),
    });
    await reading.close();
    expect(result).toMatchObject({ root: index.descriptor, referrers: 1, warnings: [] });
  });
});

describe('manifest.json for docker', () => {
  async function dockerJson(): Promise<unknown> {
    const entry = (await entriesOf(path)).find(({ header }) => header.name === 'manifest.json');
    return JSON.parse(String(entry?.bytes));
  }

  it('names config, layers and the whole name', async () => {
    const store = await open(true, 'registry.example.com/team/app');
    const image = await pushImage(store, 'one', 'v1');
    await pushReferrer(store, image.descriptor, 'signature');
    await store.close();
    const parsed = JSON.parse(new TextDecoder().decode(image.bytes)) as {
      config: { digest: string };
      layers: { digest: string }[];
    };
    const blob = (digest: string): string => `blobs/${digest.replace(':', '/')}`;
    expect(await dockerJson()).toEqual([
      {
        Config: blob(parsed.config.digest),
        RepoTags: ['registry.example.com/team/app:v1'],
        Layers: parsed.layers.map(({ digest }) => blob(digest)),
      },
    ]);
    const again = await open(true);
    await pushReferrer(again, image.descriptor, 'second');
    await again.close();
    expect(await dockerJson()).toMatchObject([{ RepoTags: ['registry.example.com/team/app:v1'] }]);
  });

  it('names one platform of an index', async () => {
    const store = await open(true);
    await pushIndex(store, 'app', 'v1');
    await store.close();
    expect(await dockerJson()).toMatchObject([{ RepoTags: null }]);
  });
});

describe('hostile archives', () => {
  const file = (name: string, content = 'x'): TarEntry => ({ name, content });

  it.each<[string, () => Promise<Buffer>]>([
    ['a name that leads out', () => tarOf([file('../evil')])],
    ['a name that leads out further down', () => tarOf([file('blobs/../../evil')])],
    ['an absolute name', () => tarOf([file('/etc/passwd')])],
    [
      'index.json as a symbolic link',
      () => tarOf([file('oci-layout'), { name: 'index.json', type: 'symlink', linkname: '/etc/passwd' }]),
    ],
    [
      'index.json as a hard link',
      () => tarOf([file('oci-layout'), { name: 'index.json', type: 'link', linkname: 'oci-layout' }]),
    ],
    ['two entries of one name', () => tarOf([file('index.json', '{}'), file('index.json', '{"a":1}')])],
    ['two entries of one name, differently spelt', () => tarOf([file('index.json'), file('./index.json')])],
    [
      'two entries of one name, one a link',
      () => tarOf([file('index.json'), { name: 'index.json', type: 'symlink', linkname: 'x' }]),
    ],
    [
      'an extended header of a megabyte',
      () => tarOf([{ ...file('a'), pax: { path: 'a'.repeat(1_000_000) } }]),
    ],
    ['an extended header with a size that is none', () => tarOf([{ ...file('a'), pax: { size: '-1' } }])],
    [
      'an extended header with a size beyond the end',
      () => tarOf([{ ...file('a'), pax: { size: '9007199254740991' } }]),
    ],
    ['a name of many thousand characters', () => tarOf([file('a/'.repeat(10_000))])],
    ['nothing in it', async () => Buffer.alloc(0)],
    ['only an end', async () => Buffer.alloc(1024)],
    ['no layout in it', () => tarOf([file('readme')])],
    ['something that is no tar', async () => Buffer.alloc(4096, 'not a tar ')],
    ['a flipped bit in a header', async () => flip(await tarOf([file('index.json')]), 3)],
    ['a size that is not a number', async () => fill(await tarOf([file('index.json')]), 124, 'zzzzzzzzzzz')],
    ['zstd around it', async () => Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0])],
    ['gzip that is cut off', async () => gzipSync(await tarOf([file('readme')])).subarray(0, 40)],
    [
      'gzip around rubbish',
      async () => Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 0]), Buffer.alloc(99, 7)]),
    ],
    ['gzip that becomes a thousand times larger', async () => gzipSync(Buffer.alloc(80 * 1024 * 1024))],
    [
      'an unknown layout version',
      () =>
        tarOf([
          file('oci-layout', '{"imageLayoutVersion":"9"}'),
          file('index.json', '{"schemaVersion":2,"manifests":[]}'),
        ]),
    ],
  ])('are refused: %s', async (_, make) => {
    await writeFile(path, await make());
    await expect(open()).rejects.toMatchObject({ code: 'content-invalid', hint: expect.any(String) });
    expect(await readdir(directory.path)).toEqual(['image.tar']);
  });

  it('are refused wherever they are cut off', async () => {
    await written();
    const whole = await readFile(path);
    for (let length = 0; length < whole.byteLength - 1024; length += 512) {
      await writeFile(path, whole.subarray(0, length));
      await expect(open(), `${length} bytes`).rejects.toMatchObject({ code: 'content-invalid' });
    }
  });

  it('are refused where a manifest was changed', async () => {
    const { image } = await written();
    const whole = await readFile(path);
    const { digest } = await (await open()).resolve(tagOf('v1'));
    const at = whole.indexOf(`blobs/sha256/${hexOf(digest)}`);
    expect(image).toBe(digest);
    await writeFile(path, flip(whole, at + 512 + 30));
    await expect((await open()).resolve(tagOf('v1'))).rejects.toMatchObject({ code: 'content-invalid' });
  });

  it('is not there', async () => {
    await expect(open()).rejects.toMatchObject({ code: 'not-found' });
  });
});

function flip(bytes: Buffer, at: number): Buffer {
  const copied = Buffer.from(bytes);
  copied[at] = (copied[at] as number) ^ 1;
  return copied;
}

/** Puts text into the first header and gives that its right checksum. */
function fill(bytes: Buffer, at: number, text: string): Buffer {
  const copied = Buffer.from(bytes);
  copied.write(text, at);
  copied.write('        ', 148);
  const sum = copied.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  copied.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return copied;
}

describe('docker save', () => {
  const layers = ['first layer', 'second layer'];
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: layers.map((text) => digestOf(Buffer.from(text))) },
  });
  const configName = `${hexOf(digestOf(Buffer.from(config)))}.json`;

  /** As docker wrote it before version 25. */
  function saved(change: Record<string, unknown> = {}, second = layers[1]): Promise<Buffer> {
    const item = {
      Config: configName,
      RepoTags: ['team/app:v1', 'localhost:5000/app:v2'],
      Layers: ['aaa/layer.tar', 'bbb/layer.tar'],
      ...change,
    };
    return tarOf([
      { name: 'aaa/', type: 'directory' },
      { name: 'aaa/layer.tar', content: layers[0] as string },
      { name: 'bbb/layer.tar', content: second as string },
      { name: 'ccc/layer.tar', type: 'symlink', linkname: '../aaa/layer.tar' },
      { name: 'out/layer.tar', type: 'symlink', linkname: '../../../../etc/hostname' },
      { name: 'loop/layer.tar', type: 'symlink', linkname: '../loop/layer.tar' },
      { name: configName, content: config },
      { name: 'manifest.json', content: JSON.stringify([item]) },
      { name: 'repositories', content: '{}' },
    ]);
  }

  it('is read as an image of its config and layers, the same each time', async () => {
    await writeFile(path, await saved());
    const store = await open();
    const content = await store.fetchManifest(tagOf('v1'));
    expect((await store.resolve(tagOf('v2'))).digest).toBe(content.descriptor.digest);
    expect((await store.onlyImage()).digest).toBe(content.descriptor.digest);
    const destination = new MemoryStore();
    await copy({ source: store, reference: tagOf('v1'), destination, tag: tagOf('v1') });
    await store.close();
    expect(JSON.parse(new TextDecoder().decode(content.bytes))).toMatchObject({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { digest: `sha256:${configName.slice(0, 64)}` },
      layers: layers.map((text) => ({ digest: digestOf(Buffer.from(text)), size: text.length })),
    });
    const again = await open();
    expect((await again.resolve(tagOf('v1'))).digest).toBe(content.descriptor.digest);
    await again.close();
  });

  describe('of an image that was pulled for some of its platforms', () => {
    const [MANIFEST, INDEX] = [MEDIA_TYPES.ociManifest, MEDIA_TYPES.ociIndex];
    type File = { readonly name: string; readonly content: string };
    const files: File[] = [];
    const put = (content: string | object) => {
      const text = typeof content === 'string' ? content : JSON.stringify(content);
      const digest = digestOf(Buffer.from(text));
      files.push({ name: `blobs/sha256/${hexOf(digest)}`, content: text });
      return { digest, size: Buffer.byteLength(text) };
    };

    /** As docker with containerd's store, nerdctl and ctr write it. */
    async function partial(there: readonly string[], options: { attested?: true; plain?: true } = {}) {
      files.length = 0;
      const images = new Map<string, string>();
      const entries = ['amd64', 'arm64', 's390x'].map((architecture) => {
        const before = files.length;
        const layer = { mediaType: MEDIA_TYPES.ociLayer, ...put(`layer of ${architecture}`) };
        const image = { mediaType: MEDIA_TYPES.ociConfig, ...put({ os: 'linux', architecture }) };
        const manifest = put({ schemaVersion: 2, mediaType: MANIFEST, config: image, layers: [layer] });
        if (!there.includes(architecture)) files.splice(before);
        images.set(architecture, manifest.digest);
        return { mediaType: MANIFEST, ...manifest, platform: { os: 'linux', architecture } };
      });
      const before = files.length;
      const empty = { mediaType: MEDIA_TYPES.empty, ...put('{}') };
      const attestation = put({ schemaVersion: 2, mediaType: MANIFEST, config: empty, layers: [] });
      if (options.attested !== true) files.splice(before);
      const unknown = { os: 'unknown', architecture: 'unknown' };
      const manifests = [...entries, { mediaType: MANIFEST, ...attestation, platform: unknown }];
      const index = { mediaType: INDEX, ...put({ schemaVersion: 2, mediaType: INDEX, manifests }) };
      const annotations = { 'org.opencontainers.image.ref.name': 'v1' };
      await writeFile(
        path,
        await tarOf([
          ...files,
          { name: 'oci-layout', content: '{"imageLayoutVersion":"1.0.0"}' },
          {
            name: 'index.json',
            content: JSON.stringify({ schemaVersion: 2, manifests: [{ ...index, annotations }] }),
          },
          ...(options.plain === true ? [] : [{ name: 'manifest.json', content: '[]' }]),
        ]),
      );
      return { images, index: index.digest };
    }
    async function taken(): Promise<{ root: string; warnings: readonly string[] }> {
      const source = await open();
      try {
        const destination = new MemoryStore();
        const { root, warnings, left } = await copy({
          ...{ source, destination },
          ...{ reference: tagOf('v1'), tag: tagOf('v1') },
        });
        expect(left).toEqual([]);
        expect((await destination.resolve(tagOf('v1'))).digest).toBe(root.digest);
        return { root: root.digest, warnings };
      } finally {
        await source.close();
      }
    }

    it.each([
      ['amd64', {}],
      ['arm64', {}],
      ['s390x', {}],
      ['arm64', { attested: true }],
    ] as const)('gives the one that is there: %s, %j', async (architecture, options) => {
      const { images } = await partial([architecture], options);
      const { root, warnings } = await taken();
      expect(root).toBe(images.get(architecture));
      expect(warnings).toEqual([
        expect.stringContaining(`only the image for linux/${architecture}, of 3 that its index lists`),
      ]);
    });

    it('gives the whole where all is there', async () => {
      const { index } = await partial(['amd64', 'arm64', 's390x'], { attested: true });
      expect(await taken()).toEqual({ root: index, warnings: [] });
    });

    it.each<[string, string[], object]>([
      ['two of three', ['amd64', 's390x'], {}],
      ['none', [], {}],
      ['the attestation alone', [], { attested: true }],
      ['one, in an archive that docker did not write', ['amd64'], { plain: true }],
    ])('leaves the choice to the user: %s', async (_, there, options) => {
      await partial(there, options);
      await expect(taken()).rejects.toMatchObject({ code: 'content-invalid', hint: expect.any(String) });
    });
  });

  it('is read through the links that docker makes for layers that stand twice', async () => {
    const twice = JSON.stringify({ rootfs: { diff_ids: [digestOf(Buffer.from('first layer'))] } });
    await writeFile(
      path,
      await tarOf([
        { name: 'aaa/layer.tar', content: 'first layer' },
        { name: 'ccc/layer.tar', type: 'symlink', linkname: '../aaa/layer.tar' },
        { name: 'config.json', content: twice },
        {
          name: 'manifest.json',
          content: JSON.stringify([{ Config: 'config.json', Layers: ['ccc/layer.tar'] }]),
        },
      ]),
    );
    const store = await open();
    expect((await store.onlyImage()).size).toBeGreaterThan(0);
    await store.close();
  });

  it.each<[string, () => Promise<Buffer>]>([
    ['a changed layer', () => saved({}, 'second layeR')],
    ['a missing layer', () => saved({ Layers: ['aaa/layer.tar', 'zzz/layer.tar'] })],
    ['too few layers', () => saved({ Layers: ['aaa/layer.tar'] })],
    ['layers in another order', () => saved({ Layers: ['bbb/layer.tar', 'aaa/layer.tar'] })],
    ['a layer that is a link out of it', () => saved({ Layers: ['aaa/layer.tar', 'out/layer.tar'] })],
    ['a layer that is a link to itself', () => saved({ Layers: ['aaa/layer.tar', 'loop/layer.tar'] })],
    ['a layer named by a path out of it', () => saved({ Layers: ['aaa/layer.tar', '../../etc/hostname'] })],
    ['a config that is another file', () => saved({ Config: 'repositories' })],
    ['a missing config', () => saved({ Config: 'nothing.json' })],
    ['a manifest.json that is no list', () => tarOf([{ name: 'manifest.json', content: '{}' }])],
  ])('is refused with %s', async (_, make) => {
    await writeFile(path, await make());
    await expect(open()).rejects.toMatchObject({ code: 'content-invalid', hint: expect.any(String) });
  });
});
