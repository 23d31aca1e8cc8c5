import { describe, expect, it } from 'vitest';
import { type CopyOptions, type CopyResult, copy } from '../../../src/actions/copy/copy.ts';
import type { CopyEvent } from '../../../src/actions/copy/progress.ts';
import { base64, utf8 } from '../../../src/encoding/bytes.ts';
import { BullaError } from '../../../src/errors.ts';
import {
  type Descriptor,
  describe as describeBytes,
  EMPTY_BYTES,
  EMPTY_DESCRIPTOR,
} from '../../../src/oci/descriptor.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { buildArtifact, buildIndex, type ManifestContent } from '../../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-types.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { parsePlatform } from '../../../src/oci/platform.ts';
import { cosignTags } from '../../../src/oci/reference.ts';
import type { Target } from '../../../src/oci/target.ts';
import {
  blobOf,
  imageOf,
  pushBytes,
  pushImage,
  pushIndex,
  pushReferrer,
  tagOf,
} from '../../support/content.ts';
import { recording } from '../../support/recording-target.ts';

const V1 = tagOf('v1');

function run(source: Target, destination: Target, more: Partial<CopyOptions> = {}): Promise<CopyResult> {
  return copy({ source, destination, reference: V1, tag: V1, ...more });
}

/** An index of two images, with signatures on all three, one on a signature, and cosign's tags. */
async function richSource(): Promise<{
  source: MemoryStore;
  index: ManifestContent;
  images: readonly ManifestContent[];
  signature: ManifestContent;
  nested: ManifestContent;
}> {
  const source = new MemoryStore('source');
  const { index, images } = await pushIndex(source, 'app', 'v1');
  const signature = await pushReferrer(source, index.descriptor, 'signature');
  for (const [at, image] of images.entries()) await pushReferrer(source, image.descriptor, `platform ${at}`);
  const nested = await pushReferrer(source, signature.descriptor, 'countersignature');
  await pushImage(source, 'cosign signature', cosignTags(index.descriptor.digest)[0]);
  await pushImage(source, 'cosign sbom', cosignTags((images[0] as ManifestContent).descriptor.digest)[2]);
  return { source, index, images, signature, nested };
}

async function referrersAt(target: Target, digest: Digest): Promise<number> {
  return (await target.listReferrers(digest)).length;
}

/** Has the source list and serve what no store would take. */
function plant(source: MemoryStore, subject: Digest, listed: readonly Descriptor[], bytes: Uint8Array): void {
  const { listReferrers, fetchManifest } = source;
  source.listReferrers = async (digest, options) =>
    digest === subject ? listed : listReferrers.call(source, digest, options);
  source.fetchManifest = async (reference, options) => {
    const descriptor = listed.find(({ digest }) => digest === reference);
    return descriptor === undefined ? fetchManifest.call(source, reference, options) : { descriptor, bytes };
  };
}

