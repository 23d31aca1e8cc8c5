import { describe, expect, it } from 'vitest';
import type { Digest } from '../../src/oci/digest.ts';
import { fallbackTag } from '../../src/oci/reference.ts';
import { RecentWrites, STALE_MS } from '../../src/registry/recent-writes.ts';
import { pushImage, pushReferrer, SIGNATURE_TYPE, tagOf } from '../support/content.ts';
import type { Fault } from '../support/registry/behaviour.ts';
import { codeOf, FakeTiming, registryFor, repositoryOf } from '../support/registry/open.ts';

/** A 404 that is from before the write, as a cache keeps it; for so many questions. */
const stale = (path: RegExp, times = 4, method?: string): Fault => ({
  path,
  times,
  ...(method !== undefined && { method }),
  action: { status: 404, body: '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}' },
});
const READ = /manifests\/(v1|_trust)$/;

describe('what was just written', () => {
  it.each([
    ['resolved by HEAD', READ, 'HEAD'],
    ['fetched by GET', READ, 'GET'],
    ['asked for by either', READ, undefined],
    ['asked for by its digest', /manifests\/sha256:/, undefined],
  ])('is there, although a cache says for a while that it is not: %s', async (_, path, method) => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one', 'v1');
    for (const one of method === undefined ? ['HEAD', 'GET'] : [method]) registry.fault(stale(path, 4, one));
    expect(await target.resolve(tagOf('v1'))).toEqual(image.descriptor);
    expect(await target.resolve(image.descriptor.digest)).toEqual(image.descriptor);
    expect((await target.fetchManifest(tagOf('v1'))).descriptor).toEqual(image.descriptor);
    expect(await target.fetchManifestUnless(tagOf('v1'), image.descriptor.digest)).toBeUndefined();
  });

  it.each([1, 3, 6])('was not moved where the tag shows what was before: for %s answers', async (answers) => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const before = await pushImage(target, 'before', '_trust');
    const after = await pushImage(target, 'after');
    const expected = before.descriptor.digest;
    await target.resolve(tagOf('_trust'));
    await target.pushManifest(after, { tag: tagOf('_trust'), expected, once: true });
    registry.behaviour.staleReads = answers;
    expect((await target.fetchManifest(tagOf('_trust'))).descriptor).toEqual(after.descriptor);
    registry.behaviour.staleReads = 1;
    expect(await target.fetchManifestUnless(tagOf('_trust'), after.descriptor.digest)).toBeUndefined();
  });

  it('is another one where others wrote it, at once', async () => {
    const registry = await registryFor();
    const timing = new FakeTiming();
    const target = repositoryOf(registry, { timing });
    await pushImage(target, 'one', 'v1');
    const theirs = await pushImage(repositoryOf(registry), 'theirs', 'v1');
    expect(await target.resolve(tagOf('v1'))).toEqual(theirs.descriptor);
    expect(timing.slept).toEqual([]);
  });

  it('is gone once we removed it, at once', async () => {
    const registry = await registryFor();
    const timing = new FakeTiming();
    const target = repositoryOf(registry, { timing });
    const image = await pushImage(target, 'one', 'v1');
    await target.deleteTag(tagOf('v1'));
    expect(await codeOf(target.resolve(tagOf('v1')))).toBe('not-found');
    await target.deleteManifest(image.descriptor.digest);
    expect(await codeOf(target.fetchManifest(image.descriptor.digest))).toBe('not-found');
    expect(timing.slept).toEqual([]);
  });

  it('is gone with its tag where a registry removes both, at once', async () => {
    const recent = new RecentWrites();
    const digest = `sha256:${'a'.repeat(64)}` as Digest;
    for (const reference of [tagOf('v1'), digest]) recent.noteWritten('app', reference, digest, 0);
    recent.noteRemoved('app', tagOf('v1'));
    expect(recent.staleFor('app', digest, null, 10)).toBeUndefined();
    expect(recent.staleFor('app', tagOf('v1'), null, 10)).toBeUndefined();
  });

  it('that does not come is an error of the registry, after a bounded time', async () => {
    const registry = await registryFor();
    const timing = new FakeTiming();
    const target = repositoryOf(registry, { timing });
    await pushImage(target, 'one', 'v1');
    registry.forget();
    registry.fault(stale(READ, 1_000));
    expect(await codeOf(target.fetchManifest(tagOf('v1')))).toBe('registry-error');
    expect(timing.slept.reduce((sum, ms) => sum + ms, 0)).toBeLessThanOrEqual(STALE_MS + 100);
    expect(registry.log.length).toBeLessThan(12);
  });

  it('and was put back by others is believed after a bounded time', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const before = await pushImage(target, 'before', 'v1');
    await pushImage(target, 'after', 'v1');
    registry.repository('team/app').setTag('v1', before.descriptor.digest);
    expect(await target.resolve(tagOf('v1'))).toEqual(before.descriptor);
  });

  it('is believed where the clock was put back meanwhile, by a day or by a millisecond', () => {
    const digest = `sha256:${'a'.repeat(64)}` as Digest;
    const other = `sha256:${'b'.repeat(64)}` as Digest;
    for (const back of [1, 1_000, 86_400_000, 30 * 86_400_000]) {
      const recent = new RecentWrites();
      recent.noteSeen('app', tagOf('v1'), other);
      recent.noteWritten('app', tagOf('v1'), digest, back);
      expect(recent.staleFor('app', tagOf('v1'), other, back)).toBe(STALE_MS);
      for (const found of [other, null])
        expect(recent.staleFor('app', tagOf('v1'), found, 0)).toBeUndefined();
    }
  });

  it('of waiting changes may be removed by others once it was seen', async () => {
    const recent = new RecentWrites();
    const tag = tagOf('_trust.next.0123456789abcdef');
    const digest = `sha256:${'a'.repeat(64)}` as Digest;
    recent.noteWritten('app', tag, digest, 0);
    expect(recent.staleFor('app', tag, null, 10)).toBe(STALE_MS - 10);
    recent.noteSeen('app', tag, digest);
    expect(recent.staleFor('app', tag, null, 20)).toBeUndefined();
  });
});

