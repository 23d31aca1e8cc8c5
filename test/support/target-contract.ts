import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { type ErrorCode, isBullaError } from '../../src/errors.ts';
import { streamOf } from '../../src/oci/content.ts';
import { EMPTY_DESCRIPTOR } from '../../src/oci/descriptor.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { fallbackTag } from '../../src/oci/reference.ts';
import type { Target } from '../../src/oci/target.ts';
import {
  blobOf,
  imageOf,
  pushBytes,
  pushImage,
  pushIndex,
  pushReferrer,
  SIGNATURE_TYPE,
  tagOf,
} from './content.ts';

/** A fresh, empty target and how to get rid of it; `target.close()` is called by the contract. */
export interface OpenedTarget {
  readonly target: Target;
  dispose?(): Promise<void>;
}

/** What not every other side can do; all of it is expected if left out. */
export interface TargetAbilities {
  /** `expected` of pushManifest is honoured. */
  readonly conditions?: boolean;
  /** A tag can be removed without its manifest. */
  readonly deletesTags?: boolean;
  /** A manifest can be removed. */
  readonly deletesManifests?: boolean;
  /** A manifest whose parts are not there is refused. */
  readonly checksParts?: boolean;
  /** A digest may be sha512. */
  readonly sha512?: boolean;
}

const NOWHERE = digestOf(utf8('nobody pushed this'));
const ALL: Required<TargetAbilities> = {
  conditions: true,
  deletesTags: true,
  deletesManifests: true,
  checksParts: true,
  sha512: true,
};

/** What every {@link Target} must do: the same tests for memory, layout, archive and registries. */
export function describeTarget(
  name: string,
  open: () => Promise<OpenedTarget>,
  abilities: TargetAbilities = {},
): void {
  const able = { ...ALL, ...abilities };
  describe(`${name} as a Target`, () => {
    let opened: OpenedTarget;
    let target: Target;
    beforeEach(async () => {
      opened = await open();
      target = opened.target;
    });
    afterEach(async () => {
      await target.close();
      await opened.dispose?.();
    });

    describeManifests(() => target);
    describeBlobs(() => target, able);
    describeReferrers(() => target);
    describeRefusals(() => target, able);
    if (able.conditions) describeConditions(() => target);
    if (able.deletesManifests) describeDeletion(() => target, able);
  });
}

