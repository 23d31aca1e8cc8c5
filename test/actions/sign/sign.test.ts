import { describe, expect, it } from 'vitest';
import { type NameWish, type SigningWish, type SignPorts, sign } from '../../../src/actions/sign/sign.ts';
import type { SignedImage } from '../../../src/actions/sign/signature.ts';
import { generatePrivateKey } from '../../../src/crypto/private-key.ts';
import { BullaError } from '../../../src/errors.ts';
import { signerOf } from '../../../src/keystore/key-of.ts';
import { parseReference } from '../../../src/oci/reference.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import { pushImage, pushIndex, tagOf } from '../../support/content.ts';
import { RemoteKeys } from '../../support/keystore/remote.ts';
import { type Intervention, recording } from '../../support/recording-target.ts';
import { newCollection, PLACE, pushHead } from '../../support/trust/collection.ts';
import { hashesOf, publisher } from '../../support/trust/publishing.ts';
import { WeakStore } from '../../support/trust/weak-store.ts';
import { NOW } from '../../support/tuf/editing.ts';

const images = (...texts: string[]) =>
  texts.map((text) => ({ text, reference: parseReference(`${PLACE}${text}`) }));

interface World {
  readonly store: WeakStore;
  readonly service: RemoteKeys;
  readonly ports: SignPorts;
  /** What was asked of the place of the images, and of the ports. */
  readonly calls: readonly string[];
  readonly reported: SignedImage[];
}

/** A repository with three images and, unless told otherwise, a collection; the key is far away. */
async function world(
  { hasCollection = true, before }: { hasCollection?: boolean; before?: Intervention } = {},
  change: Partial<SignPorts> = {},
): Promise<World> {
  const store = new WeakStore();
  for (const tag of ['v1', 'v2', 'v3']) await pushImage(store, tag, tag);
  if (hasCollection) await pushHead(store, await newCollection());
  const { target, calls } = recording(store, before);
  const service = new RemoteKeys({ release: generatePrivateKey('P-256') });
  const reported: SignedImage[] = [];
  const { read, options } = publisher();
  const { signers, ...publish } = options;
  const ports: SignPorts = {
    images: target,
    signer: async () => {
      calls.push('signer');
      return signerOf(await service.find('release'));
    },
    collection: async () => {
      calls.push('collection');
      return { place: PLACE, target: store, read, keys: { signersFor: async () => signers }, publish };
    },
    now: NOW,
    agent: 'bulla/test',
    concurrency: 2,
    onSigned: (signature) => reported.push(signature),
    ...change,
  };
  return { store, service, ports, calls, reported };
}

