import { describe, expect, it } from 'vitest';
import { checkSelection, selectTags, type TagSelection } from '../../../src/actions/copy/selection.ts';
import { BullaError } from '../../../src/errors.ts';
import { decorated } from '../../../src/oci/decorated.ts';
import { buildIndex } from '../../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-types.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { fallbackTag, type Tag } from '../../../src/oci/reference.ts';
import { blobOf, imageOf, pushBytes, tagOf } from '../../support/content.ts';

const LISTED = [
  'latest',
  'v1.2.0',
  '1.10.0',
  'v1.9.3',
  'v2.0.0-rc.1',
  'v2.0.0',
  '1.2',
  'nightly-1',
  'v1.2.0-alpine',
] as Tag[];

async function selected(
  selection: TagSelection,
  listed: readonly Tag[] = LISTED,
): Promise<readonly string[]> {
  return (await selectTags(listed, selection, new MemoryStore())).tags;
}

/** Images by their creation time; `index` in an index. */
async function created(times: Readonly<Record<string, string | undefined>>): Promise<MemoryStore> {
  const store = new MemoryStore();
  for (const [tag, time] of Object.entries(times)) {
    const config = blobOf(JSON.stringify({ tag, created: time }), MEDIA_TYPES.ociConfig);
    await pushBytes(store, config);
    const image = imageOf(config.descriptor, []);
    await store.pushManifest(image, { tag: tagOf(tag) });
    if (tag.startsWith('index'))
      await store.pushManifest(buildIndex({ manifests: [image.descriptor] }), { tag: tagOf(tag) });
  }
  return store;
}

describe('which tags are copied', () => {
  it.each<[string, TagSelection, readonly string[]]>([
    ['all, without a selection', {}, LISTED],
    ['one by name', { tags: ['1.2'] }, ['1.2']],
    ['those that begin so', { tags: ['v1.*'] }, ['v1.2.0', 'v1.9.3', 'v1.2.0-alpine']],
    ['those of several patterns', { tags: ['latest', 'nightly*'] }, ['latest', 'nightly-1']],
    ['all but some', { tags: ['v*'], exclude: ['v2*', 'v1.9.3'] }, ['v1.2.0', 'v1.2.0-alpine']],
    ['none of which all are left out', { exclude: ['*'] }, []],
    [
      'versions in a range, without pre-releases',
      { semver: '>=1.2 <3' },
      ['v1.2.0', '1.10.0', 'v1.9.3', 'v2.0.0'],
    ],
    ['pre-releases that the range names', { semver: '>=2.0.0-0 <2.0.0' }, ['v2.0.0-rc.1']],
    ['versions in one of two ranges', { semver: '1.9.x || ^2.0.0' }, ['v1.9.3', 'v2.0.0']],
    ['the newest versions', { semver: '*', newest: 2 }, ['1.10.0', 'v2.0.0']],
    ['the newest of those that match', { tags: ['v1.*'], exclude: ['*'], newest: 1 }, []],
    [
      'as many as there are',
      { tags: ['v*'], newest: 99 },
      ['v1.2.0', 'v1.9.3', 'v2.0.0-rc.1', 'v2.0.0', 'v1.2.0-alpine'],
    ],
  ])('are %s', async (_, selection, expected) => {
    expect(await selected(selection)).toEqual(expected);
  });

  it('are never those that keep things beside images', async () => {
    const digest = `sha256:${'a'.repeat(64)}` as const;
    const beside = [
      fallbackTag(digest as never),
      `sha256-${'a'.repeat(64)}.sig`,
      '_trust',
      '_trust.stage.1',
    ] as Tag[];
    expect(await selected({}, [...beside, tagOf('v1')])).toEqual(['v1']);
    expect(await selected({ tags: ['sha256-*', '_trust*'] }, beside)).toEqual([]);
  });

  it('are told apart from names that are not listed', async () => {
    const { tags, missing } = await selectTags(
      LISTED,
      { tags: ['v9', 'latest', 'v8*', 'v7'], exclude: ['v7'] },
      new MemoryStore(),
    );
    expect([tags, missing]).toEqual([['latest'], ['v9']]);
  });

  it('are those created last, where not all are versions; what does not say when comes last', async () => {
    const store = await created({
      old: '2020-01-01T00:00:00Z',
      'index-new': '2026-01-01T00:00:00Z',
      newest: '2026-06-01T00:00:00.5+02:00',
      'v9.0.0': undefined,
      broken: 'yesterday',
    });
    const newest = async (count: number): Promise<readonly string[]> =>
      (await selectTags(await store.listTags(), { newest: count }, store)).tags;
    expect([...(await newest(2))].sort()).toEqual(['index-new', 'newest']);
    expect([...(await newest(4))].sort()).toEqual(['index-new', 'newest', 'old', 'v9.0.0']);
  });

  it('are unknown where one cannot be asked when it was created', async () => {
    const store = await created({ a: '2020-01-01T00:00:00Z', b: '2021-01-01T00:00:00Z' });
    const fetchManifest = async (): Promise<never> => {
      throw new BullaError('timeout', 'too slow');
    };
    const slow = decorated(store, { fetchManifest });
    await expect(selectTags([tagOf('a'), tagOf('b')], { newest: 1 }, slow)).rejects.toMatchObject({
      code: 'timeout',
    });
  });

  it.each<[string, TagSelection]>([
    ['* in the middle', { tags: ['v*.1'] }],
    ['* in front', { tags: ['*-alpine'] }],
    ['two *', { exclude: ['v**'] }],
    ['a path', { tags: ['../v1'] }],
    ['an empty pattern', { tags: [''] }],
    ['a regular expression', { tags: ['^v1$'] }],
    ['no range', { semver: 'newest' }],
    ['a range without end', { semver: '1.0.0 || '.repeat(40_000) }],
    ['no number', { newest: Number.NaN }],
    ['none', { newest: 0 }],
  ])('are not selected by %s', async (_, selection) => {
    await expect(checkSelection(selection)).rejects.toMatchObject({ code: 'usage' });
  });
});
