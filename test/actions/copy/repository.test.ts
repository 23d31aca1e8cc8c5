import { describe, expect, it, onTestFinished } from 'vitest';
import { type CopyRepositoryOptions, copyRepository } from '../../../src/actions/copy/repository.ts';
import { countsOf, failuresOf, worstOf } from '../../../src/actions/copy/repository-outcome.ts';
import { BullaError } from '../../../src/errors.ts';
import { decorated } from '../../../src/oci/decorated.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { cosignTags, fallbackTag } from '../../../src/oci/reference.ts';
import type { Target } from '../../../src/oci/target.ts';
import { openRepository } from '../../../src/registry/client.ts';
import { HEAD_TAG, NAMES_ROLE } from '../../../src/trust/format/vocabulary.ts';
import {
  blobOf,
  imageOf,
  pushBytes,
  pushImage,
  pushIndex,
  pushReferrer,
  tagOf,
} from '../../support/content.ts';
import { type FaultyRegistry, type RegistryOptions, startRegistry } from '../../support/registry/server.ts';
import { changeHead, setting } from '../../support/trust/changing.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { NOW } from '../../support/tuf/editing.ts';

const TAGS = Array.from({ length: 6 }, (_, at) => `v1.${at}.0`);

async function registry(options: RegistryOptions = {}): Promise<FaultyRegistry> {
  const server = await startRegistry(options);
  onTestFinished(() => server.close());
  return server;
}

function repository({ host }: FaultyRegistry, name = 'team/app'): Target {
  const target = openRepository(
    { registry: host, repository: name },
    { settleMs: 5, retry: { tries: 2, baseMs: 1, maxMs: 2 } },
  );
  onTestFinished(() => target.close());
  return target;
}

/** A repository that lists referrers by itself, or one whose clients have to. */
async function place(referrersApi: boolean): Promise<Target> {
  return referrersApi ? new MemoryStore() : repository(await registry({ referrersApi: false }));
}

async function images(target: Target, tags: readonly string[] = TAGS): Promise<void> {
  for (const tag of tags) {
    const image = await pushImage(target, tag, tag);
    await pushReferrer(target, image.descriptor, `signature of ${tag}`);
  }
}

async function signNames(target: Target, tags: readonly string[], from: Target = target): Promise<void> {
  if (!(await target.listTags()).includes(HEAD_TAG))
    await pushHead(target, await newCollection('registry.example.com/team/app'));
  const set = new Map<string, { length: number; sha256: string }>();
  for (const tag of tags) {
    const { digest, size } = await from.resolve(tagOf(tag));
    set.set(tag, { length: size, sha256: digest.slice('sha256:'.length) });
  }
  const entry = { ...setting([], NOW), set };
  await changeHead(target, (edit) => edit.apply(NAMES_ROLE, [entry]), NOW);
}

const run = (source: Target, destination: Target, more: Partial<CopyRepositoryOptions> = {}) =>
  copyRepository({ source, destination, ...more });

const userTags = async (target: Target): Promise<string[]> =>
  (await target.listTags()).filter((tag) => !/^(?:sha256-|_trust)/.test(tag)).sort();

