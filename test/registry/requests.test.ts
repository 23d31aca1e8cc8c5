import { describe, expect, it } from 'vitest';
import { RegistryClient } from '../../src/registry/client.ts';
import type { Dialect, DialectStore } from '../../src/registry/dialect.ts';
import { blobOf, pushBytes, pushImage, pushReferrer, tagOf } from '../support/content.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';

class MemoryDialects implements DialectStore {
  readonly known = new Map<string, Dialect>();

  async get(registry: string): Promise<Dialect | undefined> {
    return this.known.get(registry);
  }

  async set(registry: string, dialect: Dialect): Promise<void> {
    this.known.set(registry, dialect);
  }
}

describe('requests of a cold verification by tag', () => {
  it.each([
    ['the referrers API', true, 3],
    ['the fallback tag', false, 3],
  ])('are %s: one more only while the dialect is unknown', async (_, referrersApi, least) => {
    const registry = await registryFor({ referrersApi });
    const writer = repositoryOf(registry);
    const image = await pushImage(writer, 'signed', 'v1');
    await pushReferrer(writer, image.descriptor, 'signature');
    const dialects = new MemoryDialects();
    const counts: number[] = [];
    for (let run = 0; run < 2; run++) {
      registry.forget();
      const reader = repositoryOf(registry, { dialects });
      const { descriptor } = await reader.fetchManifest(tagOf('v1'));
      const [entry] = await reader.listReferrers(descriptor.digest);
      await reader.fetchManifest(entry?.digest ?? descriptor.digest);
      counts.push(registry.log.length);
    }
    expect(counts).toEqual([least + 1, least]);
    expect(dialects.known.get(registry.host)?.referrers).toBe(referrersApi ? 'api' : 'fallback');
  });

  it('go over one connection, and a second one for what is asked at the same time', async () => {
    const registry = await registryFor();
    const image = await pushImage(repositoryOf(registry), 'signed', 'v1');
    const client = new RegistryClient();
    const reader = client.repository({ registry: registry.host, repository: 'team/app' });
    for (let at = 0; at < 5; at++) await reader.fetchManifest(image.descriptor.digest);
    expect(client.pool.counters.connections).toBe(1);
    await reader.listReferrers(image.descriptor.digest);
    expect(client.pool.counters.connections).toBe(2);
    await client.close();
  });
});

describe('requests of a warm check', () => {
  it.each([
    ['an ETag', true, 'GET', 'etag'],
    ['no ETag', false, 'HEAD', 'head'],
  ] as const)('are one with %s, as soon as that is known', async (_, etag, method, conditional) => {
    const registry = await registryFor({ etag });
    const image = await pushImage(repositoryOf(registry), 'one', 'v1');
    const dialects = new MemoryDialects();
    const reader = repositoryOf(registry, { dialects });
    for (let run = 0; run < 3; run++) {
      registry.forget();
      expect(await reader.fetchManifestUnless(tagOf('v1'), image.descriptor.digest)).toBeUndefined();
      expect(registry.log).toHaveLength(1);
    }
    expect(registry.log[0]?.method).toBe(method);
    expect(dialects.known.get(registry.host)?.conditional).toBe(conditional);
    const moved = await pushImage(repositoryOf(registry), 'two', 'v1');
    const found = await reader.fetchManifestUnless(tagOf('v1'), image.descriptor.digest);
    expect(found?.descriptor.digest).toBe(moved.descriptor.digest);
  });
});

describe('requests of a push', () => {
  it('are two for a blob that is known to be absent, three otherwise, one for one that is there, none for one seen just now', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const blob = blobOf('some bytes');
    const open = async () =>
      (async function* () {
        yield blob.bytes;
      })();
    await target.pushBlob(blob.descriptor, open, { known: 'absent' });
    expect(registry.log.map(({ method }) => method)).toEqual(['POST', 'PUT']);
    registry.forget();
    await target.pushBlob(blob.descriptor, open);
    expect(registry.log).toEqual([]);
    const another = repositoryOf(registry);
    await another.pushBlob(blob.descriptor, open);
    await another.pushBlob(blob.descriptor, open);
    expect(registry.log.map(({ method }) => method)).toEqual(['HEAD']);
    registry.forget();
    await pushBytes(target, blobOf('other bytes'));
    expect(registry.log.map(({ method }) => method)).toEqual(['HEAD', 'POST', 'PUT']);
  });

  it('are one for a manifest, and the looking whether it is listed', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one', 'v1');
    registry.forget();
    await target.pushManifest(image, { tag: tagOf('v2') });
    expect(registry.requests()).toEqual(['PUT /v2/team/app/manifests/v2']);
    const signature = await pushReferrer(target, image.descriptor, 'signature');
    registry.forget();
    await target.pushManifest(signature);
    const listing = `GET /v2/team/app/referrers/${image.descriptor.digest}`;
    expect(registry.requests()).toEqual([
      `PUT /v2/team/app/manifests/${signature.descriptor.digest}`,
      listing,
      listing,
    ]);
  });
});

describe('a tag that others move too', () => {
  it.each([
    ['an answer that asks for another try', { status: 503 }],
    ['no answer', 'reset'],
  ] as const)('is written once, and %s is for the caller to judge', async (_, action) => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one', 'v1');
    const next = await pushImage(target, 'two', 'v2');
    registry.fault({
      method: 'PUT',
      path: /manifests/,
      action: action === 'reset' ? { reset: true } : action,
    });
    registry.forget();
    const expected = image.descriptor.digest;
    const written = target.pushManifest(next, { tag: tagOf('v1'), expected, once: true });
    await expect(written).rejects.toMatchObject({ exitCode: 3 });
    expect(registry.requests(/manifests/).filter((request) => request.startsWith('PUT'))).toHaveLength(1);
  });

  it.each([
    [{ tagsPage: 2 }, 2],
    [{ unsortedTags: true }, 1],
  ] as const)('is listed by the pages that are needed, with %o', async (behaviour, pages) => {
    const registry = await registryFor(behaviour);
    const target = repositoryOf(registry);
    for (const tag of ['B', '_trust', '_trust.next.1', '_trust.stage.1', 'a', 'b', 'c', 'd'])
      await pushImage(target, tag, tag);
    registry.forget();
    const found = await target.listTags({ last: tagOf('_trust'), until: tagOf('_trust.stage.g') });
    expect(found).toEqual(expect.arrayContaining(['_trust.next.1', '_trust.stage.1']));
    expect(registry.log).toHaveLength(pages);
  });
});

describe('what a registry says beside', () => {
  it('is passed on once for each registry', async () => {
    const registry = await registryFor({ warnings: ['299 - "old version"', '299 - "moved"'] });
    const said: string[] = [];
    const target = repositoryOf(registry, { warn: (message) => said.push(message) });
    await pushImage(target, 'one', 'v1');
    expect(said).toEqual([`${registry.host} says: old version`, `${registry.host} says: moved`]);
  });

  it('is a catalogue, where it tells', async () => {
    const registry = await registryFor();
    await pushImage(repositoryOf(registry, {}, 'b/two'), 'one', 'v1');
    await pushImage(repositoryOf(registry, {}, 'a/one'), 'one', 'v1');
    const client = new RegistryClient();
    const names: string[] = [];
    for await (const name of client.listRepositories(registry.host)) names.push(name);
    await client.close();
    expect(names).toEqual(['a/one', 'b/two']);
  });
});