describe('copy', () => {
  it('leaves out nonsense that somebody has pushed beside the image', async () => {
    const source = new MemoryStore('source');
    const image = await pushImage(source, 'app', 'v1');
    const bytes = utf8('{"schemaVersion":2,"layers":"none"}');
    const listed = [describeBytes(MEDIA_TYPES.ociManifest, bytes)];
    plant(source, image.descriptor.digest, listed, bytes);
    const destination = new MemoryStore('destination');
    const result = await run(source, destination);
    expect(result.warnings).toHaveLength(1);
    expect((await destination.resolve(V1)).digest).toBe(image.descriptor.digest);
  });

  it('fetches nothing from a list without sane bounds', async () => {
    const source = new MemoryStore('source');
    const image = await pushImage(source, 'app', 'v1');
    const bytes = utf8('{}');
    const entry = describeBytes(MEDIA_TYPES.ociManifest, bytes);
    plant(
      source,
      image.descriptor.digest,
      Array.from({ length: 20_001 }, () => entry),
      bytes,
    );
    const { target, calls } = recording(source);
    await expect(run(target, new MemoryStore('destination'))).rejects.toMatchObject({
      code: 'content-invalid',
    });
    expect(calls.filter((call) => call.startsWith('fetchManifest'))).toHaveLength(1);
  });

  it('brings index, platforms, what refers to them and to that, and the tags of cosign', async () => {
    const { source, index, images, signature, nested } = await richSource();
    const destination = new MemoryStore('destination');
    const result = await run(source, destination);
    expect(result).toMatchObject({ root: index.descriptor, tag: V1, tagMoved: true, warnings: [] });
    expect(result.referrers).toBe(4 + 2);
    expect(Buffer.from((await destination.fetchManifest(V1)).bytes)).toEqual(Buffer.from(index.bytes));
    for (const { descriptor } of [index, ...images]) {
      expect(await referrersAt(destination, descriptor.digest)).toBe(1);
    }
    expect(await destination.listReferrers(signature.descriptor.digest)).toMatchObject([
      { digest: nested.descriptor.digest },
    ]);
    expect([...(await destination.listTags())].sort()).toEqual([...(await source.listTags())].sort());
  });

  it('sends nothing the second time, and asks little', async () => {
    const source = new MemoryStore('source');
    const image = await pushImage(source, 'app', 'v1');
    await pushReferrer(source, image.descriptor, 'signature');
    const destination = new MemoryStore('destination');
    await run(source, destination);
    const [from, to] = [recording(source), recording(destination)];
    const result = await run(from.target, to.target);
    expect(result).toMatchObject({ tagMoved: false, pushed: { content: 0, bytes: 0 } });
    expect(to.calls.map((call) => call.split(' ')[0]).sort()).toEqual([
      'listReferrers',
      'resolve',
      'resolve',
    ]);
    expect(from.calls.map((call) => call.split(' ')[0]).sort()).toEqual([
      ...Array<string>(5).fill('fetchManifest'),
      ...Array<string>(2).fill('listReferrers'),
    ]);
  });

  it('brings what was signed after the first copy', async () => {
    const { source, index, nested } = await richSource();
    const destination = new MemoryStore('destination');
    await run(source, destination);
    await pushReferrer(source, index.descriptor, 'later');
    await pushReferrer(source, nested.descriptor, 'much later');
    const result = await run(source, destination);
    expect(result.pushed.content).toBe(4);
    expect(await referrersAt(destination, index.descriptor.digest)).toBe(2);
    expect(await referrersAt(destination, nested.descriptor.digest)).toBe(1);
  });

  it('pushes parts before what is made of them, then what refers to them, the tag last', async () => {
    const { source, index, images, signature, nested } = await richSource();
    const to = recording(new MemoryStore('destination'));
    await run(source, to.target);
    const at = (content: ManifestContent): number =>
      to.calls.indexOf(`pushManifest ${content.descriptor.digest}`);
    for (const image of images) expect(at(image)).toBeLessThan(at(index));
    expect(at(index)).toBeLessThan(at(signature));
    expect(at(signature)).toBeLessThan(at(nested));
    expect(to.calls.at(-1)).toBe(`pushManifest ${index.descriptor.digest} as v1`);
  });

  it('leaves out what refers to the image where that is asked for', async () => {
    const { source, index } = await richSource();
    const [from, destination] = [recording(source), new MemoryStore('destination')];
    const result = await run(from.target, destination, { referrers: false });
    expect(result.referrers).toBe(0);
    expect(from.of('listReferrers')).toEqual([]);
    expect(await referrersAt(destination, index.descriptor.digest)).toBe(0);
    expect(await destination.listTags()).toEqual(['v1']);
  });

  it('copies by digest, without a tag', async () => {
    const { source, index } = await richSource();
    const destination = new MemoryStore('destination');
    await run(source, destination, { reference: index.descriptor.digest, tag: undefined, referrers: false });
    expect(await destination.listTags()).toEqual([]);
    expect((await destination.resolve(index.descriptor.digest)).size).toBe(index.descriptor.size);
  });

  it('moves a tag that names something else', async () => {
    const source = new MemoryStore('source');
    const image = await pushImage(source, 'new', 'v1');
    const destination = new MemoryStore('destination');
    await pushImage(destination, 'old', 'v1');
    expect((await run(source, destination)).tagMoved).toBe(true);
    expect((await destination.resolve(V1)).digest).toBe(image.descriptor.digest);
  });

  it('writes nothing on a dry run, and says what it would do', async () => {
    const { source } = await richSource();
    const destination = new MemoryStore('destination');
    const to = recording(destination);
    const dry = await run(source, to.target, { dryRun: true });
    expect([...to.of('pushBlob'), ...to.of('pushManifest')]).toEqual([]);
    expect(await destination.listTags()).toEqual([]);
    const real = await run(source, destination);
    expect(dry).toEqual(real);
  });

  it('signs after everything is there and before the tag moves', async () => {
    const { source, index } = await richSource();
    const destination = new MemoryStore('destination');
    let asked: unknown;
    await run(source, destination, {
      beforeTag: async (root) => {
        asked = await destination.resolve(V1).catch((error: BullaError) => error.code);
        await pushReferrer(destination, root.descriptor, 'by the destination');
      },
    });
    expect(asked).toBe('not-found');
    expect(await referrersAt(destination, index.descriptor.digest)).toBe(2);
  });

  it('asks to mount blobs within one registry, and only there', async () => {
    const source = Object.assign(new MemoryStore('source'), {
      mount: { registry: 'registry.example.com', repository: 'team/app' },
    });
    await pushImage(source, 'app', 'v1');
    for (const [registry, expected] of [
      ['registry.example.com', ['team/app']],
      ['other.example.com', []],
    ] as const) {
      const destination = Object.assign(new MemoryStore('destination'), {
        mount: { registry, repository: 'copy/app' },
      });
      const asked: unknown[] = [];
      const push = destination.pushBlob.bind(destination);
      destination.pushBlob = (descriptor, open, options) => {
        asked.push(options?.mountFrom);
        return push(descriptor, open, options);
      };
      await run(source, destination);
      expect(asked).toEqual([expected, expected]);
    }
  });

  it('does not fetch blobs that a manifest carries itself', async () => {
    const source = new MemoryStore('source');
    const blob = blobOf('inline');
    await pushBytes(source, blob);
    await pushBytes(source, { descriptor: EMPTY_DESCRIPTOR, bytes: EMPTY_BYTES });
    const artifact = buildArtifact({
      artifactType: 'application/vnd.example',
      layers: [{ ...blob.descriptor, data: base64(blob.bytes) }],
    });
    await source.pushManifest(artifact, { tag: V1 });
    const from = recording(source);
    await run(from.target, new MemoryStore('destination'));
    expect(from.of('openBlob')).toEqual([`openBlob ${EMPTY_DESCRIPTOR.digest}`]);
  });

  it('leaves foreign layers where they are', async () => {
    const source = new MemoryStore('source');
    const config = blobOf('{}', MEDIA_TYPES.ociConfig);
    await pushBytes(source, config);
    const foreign = {
      ...blobOf('licensed').descriptor,
      mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
      urls: ['https://example.com/layer'],
    };
    await source.pushManifest(imageOf(config.descriptor, [foreign]), { tag: V1 });
    const destination = new MemoryStore('destination');
    expect((await run(source, destination)).skipped.content).toBe(1);
    expect(await destination.hasBlob(foreign)).toBe(false);
  });

  it('copies an index that refers to one of its own children', async () => {
    const source = new MemoryStore('source');
    const image = await pushImage(source, 'app', 'v1');
    const circle = buildIndex({ manifests: [image.descriptor], subject: image.descriptor });
    await source.pushManifest(circle);
    const destination = new MemoryStore('destination');
    await run(source, destination);
    expect(await destination.listReferrers(image.descriptor.digest)).toMatchObject([
      { digest: circle.descriptor.digest },
    ]);
  });
});