describe.each([true, false])('a whole repository, referrers API: %s', (referrersApi) => {
  it('is copied with signatures and names, each shared blob once, and a second run changes nothing', async () => {
    const [from, to] = [await registry({ referrersApi }), await registry({ referrersApi })];
    const [source, destination] = [repository(from), repository(to)];
    await images(source);
    await pushIndex(source, 'many platforms', 'v2');
    await source.pushManifest(await source.fetchManifest(tagOf('v1.5.0')), { tag: tagOf('latest') });
    await signNames(source, TAGS);
    const first = await run(source, destination);
    expect(failuresOf(first)).toEqual([]);
    expect(countsOf(first)).toMatchObject({ total: 8, copied: 8, present: 0, failed: 0 });
    expect(first.collection).toMatchObject({ outcome: 'copied' });
    expect(await userTags(destination)).toEqual(await userTags(source));
    for (const tag of TAGS) {
      const { digest } = await source.resolve(tagOf(tag));
      expect((await destination.resolve(tagOf(tag))).digest).toBe(digest);
      expect(await destination.listReferrers(digest)).toHaveLength(1);
    }
    // Every signature has the same empty config.
    const uploads = to
      .requests(/\/blobs\/uploads\/\?|digest=/)
      .filter((line) => line.startsWith('PUT') || line.includes('POST'));
    expect(new Set(uploads.map((line) => /digest=([^&]+)/.exec(line)?.[1]).filter(Boolean)).size).toBe(
      uploads.filter((line) => line.includes('digest=')).length,
    );
    const wrote = to.requests().filter((line) => !/^(?:GET|HEAD) /.test(line)).length;
    const again = await run(source, destination);
    expect(countsOf(again)).toMatchObject({ total: 8, copied: 0, present: 8, failed: 0 });
    expect(again.collection).toMatchObject({ outcome: 'same' });
    expect(to.requests().filter((line) => !/^(?:GET|HEAD) /.test(line))).toHaveLength(wrote);
  });

  it.each([
    [
      'a signature of an image',
      async (source: Target) => {
        await pushReferrer(source, await source.resolve(tagOf('v1.0.0')), 'late');
      },
    ],
    [
      'a signature of a signature',
      async (source: Target) => {
        const [entry] = await source.listReferrers((await source.resolve(tagOf('v1.0.0'))).digest);
        await pushReferrer(source, entry!, 'late');
      },
    ],
    [
      'a signature of one platform',
      async (source: Target) => {
        const index = JSON.parse(Buffer.from((await source.fetchManifest(tagOf('v2'))).bytes).toString());
        await pushReferrer(source, index.manifests[1], 'late');
      },
    ],
    [
      "a tag of cosign's",
      async (source: Target) => {
        const [tag] = cosignTags((await source.resolve(tagOf('v1.0.0'))).digest);
        await pushImage(source, 'signature of cosign', tag);
      },
    ],
    [
      'a tag that moved',
      async (source: Target) => {
        await pushImage(source, 'something else', 'v1.0.0');
      },
    ],
    [
      'a new tag',
      async (source: Target) => {
        await pushImage(source, 'new', 'v3');
      },
    ],
  ])('finds %s in a second run', async (_, change) => {
    const [source, destination] = [await place(referrersApi), await place(referrersApi)];
    await images(source, TAGS.slice(0, 2));
    await pushIndex(source, 'many platforms', 'v2');
    await run(source, destination);
    await change(source);
    expect(countsOf(await run(source, destination))).toMatchObject({ copied: 1, failed: 0 });
    expect(countsOf(await run(source, destination))).toMatchObject({ copied: 0, failed: 0 });
  });

  it.each([
    ['a tag', async (destination: Target) => destination.deleteTag(tagOf('v1.0.0'))],
    [
      'a tag that moved',
      async (destination: Target) => void (await pushImage(destination, 'other', 'v1.0.0')),
    ],
    [
      'a signature',
      async (destination: Target) => {
        const [entry] = await destination.listReferrers((await destination.resolve(tagOf('v1.0.0'))).digest);
        await destination.deleteManifest(entry!.digest);
      },
    ],
  ])('puts back what the destination lost: %s', async (_, lose) => {
    const [source, destination] = [await place(referrersApi), await place(referrersApi)];
    await images(source, TAGS.slice(0, 2));
    await run(source, destination);
    await lose(destination);
    expect(countsOf(await run(source, destination))).toMatchObject({ copied: 1, failed: 0 });
    const { digest } = await destination.resolve(tagOf('v1.0.0'));
    expect(digest).toBe((await source.resolve(tagOf('v1.0.0'))).digest);
    expect(await destination.listReferrers(digest)).toHaveLength(1);
  });

  it('costs, in a second run, two requests for each tag of a list, and ten', async () => {
    const [from, to] = [await registry({ referrersApi }), await registry({ referrersApi })];
    await images(repository(from), TAGS);
    await pushImage(repository(from), 'unsigned', 'v0');
    await signNames(repository(from), TAGS);
    await run(repository(from), repository(to));
    const cost = async (fast: boolean): Promise<number> => {
      from.forget();
      to.forget();
      // A client that knows nothing of either registry.
      expect(countsOf(await run(repository(from), repository(to), { fast }))).toMatchObject({
        copied: 0,
        failed: 0,
      });
      return from.requests().length + to.requests().length;
    };
    const tags = TAGS.length + 1;
    expect(await cost(true)).toBeLessThanOrEqual(2 * tags + 10);
    const signed = TAGS.length;
    // Without the API, a list of referrers is a tag. With it, the signature's own list is asked for as well.
    const lists = referrersApi ? 3 * signed + 1 : 2 * signed;
    expect(await cost(false)).toBeLessThanOrEqual(2 * tags + lists + 10);
  });
});

/** A signed repository in memory, and one that is to be a copy of it. */
async function inMemory(tags: readonly string[] = TAGS): Promise<[MemoryStore, MemoryStore]> {
  const [source, destination] = [new MemoryStore('source'), new MemoryStore('destination')];
  await images(source, tags);
  return [source, destination];
}

