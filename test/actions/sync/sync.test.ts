import { describe, expect, it } from 'vitest';
import { checkedPlan } from '../../../src/actions/sync/plan.ts';
import type { SyncEntryDocument } from '../../../src/actions/sync/schema.ts';
import { type SyncOptions, syncAll, type WithPlaces } from '../../../src/actions/sync/sync.ts';
import { BullaError } from '../../../src/errors.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { formatRepository, type Tag } from '../../../src/oci/reference.ts';
import { pushImage, pushReferrer, tagOf } from '../../support/content.ts';

/** Registries in memory, by `HOST/REPOSITORY`. */
class World {
  readonly stores = new Map<string, MemoryStore>();
  readonly broken = new Set<string>();

  store(name: string): MemoryStore {
    const store = this.stores.get(name) ?? new MemoryStore(name);
    this.stores.set(name, store);
    return store;
  }

  async images(name: string, ...tags: string[]): Promise<void> {
    for (const tag of tags) {
      const image = await pushImage(this.store(name), `${name} ${tag}`, tag);
      await pushReferrer(this.store(name), image.descriptor, `signature of ${tag}`);
    }
  }

  async tags(name: string): Promise<readonly string[]> {
    return [...(await this.store(name).listTags())].sort();
  }

  readonly places: WithPlaces = (work) =>
    work({
      open: async (reference) => {
        const name = formatRepository(reference);
        if (this.broken.has(name)) throw new BullaError('unauthorized', `${name} asks for a login`);
        return this.store(name);
      },
      listRepositories: async function* (this: World, registry: string) {
        for (const name of [...this.stores.keys()])
          if (name.startsWith(`${registry}/`)) yield name.slice(registry.length + 1);
      }.bind(this),
    });

  run(entries: readonly SyncEntryDocument[], options: Partial<SyncOptions> = {}) {
    return syncAll(
      checkedPlan({ sync: entries }, () => true),
      this.places,
      { concurrency: 4, ...options },
    );
  }
}

const repository = (more: Partial<SyncEntryDocument> = {}): SyncEntryDocument => ({
  source: 'a.example.com/team/app',
  target: 'b.example.com/app',
  type: 'repository',
  ...more,
});

describe('a run of a file', () => {
  it('copies the tags of a repository that are allowed, and says what it found', async () => {
    const world = new World();
    await world.images('a.example.com/team/app', 'v1.0.0', 'v1.1.0', 'v2.0.0', 'latest');
    const entries = [repository({ tags: { allow: ['v.*'], deny: ['v2.*'] } })];
    const first = await world.run(entries);
    expect(first).toMatchObject({
      worst: undefined,
      repositories: [
        {
          entry: 'a.example.com/team/app => b.example.com/app',
          source: 'a.example.com/team/app',
          target: 'b.example.com/app',
          counts: { total: 2, copied: 2, present: 0, failed: 0 },
        },
      ],
    });
    expect(await world.tags('b.example.com/app')).toEqual(['v1.0.0', 'v1.1.0']);
    expect((await world.run(entries)).repositories[0]?.counts).toMatchObject({ copied: 0, present: 2 });
  });

  it('copies all repositories of a registry, below a prefix, but for those that are denied and those without tags', async () => {
    const world = new World();
    for (const name of ['team/app', 'team/deep/er', 'team/old', 'other'])
      await world.images(`a.example.com/${name}`, 'v1');
    world.store('a.example.com/team/empty');
    const { repositories, worst } = await world.run([
      {
        source: 'a.example.com/team',
        target: 'b.example.com/copies',
        type: 'registry',
        repos: { deny: ['.*old'] },
      },
    ]);
    expect(worst).toBeUndefined();
    expect(repositories.map(({ target, counts }) => [target, counts.copied]).sort()).toEqual([
      ['b.example.com/copies/app', 1],
      ['b.example.com/copies/deep/er', 1],
      ['b.example.com/copies/empty', 0],
    ]);
  });

  it('copies one image under another tag, and one by its digest', async () => {
    const world = new World();
    await world.images('a.example.com/team/app', 'v1', 'v2');
    const { digest } = await world.store('a.example.com/team/app').resolve(tagOf('v2'));
    const { repositories } = await world.run([
      { source: 'a.example.com/team/app:v1', target: 'b.example.com/app:stable', type: 'image' },
      { source: `a.example.com/team/app@${digest}`, target: 'b.example.com/pinned', type: 'image' },
    ]);
    expect(repositories.map(({ counts }) => counts.copied)).toEqual([1, 1]);
    expect(await world.tags('b.example.com/app')).toEqual(['stable']);
    expect(await world.store('b.example.com/pinned').listReferrers(digest)).toHaveLength(1);
  });

  it('keeps under another tag what a tag named before', async () => {
    const world = new World();
    await world.images('a.example.com/team/app', 'v1');
    const before = await pushImage(world.store('b.example.com/app'), 'older', 'v1');
    await world.run([repository({ backup: 'before-{{.Ref.Tag}}' })]);
    const kept = await world.store('b.example.com/app').resolve('before-v1' as Tag);
    expect(kept.digest).toBe(before.descriptor.digest);
    // Nothing moves in a second run, and nothing is kept.
    await world.run([repository({ backup: 'again-{{.Ref.Tag}}' })]);
    expect(await world.tags('b.example.com/app')).toEqual(['before-v1', 'v1']);
  });

  it('goes on where an entry fails, and says which is the worst', async () => {
    const world = new World();
    await world.images('a.example.com/team/app', 'v1');
    world.broken.add('c.example.com/app');
    const report = await world.run([
      repository({ source: 'c.example.com/app', target: 'b.example.com/other' }),
      repository({ source: 'a.example.com/none', target: 'b.example.com/none' }),
      repository(),
    ]);
    expect(report.repositories.map(({ failures }) => failures.map(({ error }) => error.code))).toEqual([
      ['unauthorized'],
      ['not-found'],
      [],
    ]);
    expect(report.worst?.code).toBe('not-found');
    expect(await world.tags('b.example.com/app')).toEqual(['v1']);
  });

  it('prunes only where everything was copied, and never in a dry run', async () => {
    const world = new World();
    await world.images('a.example.com/team/app', 'v1');
    await world.images('b.example.com/app', 'v0');
    await world.run([repository({ prune: true })], { dryRun: true });
    expect(await world.tags('b.example.com/app')).toEqual(['v0']);
    const { repositories } = await world.run([repository({ prune: true })]);
    expect(repositories[0]?.counts).toMatchObject({ copied: 1, removed: 1 });
    expect(await world.tags('b.example.com/app')).toEqual(['v1']);
  });

  it('is ended by a signal', async () => {
    const world = new World();
    await world.images('a.example.com/team/app', 'v1', 'v2', 'v3');
    const controller = new AbortController();
    const run = world.run([repository()], { signal: controller.signal, onTag: () => controller.abort() });
    await expect(run).rejects.toMatchObject({ code: 'interrupted' });
  });
});