async function codeOf(work: Promise<unknown>): Promise<ErrorCode | 'success'> {
  try {
    await work;
    return 'success';
  } catch (error) {
    if (!isBullaError(error)) throw error;
    expect(error.hint, `hint of: ${error.message}`).toBeTruthy();
    return error.code;
  }
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

function digests(entries: readonly { readonly digest: Digest }[]): readonly Digest[] {
  return entries.map((entry) => entry.digest).sort();
}

function describeManifests(target: () => Target): void {
  it('gives a manifest back byte by byte, by tag and by digest', async () => {
    const image = await pushImage(target(), 'one', 'v1');
    for (const reference of [tagOf('v1'), image.descriptor.digest]) {
      const found = await target().fetchManifest(reference);
      expect(Buffer.from(found.bytes)).toEqual(Buffer.from(image.bytes));
      expect(found.descriptor).toMatchObject(image.descriptor);
      expect(await target().resolve(reference)).toMatchObject(image.descriptor);
    }
  });

  it('keeps a manifest that was pushed without a tag', async () => {
    const image = await pushImage(target(), 'untagged');
    expect((await target().resolve(image.descriptor.digest)).digest).toBe(image.descriptor.digest);
    expect(await target().listTags()).toEqual([]);
  });

  it.each([['tag', tagOf('nothing')] as const, ['digest', NOWHERE] as const])(
    'says not-found for an unknown %s',
    async (_, reference) => {
      await pushImage(target(), 'something', 'else');
      expect(await codeOf(target().resolve(reference))).toBe('not-found');
      expect(await codeOf(target().fetchManifest(reference))).toBe('not-found');
    },
  );

  it('says not-found for a tag when nothing was ever pushed', async () => {
    expect(await codeOf(target().resolve(tagOf('v1')))).toBe('not-found');
    expect(await codeOf(target().fetchManifestUnless(tagOf('v1'), NOWHERE))).toBe('not-found');
  });

  it('moves a tag and keeps the manifest that it named before', async () => {
    const before = await pushImage(target(), 'before', 'latest');
    const after = await pushImage(target(), 'after', 'latest');
    expect((await target().resolve(tagOf('latest'))).digest).toBe(after.descriptor.digest);
    expect((await target().resolve(before.descriptor.digest)).digest).toBe(before.descriptor.digest);
  });

  it('answers fetchManifestUnless with nothing while the tag is what is known', async () => {
    const before = await pushImage(target(), 'before', 'latest');
    expect(await target().fetchManifestUnless(tagOf('latest'), before.descriptor.digest)).toBeUndefined();
    const after = await pushImage(target(), 'after', 'latest');
    const found = await target().fetchManifestUnless(tagOf('latest'), before.descriptor.digest);
    expect(found?.descriptor.digest).toBe(after.descriptor.digest);
  });

  it('keeps an index and its children', async () => {
    const { index, images } = await pushIndex(target(), 'multi', 'v1');
    expect((await target().resolve(tagOf('v1'))).mediaType).toBe(index.descriptor.mediaType);
    for (const image of images) {
      const found = await target().fetchManifest(image.descriptor.digest);
      expect(Buffer.from(found.bytes)).toEqual(Buffer.from(image.bytes));
    }
  });

  it('lists every tag once, several of one manifest too', async () => {
    const image = await pushImage(target(), 'one', 'v1');
    await target().pushManifest(image, { tag: tagOf('v1.0') });
    await target().pushManifest(image, { tag: tagOf('v1') });
    await pushImage(target(), 'two', '_v2');
    expect([...(await target().listTags())].sort()).toEqual(['_v2', 'v1', 'v1.0']);
  });

  it('lists at least the tags after `last`', async () => {
    const image = await pushImage(target(), 'one', 'a');
    for (const tag of ['b', 'c']) await target().pushManifest(image, { tag: tagOf(tag) });
    const after = await target().listTags({ last: tagOf('a') });
    expect(after).toEqual(expect.arrayContaining(['b', 'c']));
  });

  it('stops when it is told to', async () => {
    const image = await pushImage(target(), 'one', 'v1');
    const signal = AbortSignal.abort();
    expect(await codeOf(target().fetchManifest(tagOf('v1'), { signal }))).toBe('interrupted');
    expect(await codeOf(target().pushManifest(image, { signal }))).toBe('interrupted');
  });
}

function describeBlobs(target: () => Target, able: Required<TargetAbilities>): void {
  it('takes a blob once and gives it back', async () => {
    const blob = blobOf('some bytes');
    expect(await target().hasBlob(blob.descriptor)).toBe(false);
    expect(await pushBytes(target(), blob)).toBe('pushed');
    expect(await target().hasBlob(blob.descriptor)).toBe(true);
    expect(await pushBytes(target(), blob)).toBe('exists');
    expect(await collect(await target().openBlob(blob.descriptor))).toBe('some bytes');
    expect(Buffer.from(await target().fetchBlob(blob.descriptor, 100)).toString()).toBe('some bytes');
  });

  it('takes an empty blob', async () => {
    const blob = blobOf('');
    await pushBytes(target(), blob);
    expect(await collect(await target().openBlob(blob.descriptor))).toBe('');
  });

  it('takes a blob in many pieces', async () => {
    const text = 'piece '.repeat(50_000);
    const blob = blobOf(text);
    await target().pushBlob(blob.descriptor, async () => pieces(blob.bytes, 7_001));
    expect((await collect(await target().openBlob(blob.descriptor))) === text).toBe(true);
  });

  it('lets a stream be dropped half-way', async () => {
    const blob = blobOf('piece '.repeat(50_000));
    await pushBytes(target(), blob);
    for await (const piece of await target().openBlob(blob.descriptor)) {
      expect(piece.byteLength).toBeGreaterThan(0);
      break;
    }
    expect(await target().hasBlob(blob.descriptor)).toBe(true);
  });

  it('says not-found for a blob that is not there', async () => {
    const { descriptor } = blobOf('absent');
    expect(await codeOf(target().fetchBlob(descriptor, 100))).toBe('not-found');
    expect(await codeOf(openAndRead(target(), descriptor))).toBe('not-found');
  });

  it('refuses to fetch a blob that is larger than the bound', async () => {
    const blob = blobOf('0123456789');
    await pushBytes(target(), blob);
    expect(await codeOf(target().fetchBlob(blob.descriptor, 9))).toBe('content-invalid');
    expect((await target().fetchBlob(blob.descriptor, 10)).byteLength).toBe(10);
  });

  it('refuses to read a blob whose descriptor lies about its size', async () => {
    const blob = blobOf('0123456789');
    await pushBytes(target(), blob);
    for (const size of [9, 11]) {
      const lying = { ...blob.descriptor, size };
      expect(await codeOf(target().fetchBlob(lying, 100)), `${size}`).toBe('content-invalid');
      expect(await codeOf(openAndRead(target(), lying)), `${size}`).toBe('content-invalid');
    }
  });

  if (able.sha512) {
    it('keeps a blob by its sha512', async () => {
      const { bytes, descriptor } = blobOf('by another hash');
      const blob = { bytes, descriptor: { ...descriptor, digest: digestOf(bytes, 'sha512') } };
      await pushBytes(target(), blob);
      expect(await collect(await target().openBlob(blob.descriptor))).toBe('by another hash');
    });
  }
}

function describeRefusals(target: () => Target, able: Required<TargetAbilities>): void {
  const good = blobOf('what was promised');
  it.each([
    ['other bytes of the same size', utf8('what was promiseD')],
    ['fewer bytes', utf8('what was')],
    ['more bytes', utf8('what was promised and more')],
    ['no bytes', utf8('')],
  ])('refuses a blob with %s, and stores nothing', async (_, bytes) => {
    const pushed = target().pushBlob(good.descriptor, async () => streamOf(bytes));
    expect(await codeOf(pushed)).toBe('content-invalid');
    expect(await target().hasBlob(good.descriptor)).toBe(false);
    expect(await codeOf(target().fetchBlob(good.descriptor, 100))).toBe('not-found');
    expect(await pushBytes(target(), good)).toBe('pushed');
  });

  it('passes on what breaks the source, and stores nothing', async () => {
    const broken = target().pushBlob(good.descriptor, async () => breaking(good.bytes.subarray(0, 4)));
    await expect(broken).rejects.toThrow();
    expect(await target().hasBlob(good.descriptor)).toBe(false);
  });

  it('refuses a manifest that is not what its descriptor says', async () => {
    const image = await pushImage(target(), 'one', 'v1');
    const other = await pushImage(target(), 'two');
    const lying = { descriptor: image.descriptor, bytes: other.bytes };
    expect(await codeOf(target().pushManifest(lying, { tag: tagOf('v1') }))).toBe('content-invalid');
    expect((await target().resolve(tagOf('v1'))).digest).toBe(image.descriptor.digest);
  });

  if (able.checksParts) {
    it('refuses a manifest whose layer is not there', async () => {
      const config = blobOf('{}', EMPTY_DESCRIPTOR.mediaType);
      await pushBytes(target(), config);
      const content = imageOf(config.descriptor, [blobOf('never pushed').descriptor]);
      expect(await codeOf(target().pushManifest(content, { tag: tagOf('v1') }))).not.toBe('success');
      expect(await codeOf(target().resolve(tagOf('v1')))).toBe('not-found');
    });
  }
}

function describeReferrers(target: () => Target): void {
  it('lists nothing where nothing refers', async () => {
    const image = await pushImage(target(), 'alone', 'v1');
    expect(await target().listReferrers(image.descriptor.digest)).toEqual([]);
    expect(await target().listReferrers(NOWHERE)).toEqual([]);
  });

  it('lists what refers, with type and annotations, each once', async () => {
    const image = await pushImage(target(), 'signed', 'v1');
    const first = await pushReferrer(target(), image.descriptor, 'first');
    const second = await pushReferrer(target(), image.descriptor, 'second');
    await target().pushManifest(first);
    const found = await target().listReferrers(image.descriptor.digest);
    expect(digests(found)).toEqual(digests([first.descriptor, second.descriptor]));
    const entry = found.find(({ digest }) => digest === first.descriptor.digest);
    expect(entry).toMatchObject({
      ...first.descriptor,
      artifactType: SIGNATURE_TYPE,
      annotations: { 'org.example.note': 'first' },
    });
  });

  it('lists only the type that was asked for', async () => {
    const image = await pushImage(target(), 'signed', 'v1');
    const signature = await pushReferrer(target(), image.descriptor, 'signature');
    await pushReferrer(target(), image.descriptor, 'sbom', 'application/spdx+json');
    const found = await target().listReferrers(image.descriptor.digest, { artifactType: SIGNATURE_TYPE });
    expect(digests(found)).toEqual([signature.descriptor.digest]);
  });

  it('keeps referrers of different subjects apart, and those of referrers', async () => {
    const [one, two] = [await pushImage(target(), 'one'), await pushImage(target(), 'two')];
    const onOne = await pushReferrer(target(), one.descriptor, 'on one');
    const onTwo = await pushReferrer(target(), two.descriptor, 'on two');
    const nested = await pushReferrer(target(), onOne.descriptor, 'on the signature');
    const listed = async (digest: Digest): Promise<readonly Digest[]> =>
      digests(await target().listReferrers(digest));
    expect(await listed(one.descriptor.digest)).toEqual([onOne.descriptor.digest]);
    expect(await listed(two.descriptor.digest)).toEqual([onTwo.descriptor.digest]);
    expect(await listed(onOne.descriptor.digest)).toEqual([nested.descriptor.digest]);
  });

  it('lists a referrer that came before its subject', async () => {
    const subject = imageOf(blobOf('later').descriptor, []);
    const early = await pushReferrer(target(), subject.descriptor, 'early');
    expect(digests(await target().listReferrers(subject.descriptor.digest))).toEqual([
      early.descriptor.digest,
    ]);
  });

  it('lists referrers that were pushed at once', async () => {
    const image = await pushImage(target(), 'signed by many', 'v1');
    const pushed = await Promise.all(
      Array.from({ length: 8 }, (_, at) => pushReferrer(target(), image.descriptor, `signer ${at}`)),
    );
    const found = await target().listReferrers(image.descriptor.digest, { fallbackToo: true });
    expect(digests(found)).toEqual(digests(pushed.map(({ descriptor }) => descriptor)));
  });
}

function describeConditions(target: () => Target): void {
  it('moves a tag only from where it is expected', async () => {
    const [one, two] = [await pushImage(target(), 'one'), await pushImage(target(), 'two')];
    const tag = tagOf('v1');
    const push = (content: typeof one, expected: Digest | null): Promise<string> =>
      codeOf(target().pushManifest(content, { tag, expected }));
    expect(await push(one, two.descriptor.digest)).toBe('conflict');
    expect(await codeOf(target().resolve(tag))).toBe('not-found');
    expect(await push(one, null)).toBe('success');
    expect(await push(two, null)).toBe('conflict');
    expect(await push(two, two.descriptor.digest)).toBe('conflict');
    expect((await target().resolve(tag)).digest).toBe(one.descriptor.digest);
    expect(await push(two, one.descriptor.digest)).toBe('success');
    expect((await target().resolve(tag)).digest).toBe(two.descriptor.digest);
  });

  it('lets one of many win a tag that is not there yet', async () => {
    const images = await Promise.all([1, 2, 3, 4, 5].map((at) => pushImage(target(), `racer ${at}`)));
    const outcomes = await Promise.all(
      images.map((image) => codeOf(target().pushManifest(image, { tag: tagOf('first'), expected: null }))),
    );
    expect([...outcomes].sort()).toEqual(['conflict', 'conflict', 'conflict', 'conflict', 'success']);
    const winner = images[outcomes.indexOf('success')];
    expect((await target().resolve(tagOf('first'))).digest).toBe(winner?.descriptor.digest);
  });
}

function describeDeletion(target: () => Target, able: Required<TargetAbilities>): void {
  it('removes a manifest with all its tags', async () => {
    const image = await pushImage(target(), 'one', 'v1');
    await target().pushManifest(image, { tag: tagOf('v1.0') });
    await pushImage(target(), 'two', 'v2');
    await target().deleteManifest(image.descriptor.digest);
    expect(await codeOf(target().resolve(image.descriptor.digest))).toBe('not-found');
    expect(await codeOf(target().resolve(tagOf('v1')))).toBe('not-found');
    expect((await target().listTags()).includes(tagOf('v1.0'))).toBe(false);
    expect((await target().resolve(tagOf('v2'))).size).toBeGreaterThan(0);
  });

  it('says not-found when it should remove what is not there', async () => {
    await pushImage(target(), 'one', 'v1');
    expect(await codeOf(target().deleteManifest(NOWHERE))).toBe('not-found');
  });

  it('no longer lists a referrer that was removed', async () => {
    const image = await pushImage(target(), 'signed', 'v1');
    const gone = await pushReferrer(target(), image.descriptor, 'gone');
    const stays = await pushReferrer(target(), image.descriptor, 'stays');
    await target().deleteManifest(gone.descriptor.digest);
    const found = await target().listReferrers(image.descriptor.digest, { fallbackToo: true });
    expect(digests(found)).toEqual([stays.descriptor.digest]);
    expect(await codeOf(target().resolve(fallbackTag(gone.descriptor.digest)))).toBe('not-found');
  });

  if (able.deletesTags) {
    it('removes a tag and leaves the manifest and its other tags', async () => {
      const image = await pushImage(target(), 'one', 'v1');
      await target().pushManifest(image, { tag: tagOf('v1.0') });
      await target().deleteTag(tagOf('v1'));
      expect(await codeOf(target().resolve(tagOf('v1')))).toBe('not-found');
      expect((await target().resolve(tagOf('v1.0'))).digest).toBe(image.descriptor.digest);
      await target().deleteTag(tagOf('v1.0'));
      expect((await target().resolve(image.descriptor.digest)).digest).toBe(image.descriptor.digest);
      expect(await codeOf(target().deleteTag(tagOf('v1')))).toBe('not-found');
    });
  }
}

async function openAndRead(target: Target, descriptor: Parameters<Target['openBlob']>[0]): Promise<string> {
  return await collect(await target.openBlob(descriptor));
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
}

async function* breaking(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
  throw new Error('the source broke');
}