const outcomes = (copied: Awaited<ReturnType<typeof run>>): Record<string, string> =>
  Object.fromEntries(
    copied.tags.map((one) => [one.tag, one.outcome === 'failed' ? one.error.code : one.outcome]),
  );

/** A store of which some calls are answered otherwise. */
const altered = <T extends object>(store: T, own: Partial<T>): T => decorated(store, own as Pick<T, keyof T>);

describe('a copy of a repository that cannot be whole', () => {
  it('leaves out a tag that vanished, says so, and removes nothing', async () => {
    const [source, destination] = await inMemory();
    await pushImage(destination, 'old', 'v0.9.0');
    const lying = altered(source, {
      listTags: async () => [...(await source.listTags()), tagOf('gone')],
    });
    const copied = await run(lying, destination, { prune: () => true });
    expect(outcomes(copied)).toMatchObject({ gone: 'not-found', 'v1.0.0': 'copied' });
    expect(copied).toMatchObject({ pruned: [], unpruned: expect.any(String) });
    expect(worstOf(failuresOf(copied).map(({ error }) => error))?.exitCode).toBeGreaterThan(0);
    expect(await userTags(destination)).toEqual(['v0.9.0', ...TAGS]);
  });

  it('is not fooled by a list that hides where signatures are', async () => {
    const from = await registry({ referrersApi: false });
    await images(repository(from), TAGS.slice(0, 3));
    from.behaviour.tagDialect = (_, tags) => ({ tags: tags.filter((tag) => !tag.startsWith('sha256-')) });
    const destination = new MemoryStore('destination');
    expect(failuresOf(await run(repository(from), destination))).toEqual([]);
    for (const tag of TAGS.slice(0, 3))
      expect(await destination.listReferrers((await destination.resolve(tagOf(tag))).digest)).toHaveLength(1);
    const there = repository(await registry());
    await run(repository(from), there);
    const source = repository(from);
    await pushReferrer(source, await source.resolve(tagOf('v1.2.0')), 'late');
    expect(countsOf(await run(repository(from), there))).toMatchObject({ copied: 1 });
  });

  it.each([
    ['of cosign', async (source: Target, tag: string) => void (await pushImage(source, "cosign's", tag))],
    [
      'in a fallback index',
      async (source: Target) =>
        void (await pushReferrer(source, await source.resolve(tagOf('v1.0.0')), 'late')),
    ],
  ])('finds a signature %s that was pushed while it was made', async (_, sign) => {
    const source = repository(await registry({ referrersApi: false }));
    const destination = new MemoryStore('destination');
    const image = await pushImage(source, 'image', 'v1.0.0');
    const [tag = ''] = cosignTags(image.descriptor.digest);
    let isSigned = false;
    const copied = await run(
      altered(source, {
        openBlob: async (descriptor, options) => {
          if (!isSigned) await sign(source, tag);
          isSigned = true;
          return await source.openBlob(descriptor, options);
        },
      }),
      destination,
    );
    expect(failuresOf(copied)).toEqual([]);
    const referrers = await destination.listReferrers(image.descriptor.digest);
    expect(referrers.length + (await destination.listTags()).filter((one) => one === tag).length).toBe(1);
  });

  it('copies one digest where a tag moves while it is copied', async () => {
    const [source, destination] = await inMemory(['v1.0.0']);
    const before = await source.resolve(tagOf('v1.0.0'));
    const moving = altered(source, {
      fetchManifest: async (reference, options) => {
        const content = await source.fetchManifest(reference, options);
        if (reference === 'v1.0.0') await pushImage(source, 'moved', 'v1.0.0');
        return content;
      },
    });
    expect(outcomes(await run(moving, destination))).toEqual({ 'v1.0.0': 'copied' });
    expect(await destination.resolve(tagOf('v1.0.0'))).toEqual(before);
    expect(await destination.listReferrers(before.digest)).toHaveLength(1);
  });

  it('goes on where the destination refuses one tag, and says so', async () => {
    const to = await registry({ immutableTags: /^v1\.3/ });
    const [source] = await inMemory();
    const destination = repository(to);
    await pushImage(destination, 'fixed for ever', 'v1.3.0');
    await pushImage(destination, 'old', 'v0');
    const copied = await run(source, destination, { prune: () => true });
    expect(outcomes(copied)).toMatchObject({ 'v1.2.0': 'copied', 'v1.3.0': 'conflict', 'v1.4.0': 'copied' });
    expect(await userTags(destination)).toContain('v0');
    expect(countsOf(await run(source, destination))).toMatchObject({ present: 5, failed: 1 });
  });

  it('does not try thousands of tags in a registry that no longer answers', async () => {
    const tags = Array.from({ length: 200 }, (_, at) => `t${at}`);
    const [source, destination] = [new MemoryStore('source'), new MemoryStore('destination')];
    for (const tag of tags) await pushImage(source, 'one image', tag);
    let asked = 0;
    const down = altered(source, {
      fetchManifest: async () => {
        asked++;
        throw new BullaError('registry-unreachable', 'no connection');
      },
    });
    const copied = await run(down, destination, { concurrency: 2 });
    expect(countsOf(copied)).toMatchObject({ total: 200, failed: 200 });
    expect(asked).toBeLessThan(40);
  });

  it('refuses a list of tags that has no end', async () => {
    const from = await registry();
    await pushImage(repository(from), 'honest', 'v1');
    let page = 0;
    from.behaviour.tagDialect = () => ({
      tags: Array.from({ length: 1000 }, (_, at) => `t${page}.${at}`),
      next: `last=t${page++}&n=1000`,
    });
    await expect(run(repository(from), new MemoryStore())).rejects.toMatchObject({ code: 'content-invalid' });
    expect(page).toBeLessThan(200);
  });

  it('never takes the name of a path for a tag', async () => {
    const from = await registry();
    const source = repository(from);
    await pushImage(source, 'honest', 'v1');
    from.behaviour.tagDialect = () => ({
      tags: ['v1', '../../other/manifests/v1', '..', 'v1/../x', 'v1?x=y', '', ' v1'],
    });
    from.forget();
    expect(outcomes(await run(source, new MemoryStore()))).toEqual({ v1: 'copied' });
    expect(from.requests().every((line) => !line.includes('..') && !line.includes('other'))).toBe(true);
  });

  it('is interrupted, and goes on where it was', async () => {
    const [from, to] = [await registry(), await registry()];
    await images(repository(from));
    const controller = new AbortController();
    let done = 0;
    await expect(
      run(repository(from), repository(to), {
        concurrency: 1,
        signal: controller.signal,
        onTag: () => {
          if (++done === 2) controller.abort();
        },
      }),
    ).rejects.toMatchObject({ code: 'interrupted' });
    const puts = (): string[] => to.requests(/digest=/);
    const before = puts();
    expect(countsOf(await run(repository(from), repository(to)))).toMatchObject({ total: 6, failed: 0 });
    const sent = puts().map((line) => /digest=([^&]+)/.exec(line)?.[1]);
    expect(new Set(sent).size).toBe(sent.length);
    expect(sent.length).toBeGreaterThan(before.length);
  });

  it('is made by two at once, with one result', async () => {
    const [from, to] = [await registry({ referrersApi: false }), await registry({ referrersApi: false })];
    await images(repository(from), TAGS.slice(0, 3));
    const both = await Promise.all([
      run(repository(from), repository(to)),
      run(repository(from), repository(to)),
    ]);
    for (const copied of both) expect(failuresOf(copied)).toEqual([]);
    const there = repository(to);
    for (const tag of TAGS.slice(0, 3))
      expect(await there.listReferrers((await there.resolve(tagOf(tag))).digest)).toHaveLength(1);
  });

  it('brings a blob again that another image could not bring', async () => {
    const [source, destination] = [new MemoryStore('source'), new MemoryStore('destination')];
    const [shared, lacking] = [blobOf('shared'), blobOf('lacking')];
    for (const blob of [shared, lacking]) await pushBytes(source, blob);
    await source.pushManifest(imageOf(shared.descriptor, [shared.descriptor, lacking.descriptor]), {
      tag: tagOf('bad'),
    });
    await source.pushManifest(imageOf(shared.descriptor, [shared.descriptor]), { tag: tagOf('good') });
    const poor = altered(source, {
      openBlob: async (descriptor, options) => {
        if (descriptor.digest === lacking.descriptor.digest)
          throw new BullaError('not-found', 'no such blob');
        return await source.openBlob(descriptor, options);
      },
    });
    expect(outcomes(await run(poor, destination))).toEqual({ bad: 'content-invalid', good: 'copied' });
  });
});

