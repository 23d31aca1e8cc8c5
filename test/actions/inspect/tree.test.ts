import { expect, it } from 'vitest';
import { readTree, type TreeNode } from '../../../src/actions/inspect/tree.ts';
import { treeJson, treeLines } from '../../../src/cli/render/tree-text.ts';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { BullaError, type ErrorCode } from '../../../src/errors.ts';
import { type Descriptor, describe } from '../../../src/oci/descriptor.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-types.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { pushImage, pushReferrer, tagOf } from '../../support/content.ts';

/** A repository that also has what no honest tool pushes, listed as referring to `subject`. */
class Junkyard extends MemoryStore {
  readonly junk: ManifestContent[] = [];
  readonly failing = new Map<string, ErrorCode>();
  subject: Digest | undefined;

  override async fetchManifest(
    ...[reference, options]: Parameters<MemoryStore['fetchManifest']>
  ): Promise<ManifestContent> {
    this.fail(reference);
    const found = this.junk.find(({ descriptor }) => descriptor.digest === reference);
    return found ?? (await super.fetchManifest(reference, options));
  }

  override async listReferrers(
    ...[subject, options]: Parameters<MemoryStore['listReferrers']>
  ): Promise<readonly Descriptor[]> {
    this.fail(`referrers of ${subject}`);
    const added = subject === this.subject ? this.junk.map(({ descriptor }) => descriptor) : [];
    return [...(await super.listReferrers(subject, options)), ...added];
  }

  private fail(what: string): void {
    const code = this.failing.get(what);
    if (code !== undefined) throw new BullaError(code, `${what} fails`);
  }
}

const read = (store: MemoryStore): Promise<TreeNode> => readTree(store, tagOf('v1'), { concurrency: 4 });
const M = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest };

it.each<[string, string]>([
  ['no JSON', 'junk'],
  ['a list', '[]'],
  ['nothing', '{}'],
  ['layers that are a number', JSON.stringify({ ...M, config: {}, layers: 7 })],
  ['two things at once', JSON.stringify({ ...M, config: {}, layers: [], manifests: [] })],
  ['another type than it is served as', JSON.stringify({ ...M, mediaType: 'x/y', layers: [] })],
  [
    'a digest that is none',
    JSON.stringify({ ...M, config: { digest: '../..', size: 1, mediaType: 'a/b' }, layers: [] }),
  ],
])('draws a referrer that is %s as unreadable, and everything else', async (_, text) => {
  const store = new Junkyard();
  const { descriptor } = await pushImage(store, 'one', 'v1');
  const good = await pushReferrer(store, descriptor, 'good');
  store.subject = descriptor.digest;
  const bytes = utf8(text);
  store.junk.push({ bytes, descriptor: describe(MEDIA_TYPES.ociManifest, bytes) });
  const lines = treeLines('app', await read(store)).join('\n');
  expect(lines).toContain(good.descriptor.digest);
  expect(lines).toContain(`${store.junk[0]?.descriptor.digest}  (unreadable: `);
  const { referrers } = treeJson(await read(store));
  expect(referrers).toContainEqual(expect.objectContaining({ unreadable: expect.any(String) }));
});

it('draws what cannot be listed as unreadable: a referrer, or the list itself', async () => {
  const store = new Junkyard();
  const { descriptor } = await pushImage(store, 'one', 'v1');
  const [one, other] = [
    await pushReferrer(store, descriptor, 'a'),
    await pushReferrer(store, descriptor, 'b'),
  ];
  store.failing.set(one.descriptor.digest, 'digest-mismatch');
  store.failing.set(`referrers of ${other.descriptor.digest}`, 'content-invalid');
  const lines = treeLines('app', await read(store)).join('\n');
  expect(lines).toContain(`${one.descriptor.digest}  (unreadable: `);
  expect(lines).toContain(`${other.descriptor.digest}  (what refers to it is unreadable: `);
});

it('cuts what is nested without end', async () => {
  const store = new Junkyard();
  let { descriptor } = await pushImage(store, 'one', 'v1');
  for (let level = 0; level < 18; level++)
    ({ descriptor } = await pushReferrer(store, descriptor, `${level}`));
  expect(treeLines('app', await read(store)).join('\n')).toContain('levels deep)');
});

it.each<ErrorCode>(['registry-unreachable', 'forbidden', 'timeout'])(
  'fails with %s: what was not reached is not junk',
  async (code) => {
    const store = new Junkyard();
    const { descriptor } = await pushImage(store, 'one', 'v1');
    const referrer = await pushReferrer(store, descriptor, 'a');
    store.failing.set(referrer.descriptor.digest, code);
    await expect(read(store)).rejects.toMatchObject({ code });
  },
);

it('fails where the image itself makes no sense', async () => {
  const store = new Junkyard();
  const { descriptor } = await pushImage(store, 'one', 'v1');
  const bytes = utf8('junk');
  store.fetchManifest = async () => ({ bytes, descriptor: { ...descriptor, size: bytes.byteLength } });
  await expect(read(store)).rejects.toMatchObject({ code: 'content-invalid' });
});