const written = (calls: readonly string[]) => calls.filter((call) => call.startsWith('push'));
describe('signing images and their names', () => {
  it('signs each image once, then all names in one change, then attaches proofs', async () => {
    const { store, ports, calls, service, reported } = await world();
    await store.pushManifest(await store.fetchManifest(tagOf('v1')), { tag: tagOf('latest') });
    const signed = await sign(images(':v1', ':v2', ':latest'), { signature: {} }, ports);
    expect(signed.images.map(({ tag }) => tag)).toEqual(['v1', 'v2', 'latest']);
    const [first, second, again] = signed.images.map(({ content }) => content.descriptor.digest);
    expect(again).toBe(first);
    expect(signed.signatures.map(({ image }) => image.digest)).toEqual([first, second]);
    expect(reported).toEqual(signed.signatures);
    expect(service).toMatchObject({ opened: 1, requests: [1, 1] });
    expect(store.heads).toEqual([signed.named?.head]);
    expect(signed.named?.changes).toHaveLength(1);
    expect(signed.named?.proofs).toHaveLength(2);
    expect(await hashesOf(store, ['v1', 'v2', 'latest'])).toEqual({
      v1: first?.slice(7),
      v2: second?.slice(7),
      latest: first?.slice(7),
    });
    expect(calls.filter((call) => call === 'signer' || call === 'collection')).toHaveLength(2);
  });

  it('asks for key, collection and images at the same time, and writes nothing before all are there', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const waiting = new Set<string>();
    const { ports, calls } = await world({
      before: async (method) => {
        if (method !== 'fetchManifest') return;
        waiting.add('image');
        await held;
      },
    });
    const { signer, collection } = ports;
    const signing = sign(
      images(':v1', ':v2'),
      { signature: {} },
      {
        ...ports,
        signer: async () => {
          waiting.add('key');
          await held;
          return await signer();
        },
        collection: async () => {
          waiting.add('collection');
          await held;
          return await collection();
        },
      },
    );
    await new Promise((resolve) => setImmediate(resolve));
    expect([...waiting].sort()).toEqual(['collection', 'image', 'key']);
    expect(written(calls)).toEqual([]);
    release();
    expect((await signing).signatures).toHaveLength(2);
  });

  it('opens the keys of the collection in parallel before anything is signed, asking nobody', async () => {
    const opened: unknown[] = [];
    const { ports, calls } = await world();
    const { collection } = ports;
    await sign(
      images(':v1'),
      { signature: {} },
      {
        ...ports,
        collection: async () => {
          const place = await collection();
          const signersFor: typeof place.keys.signersFor = async (demands) =>
            (await place.keys.signersFor(demands)).map((signer) => ({
              ...signer,
              open: async (options) => {
                opened.push([options, written(calls).length]);
                await later();
              },
            }));
          return { ...place, keys: { signersFor } };
        },
      },
    );
    expect(opened).toEqual([
      [{ unattended: true }, 0],
      [{ unattended: true }, 0],
    ]);
  });

  it.each<[string, SigningWish, string[], string, Partial<SignPorts>]>([
    [
      'a key that cannot be opened',
      { signature: {} },
      [':v1'],
      'key-invalid',
      { signer: () => fail('key-invalid') },
    ],
    ['an image that is not there', { signature: {} }, [':v1', ':v9'], 'not-found', {}],
    [
      'a collection that cannot be trusted',
      { signature: {} },
      [':v1'],
      'trust-unpinned',
      { collection: () => fail('trust-unpinned') },
    ],
    ['a role that is not there', { signature: {}, name: { role: 'alice' } }, [':v1'], 'usage', {}],
    [
      'an annotation of ours',
      { signature: { annotations: new Map([['vnd.bulla.expires', 'x']]) } },
      [':v1'],
      'usage',
      {},
    ],
    ['a digest that is not the tag’s', { signature: {} }, [':v1', ':v1@DIGEST'], 'digest-mismatch', {}],
    ['a tag of the collection', { signature: {} }, [':v1', `:${HEAD_TAG}`], 'usage', {}],
    ['nothing but names of an image without one', { name: {} }, ['@DIGEST'], 'usage', {}],
  ])('writes nothing with %s', async (_, wish, texts, code, change) => {
    const { store, ports, calls } = await world({}, change);
    const { digest } = (await store.fetchManifest(tagOf('v2'))).descriptor;
    const listed = images(...texts.map((text) => text.replace('DIGEST', digest)));
    await expect(sign(listed, wish, ports)).rejects.toMatchObject({ code });
    expect(written(calls)).toEqual([]);
    expect(store.heads).toEqual([]);
  });

  it('tells of the key first where several things are wrong', async () => {
    const { ports } = await world(
      {},
      { signer: () => later().then(() => fail('key-invalid')), collection: () => fail('trust-expired') },
    );
    await expect(sign(images(':v9'), { signature: {} }, ports)).rejects.toMatchObject({
      code: 'key-invalid',
    });
  });

  it('reports what was signed before a failure, begins nothing after it, and names nothing', async () => {
    const { store, ports, calls, reported } = await world(
      {
        before: async (method, subject) => {
          if (
            method === 'pushManifest' &&
            written(calls).filter((call) => call.startsWith('pushManifest')).length === 2
          )
            throw new BullaError('registry-error', `refused ${subject}`, { hint: 'again' });
        },
      },
      { concurrency: 1 },
    );
    await expect(sign(images(':v1', ':v2', ':v3'), { signature: {} }, ports)).rejects.toMatchObject({
      code: 'registry-error',
    });
    const { descriptor } = await store.fetchManifest(tagOf('v1'));
    expect(reported.map(({ image }) => image.digest)).toEqual([descriptor.digest]);
    expect(store.heads).toEqual([]);
    expect(written(calls).filter((call) => call.startsWith('pushManifest'))).toHaveLength(2);
  });

  it('signs the platforms of an index first, and the index last', async () => {
    const { store, ports, reported } = await world();
    const { index, images: platforms } = await pushIndex(store, 'multi', 'multi');
    const { signatures } = await sign(images(':multi'), { signature: { recursive: true } }, ports);
    expect(signatures.map(({ image }) => image.digest)).toEqual(
      [...platforms, index].map(({ descriptor }) => descriptor.digest),
    );
    expect(reported).toEqual(signatures);
  });

  it.each<[string, readonly number[], RegExp]>([
    ['one platform', [1], /^only linux\/amd64 can be signed; leave out --recursive/],
    ['the first platform', [0], /^only linux\/arm64 can be signed; leave out --recursive/],
    ['every platform', [0, 1], /^leave out --recursive/],
  ])('signs nothing of an index that lacks %s, and names what is missing', async (_, lacking, hint) => {
    const { store, ports, calls } = await world();
    const { index, images: platforms } = await pushIndex(store, 'multi', 'multi');
    const missing = lacking.map((at) => platforms[at]!.descriptor.digest);
    for (const digest of missing) await store.deleteManifest(digest);
    const both = sign(images(':v1', ':multi'), { signature: { recursive: true } }, ports);
    const names = lacking.map(
      (at) => `linux/${['amd64', 'arm64'][at]} (${platforms[at]!.descriptor.digest})`,
    );
    await expect(both).rejects.toMatchObject({
      code: 'image-missing',
      message: expect.stringContaining(
        `${index.descriptor.digest} names images that are not there: ${names.join(', ')}`,
      ),
      hint: expect.stringMatching(hint),
      details: { missing },
    });
    expect(written(calls)).toEqual([]);
    const { signatures } = await sign(images(':v1', ':multi'), { signature: {} }, ports);
    expect(signatures).toHaveLength(2);
  });

  it.each<[string, NameWish | false, boolean, number]>([
    ['no collection, and none is needed', {}, true, 1],
    ['no name is wanted', false, false, 1],
  ])('signs the images alone where there is %s', async (_, name, lacksCollection, count) => {
    const { ports, calls } = await world({ hasCollection: false });
    const signed = await sign(images(':v1'), { signature: {}, name }, ports);
    expect(signed).toMatchObject({ named: undefined, lacksCollection });
    expect(signed.signatures).toHaveLength(count);
    expect(calls.includes('collection')).toBe(name !== false);
  });

  it('signs names alone, without the key of signatures', async () => {
    const { ports, calls, store } = await world();
    const signed = await sign(images(':v1'), { name: { isRequired: true, proof: false } }, ports);
    expect(signed).toMatchObject({
      signatures: [],
      signer: undefined,
      named: { proofs: [], missingProofs: [] },
    });
    expect(calls).not.toContain('signer');
    expect(store.heads).toHaveLength(1);
    const none = await world({ hasCollection: false });
    await expect(sign(images(':v1'), { name: { isRequired: true } }, none.ports)).rejects.toMatchObject({
      code: 'not-found',
    });
  });

  it('goes on where a proof cannot be attached, and says so', async () => {
    const { ports, store } = await world({
      before: async (method, subject) => {
        const content = method === 'pushManifest' ? subject : '';
        if (content !== '' && store.heads.length > 0)
          throw new BullaError('registry-error', 'full', { hint: 'tidy up' });
      },
    });
    const signed = await sign(images(':v1', ':v2'), { signature: {} }, ports);
    expect(signed.named?.proofs).toEqual([]);
    expect(signed.named?.missingProofs.map(({ reason }) => reason)).toEqual(['full', 'full']);
  });
});

async function fail(code: 'key-invalid' | 'trust-unpinned' | 'trust-expired'): Promise<never> {
  throw new BullaError(code, 'it is wrong', { hint: 'put it right' });
}

async function later(): Promise<void> {
  for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
}