describe('signed names', () => {
  it('come when all images are there', async () => {
    const [source, destination] = await inMemory();
    await signNames(source, TAGS);
    const pushed: string[] = [];
    const watched = altered(destination, {
      pushManifest: async (content, options) => {
        await destination.pushManifest(content, options);
        if (options?.tag !== undefined) pushed.push(options.tag);
      },
    });
    expect((await run(source, watched)).collection).toMatchObject({ outcome: 'copied' });
    expect(pushed.at(-1)).toBe(HEAD_TAG);
    expect(pushed).toHaveLength(TAGS.length + 1);
  });

  it('bring the image that they name where the tag has moved', async () => {
    const [source, destination] = await inMemory();
    await signNames(source, TAGS);
    const signed = await source.resolve(tagOf('v1.2.0'));
    await pushImage(source, 'moved', 'v1.2.0');
    const copied = await run(source, destination);
    expect(copied.warnings.join()).toContain(signed.digest);
    expect(await destination.resolve(signed.digest)).toBeDefined();
    expect(await destination.listReferrers(signed.digest)).toHaveLength(1);
  });

  it('wait for an image that may arrive in another run, and not for one that cannot', async () => {
    for (const [code, outcome] of [
      ['registry-error', undefined],
      ['content-invalid', 'copied'],
    ] as const) {
      const [source, destination] = await inMemory();
      await signNames(source, TAGS);
      const { digest } = await source.resolve(tagOf('v1.2.0'));
      const refusing = altered(destination, {
        pushManifest: async (content, options) => {
          if (content.descriptor.digest === digest) throw new BullaError(code, 'not now');
          await destination.pushManifest(content, options);
        },
      });
      const copied = await run(source, refusing);
      expect(copied.collection?.outcome).toBe(outcome);
      expect(failuresOf(copied).map(({ error }) => error.code)).toContain(code);
      expect(await source.resolve(HEAD_TAG)).toBeDefined();
    }
  });

  it('of another collection at the destination stay, and the copy is not a success', async () => {
    const [source, destination] = await inMemory(['v1.0.0']);
    await signNames(source, ['v1.0.0']);
    await pushHead(destination, await newCollection('mirror.example.com/team/app'));
    const copied = await run(source, destination);
    expect(outcomes(copied)).toEqual({ 'v1.0.0': 'copied' });
    expect(failuresOf(copied).map(({ error }) => error.code)).toEqual(['conflict']);
  });
});