describe('lists that lag behind', () => {
  it.each([1, 4, 9])('no entry of a fallback index is lost to %s old answers', async (answers) => {
    const registry = await registryFor({ referrersApi: false });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one', 'v1');
    const subject = image.descriptor.digest;
    const signatures = [];
    for (const text of ['1', '2', '3']) {
      signatures.push(await pushReferrer(target, image.descriptor, text));
      registry.behaviour.staleReads = answers;
    }
    registry.behaviour.staleReads = 0;
    const listed = await target.listReferrers(subject, { artifactType: SIGNATURE_TYPE });
    expect(listed.map(({ digest }) => digest).sort()).toEqual(
      signatures.map(({ descriptor }) => descriptor.digest).sort(),
    );
  });

  it('no entry that was removed comes back with an old answer', async () => {
    const registry = await registryFor({ referrersApi: false });
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one', 'v1');
    const first = await pushReferrer(target, image.descriptor, '1');
    const second = await pushReferrer(target, image.descriptor, '2');
    await target.deleteManifest(first.descriptor.digest);
    registry.behaviour.staleReads = 2;
    const third = await pushReferrer(target, image.descriptor, '3');
    registry.behaviour.staleReads = 0;
    const tag = fallbackTag(image.descriptor.digest);
    const index = JSON.parse(Buffer.from((await target.fetchManifest(tag)).bytes).toString());
    expect(index.manifests.map(({ digest }: { digest: string }) => digest).sort()).toEqual(
      [second, third].map(({ descriptor }) => descriptor.digest).sort(),
    );
  });

  it('a list of the referrers API that shows an entry late is waited for', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one', 'v1');
    registry.fault({
      path: /referrers/,
      times: 6,
      action: {
        status: 200,
        body: '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}',
        headers: { 'content-type': 'application/vnd.oci.image.index.v1+json' },
      },
    });
    expect(await codeOf(pushReferrer(target, image.descriptor, '1'))).toBe('success');
  });
});