describe('copy of one platform', () => {
  it('makes that manifest the root, with what refers to it', async () => {
    const { source, images } = await richSource();
    const destination = new MemoryStore('destination');
    const result = await run(source, destination, { platform: parsePlatform('linux/arm64') });
    const [, arm] = images as [ManifestContent, ManifestContent];
    expect(result.root).toEqual(arm.descriptor);
    expect((await destination.resolve(V1)).digest).toBe(arm.descriptor.digest);
    expect(await referrersAt(destination, arm.descriptor.digest)).toBe(1);
  });

  it.each([
    ['an index without it', 'v1', 'linux/s390x', 'linux/amd64, linux/arm64'],
    ['an image of another one', 'one', 'linux/arm64', '--platform'],
  ])('says not-found for %s', async (_, tag, platform, hint) => {
    const source = new MemoryStore('source');
    await pushIndex(source, 'app', 'v1');
    await pushImage(source, 'app', 'one');
    const copying = run(source, new MemoryStore(), {
      reference: tagOf(tag),
      platform: parsePlatform(platform),
    });
    await expect(copying).rejects.toMatchObject({
      code: 'not-found',
      hint: expect.stringContaining(hint),
    });
  });

  it('does not choose between two that fit', async () => {
    const source = new MemoryStore('source');
    const images = [await pushImage(source, 'v6'), await pushImage(source, 'v7')];
    const manifests = images.map(({ descriptor }, at) => ({
      ...descriptor,
      platform: { os: 'linux', architecture: 'arm', variant: `v${6 + at}` },
    }));
    await source.pushManifest(buildIndex({ manifests }), { tag: V1 });
    const copying = (text: string): Promise<CopyResult> =>
      run(source, new MemoryStore(), { platform: parsePlatform(text) });
    await expect(copying('linux/arm')).rejects.toMatchObject({
      code: 'not-found',
      hint: expect.stringContaining('linux/arm/v7'),
    });
    expect((await copying('linux/arm/v7')).root.digest).toBe(images[1]?.descriptor.digest);
  });

  it('takes an image that is of that platform', async () => {
    const source = new MemoryStore('source');
    await pushImage(source, 'app', 'v1');
    await run(source, new MemoryStore(), { platform: parsePlatform('linux/amd64') });
  });

  it.each(['linux', 'linux/', 'Linux/amd64', 'linux/arm/v7/x', ''])('refuses the platform "%s"', (text) => {
    expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});

describe('copy and what goes wrong', () => {
  it('ends complete when it is run again after breaking at any point', async () => {
    const { source } = await richSource();
    const whole = new MemoryStore('whole');
    const { calls, target } = recording(whole);
    await run(source, target);
    const writes = calls.filter((call) => call.startsWith('push')).length;
    for (let breakAt = 1; breakAt <= writes; breakAt++) {
      const destination = new MemoryStore('destination');
      let left = breakAt;
      const breaking = recording(destination, (method) => {
        if (method.startsWith('push') && --left <= 0) throw new BullaError('timeout', 'gone', { hint: 'x' });
      });
      await expect(run(source, breaking.target)).rejects.toMatchObject({ code: 'timeout' });
      await expect(destination.resolve(V1)).rejects.toMatchObject({ code: 'not-found' });
      await run(source, destination);
      expect(JSON.stringify(await contentsOf(destination))).toBe(JSON.stringify(await contentsOf(whole)));
    }
  });

  it('starts nothing new after a failure, and ends what it began', async () => {
    const source = new MemoryStore('source');
    const layers = Array.from({ length: 40 }, (_, at) => blobOf(`layer ${at}`));
    const config = blobOf('{}', MEDIA_TYPES.ociConfig);
    for (const blob of [config, ...layers]) await pushBytes(source, blob);
    const image = imageOf(
      config.descriptor,
      layers.map(({ descriptor }) => descriptor),
    );
    await source.pushManifest(image, { tag: V1 });
    let open = 0;
    const to = recording(new MemoryStore(), async (method) => {
      if (method !== 'pushBlob') return;
      open++;
      await new Promise((resolve) => setImmediate(resolve));
      open--;
      throw new BullaError('registry-unreachable', 'gone', { hint: 'x' });
    });
    await expect(run(source, to.target, { concurrency: 4 })).rejects.toMatchObject({
      code: 'registry-unreachable',
    });
    expect(open).toBe(0);
    expect(to.of('pushBlob').length).toBeLessThanOrEqual(8);
  });

  it('never has more under way than it may', async () => {
    const { source } = await richSource();
    let open = 0;
    let most = 0;
    const slow = async (): Promise<void> => {
      most = Math.max(most, ++open);
      await new Promise((resolve) => setImmediate(resolve));
      open--;
    };
    await run(recording(source, slow).target, recording(new MemoryStore(), slow).target, { concurrency: 3 });
    // A push reads from the source while it writes to the destination.
    expect(most).toBeLessThanOrEqual(6);
  });

  it('stops when it is told to, and says so', async () => {
    const { source } = await richSource();
    const controller = new AbortController();
    const to = recording(new MemoryStore(), (method) => {
      if (method === 'pushBlob') controller.abort();
    });
    const copying = run(source, to.target, { signal: controller.signal });
    await expect(copying).rejects.toMatchObject({ code: 'interrupted' });
    expect(to.of('pushManifest')).toEqual([]);
  });

  it.each<[string, string, 'registry-throttled' | 'unauthorized']>([
    ['the list of referrers is throttled', 'listReferrers', 'registry-throttled'],
    ['the list of referrers is refused', 'listReferrers', 'unauthorized'],
    ['a manifest is throttled', 'fetchManifest', 'registry-throttled'],
    ['a blob is refused', 'openBlob', 'unauthorized'],
  ])('fails where %s at the source, and moves no tag', async (_, failing, code) => {
    const { source } = await richSource();
    const from = recording(source, (method) => {
      if (method === failing) throw new BullaError(code, 'no', { hint: 'x' });
    });
    const destination = new MemoryStore();
    await expect(run(from.target, destination)).rejects.toMatchObject({ code });
    expect(await destination.listTags()).toEqual([]);
  });

  it('says not-found for a tag that is not there', async () => {
    const copying = run(new MemoryStore(), new MemoryStore());
    await expect(copying).rejects.toMatchObject({ code: 'not-found' });
  });

  it('says content-invalid, not not-found, where the source lacks a platform', async () => {
    const { source, images } = await richSource();
    await source.deleteManifest((images[0] as ManifestContent).descriptor.digest);
    await expect(run(source, new MemoryStore())).rejects.toMatchObject({ code: 'content-invalid' });
  });

  it('says content-invalid where the source lacks a blob', async () => {
    const { source } = await richSource();
    const from = recording(source, (method) => {
      if (method === 'openBlob') throw new BullaError('not-found', 'no such blob', { hint: 'x' });
    });
    await expect(run(from.target, new MemoryStore())).rejects.toMatchObject({ code: 'content-invalid' });
  });

  it('refuses a source that hands out other bytes', async () => {
    const { source } = await richSource();
    const evil = Object.assign(new MemoryStore('evil'), {
      resolve: source.resolve.bind(source),
      fetchManifest: source.fetchManifest.bind(source),
      listReferrers: source.listReferrers.bind(source),
      openBlob: async (descriptor: Descriptor) => [new Uint8Array(descriptor.size)] as never,
    });
    const destination = new MemoryStore();
    await expect(run(evil, destination)).rejects.toMatchObject({ code: 'content-invalid' });
    expect(await destination.listTags()).toEqual([]);
  });
});

describe('copy and hostile lists of referrers', () => {
  async function withListed(...entries: Descriptor[]): Promise<{ source: Target; image: ManifestContent }> {
    const source = new MemoryStore('source');
    const image = await pushImage(source, 'app', 'v1');
    source.listReferrers = async (digest) => (digest === image.descriptor.digest ? entries : []);
    await pushImage(source, 'something else');
    return { source, image };
  }

  it('does not copy what does not refer to the image, whatever the list says', async () => {
    const other = await pushImage(new MemoryStore(), 'something else');
    const { source } = await withListed(other.descriptor);
    const destination = new MemoryStore();
    const result = await run(source, destination);
    expect(result.warnings).toEqual([expect.stringContaining('and does not')]);
    await expect(destination.resolve(other.descriptor.digest)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('goes on where an entry dangles, and says so', async () => {
    const { source } = await withListed({ ...imageOf(blobOf('x').descriptor, []).descriptor });
    const result = await run(source, new MemoryStore());
    expect(result.warnings).toEqual([expect.stringContaining('is not there')]);
  });

  it('does not ask for entries that are no manifests', async () => {
    const { source } = await withListed(blobOf('x', 'application/octet-stream').descriptor);
    const result = await run(source, new MemoryStore());
    expect(result.warnings).toEqual([expect.stringContaining('not supported')]);
  });

  it('does not follow a chain without end', async () => {
    const source = new MemoryStore('source');
    let last = await pushImage(source, 'app', 'v1');
    for (let at = 0; at < 20; at++) last = await pushReferrer(source, last.descriptor, `link ${at}`);
    await expect(run(source, new MemoryStore())).rejects.toMatchObject({ code: 'content-invalid' });
  });

  it('does not follow indexes in indexes without end', async () => {
    const source = new MemoryStore('source');
    let last = await pushImage(source, 'app');
    for (let at = 0; at < 20; at++) {
      last = buildIndex({ manifests: [last.descriptor] });
      await source.pushManifest(last, { tag: V1 });
    }
    await expect(run(source, new MemoryStore())).rejects.toMatchObject({ code: 'content-invalid' });
  });
});

describe('copy and destinations that lose things', () => {
  it('pushes referrers again until they are listed', async () => {
    const { source, index } = await richSource();
    const destination = new MemoryStore();
    const list = destination.listReferrers.bind(destination);
    let lost = 2;
    destination.listReferrers = async (digest, options) =>
      digest === index.descriptor.digest && lost-- > 0 ? [] : await list(digest, options);
    const to = recording(destination);
    await run(source, to.target);
    expect(lost).toBeLessThanOrEqual(0);
    expect((await destination.resolve(V1)).digest).toBe(index.descriptor.digest);
  });

  it('fails, and moves no tag, where they are never listed', async () => {
    const { source } = await richSource();
    const destination = new MemoryStore();
    destination.listReferrers = async () => [];
    await expect(run(source, destination)).rejects.toMatchObject({ code: 'registry-error' });
    await expect(destination.resolve(V1)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('brings a referrer that is listed there and is gone', async () => {
    const { source, index, signature } = await richSource();
    const destination = new MemoryStore();
    await run(source, destination);
    await destination.deleteManifest(signature.descriptor.digest);
    const list = destination.listReferrers.bind(destination);
    destination.listReferrers = async (digest, options) => [
      ...(await list(digest, options)),
      ...(digest === index.descriptor.digest ? [signature.descriptor] : []),
    ];
    await run(source, destination);
    expect((await destination.resolve(signature.descriptor.digest)).size).toBeGreaterThan(0);
  });

  it('does not drop signatures of cosign that only the destination has', async () => {
    const { source, index } = await richSource();
    const [tag] = cosignTags(index.descriptor.digest);
    const destination = new MemoryStore('destination');
    const theirs = await pushImage(destination, 'signed there', tag);
    const result = await run(source, destination);
    expect(result.warnings).toEqual([expect.stringContaining(tag as string)]);
    expect((await destination.resolve(tagOf(tag as string))).digest).toBe(theirs.descriptor.digest);
  });
});

describe('progress of a copy', () => {
  it('plans everything once, and ends each piece once', async () => {
    const { source } = await richSource();
    const destination = new MemoryStore();
    for (const dryRun of [true, false, false]) {
      const events: CopyEvent[] = [];
      await run(source, destination, { dryRun, onEvent: (event) => events.push(event) });
      const planned = events.filter((event) => event.kind === 'planned');
      const ended = events.filter((event) => event.kind === 'done' || event.kind === 'skip');
      const digests = ended.map((event) => event.descriptor.digest);
      expect(planned).toHaveLength(1);
      expect(new Set(digests).size).toBe(digests.length);
      expect(planned[0]).toMatchObject({
        content: ended.length,
        bytes: ended.reduce((sum, event) => sum + event.descriptor.size, 0),
      });
    }
  });

  it('tells how many bytes of a blob have come by', async () => {
    const source = new MemoryStore();
    const config = blobOf('{}', MEDIA_TYPES.ociConfig);
    const layer = blobOf('0123456789');
    await pushBytes(source, config);
    await pushBytes(source, layer);
    await source.pushManifest(imageOf(config.descriptor, [layer.descriptor]), { tag: V1 });
    source.openBlob = async (descriptor) =>
      descriptor.digest === layer.descriptor.digest
        ? ([utf8('0123'), utf8('456789')] as unknown as AsyncIterable<Uint8Array>)
        : ([utf8('{}')] as unknown as AsyncIterable<Uint8Array>);
    const events: CopyEvent[] = [];
    await run(source, new MemoryStore(), { onEvent: (event) => events.push(event) });
    const ofLayer = events.filter(
      (event) => 'descriptor' in event && event.descriptor.digest === layer.descriptor.digest,
    );
    expect(ofLayer.map((event) => [event.kind, 'bytes' in event ? event.bytes : undefined])).toEqual([
      ['start', undefined],
      ['progress', 4],
      ['progress', 10],
      ['done', 10],
    ]);
  });
});

async function contentsOf(store: Target): Promise<unknown> {
  const tags = [...(await store.listTags())].sort();
  return await Promise.all(
    tags.map(async (tag) => {
      const { digest } = await store.resolve(tag);
      const listed = (await store.listReferrers(digest)).map((entry) => entry.digest).sort();
      return { tag, digest, listed };
    }),
  );
}