describe('pruning', () => {
  it('removes what was not selected, and never what keeps things beside images', async () => {
    const to = await registry({ referrersApi: false });
    const [source] = await inMemory();
    const destination = repository(to);
    const old = await pushImage(destination, 'old', 'v0');
    await pushReferrer(destination, old.descriptor, 'signature');
    await pushImage(destination, 'staged', '_trust.stage.0123');
    await pushImage(destination, "cosign's", cosignTags(old.descriptor.digest)[0]);
    const beside = [
      HEAD_TAG,
      '_trust.stage.0123',
      fallbackTag(old.descriptor.digest),
      cosignTags(old.descriptor.digest)[0],
    ];
    await pushHead(destination, await newCollection('mirror.example.com/team/app'));
    const asked: (readonly string[])[] = [];
    const copied = await run(source, destination, {
      selection: { exclude: ['v1.0.0'] },
      prune: (tags) => {
        asked.push(tags);
        return true;
      },
    });
    expect(asked).toEqual([['v0']]);
    expect(copied.pruned).toEqual([{ tag: 'v0', outcome: 'removed' }]);
    expect(await destination.listTags()).toEqual(expect.arrayContaining(beside));
    expect(await userTags(destination)).toEqual(TAGS.slice(1));
  });

  it('removes nothing without consent, nor in a dry run, and says where the registry refuses', async () => {
    const to = await registry();
    const [source] = await inMemory();
    const destination = repository(to);
    await pushImage(destination, 'old', 'v0');
    const kept = [{ tag: 'v0', outcome: 'kept' }];
    expect(await run(source, destination, { prune: () => false })).toMatchObject({ pruned: kept });
    expect(await run(source, destination, { prune: () => true, dryRun: true })).toMatchObject({
      pruned: kept,
    });
    to.behaviour.deletion = 'manifests';
    const refused = await run(source, destination, { prune: () => true });
    expect(refused.pruned).toMatchObject([{ tag: 'v0', outcome: 'failed' }]);
    expect(failuresOf(refused)).toHaveLength(1);
    expect(await userTags(destination)).toContain('v0');
  });

  it('takes an empty list for no reason to remove everything', async () => {
    const [source, destination] = [new MemoryStore('source'), new MemoryStore('destination')];
    await images(destination);
    await expect(run(source, destination, { prune: () => true })).rejects.toMatchObject({
      code: 'not-found',
    });
    await images(source, ['v9']);
    const selection = { tags: ['v1.*'] };
    await expect(run(source, destination, { prune: () => true, selection })).rejects.toMatchObject({
      code: 'not-found',
    });
    expect(await userTags(destination)).toEqual(TAGS);
  });
});
