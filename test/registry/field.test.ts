import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { messageOf } from '../../src/errors.ts';
import type { Dialect, DialectStore } from '../../src/registry/dialect.ts';
import { blobOf, pushBytes, pushImage, tagOf } from '../support/content.ts';
import type { Fault, FaultAction } from '../support/registry/behaviour.ts';
import { codeOf, FakeTiming, registryFor, repositoryOf } from '../support/registry/open.ts';
import type { FaultyRegistry } from '../support/registry/server.ts';

class MemoryDialects implements DialectStore {
  readonly known = new Map<string, Dialect>();

  async get(registry: string): Promise<Dialect | undefined> {
    return this.known.get(registry);
  }

  async set(registry: string, dialect: Dialect): Promise<void> {
    this.known.set(registry, dialect);
  }
}

const without = (...names: string[]): FaultAction =>
  // Where the name of a header is left out, node would count the body of the answer.
  ({
    reply: (_, headers) => ({
      headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name))),
    }),
  });

const withHeaders = (more: Record<string, string | number>): FaultAction => ({
  reply: (_, headers) => ({ headers: { ...headers, ...more } }),
});

/** A storage that takes GET alone, as an address that was signed for GET does. */
async function storage(registry: FaultyRegistry): Promise<FaultAction> {
  const other = await registryFor();
  other.fault({
    method: 'HEAD',
    times: 1_000,
    action: { status: 403, body: '<Code>SignatureDoesNotMatch</Code>' },
  });
  other.fault({
    method: 'GET',
    times: 1_000,
    action: {
      answer: (request, response) => {
        if (request.headers.authorization !== undefined) response.writeHead(400).end();
        else
          fetch(`${registry.origin}${request.url}`, {
            headers: { accept: request.headers.accept ?? '*/*', 'x-from-storage': '1' },
          })
            .then(async (found) => {
              const bytes = Buffer.from(await found.arrayBuffer());
              response
                .writeHead(found.status, { 'content-type': found.headers.get('content-type') ?? '' })
                .end(bytes);
            })
            .catch(() => response.destroy());
      },
    },
  });
  return {
    answer: (request, response) =>
      void response.writeHead(307, { location: `${other.origin}${request.url}` }).end(),
  };
}

const HEADS: [string, FaultAction, learnt: boolean][] = [
  ...[400, 401, 403, 404, 405, 406, 501].map((status): [string, FaultAction, boolean] => [
    `is answered ${status}`,
    { status },
    true,
  ]),
  ['is answered 500', { status: 500 }, false],
  ['is answered 503', { status: 503 }, false],
  ['cuts the connection', { reset: true }, false],
  ['has no digest', without('docker-content-digest'), true],
  ['has a digest of another kind', withHeaders({ 'docker-content-digest': 'md5:00' }), true],
  ['has the length 0', withHeaders({ 'content-length': 0 }), true],
  ['has no type', without('content-type'), true],
  ['has the type of a page', withHeaders({ 'content-type': 'text/html; charset=utf-8' }), true],
  ['is a page that asks to sign in', { status: 200, headers: { 'content-type': 'text/html' } }, true],
];

describe('a HEAD that tells nothing: GET is asked', () => {
  const always = (action: FaultAction): Fault => ({
    method: 'HEAD',
    path: /manifests/,
    times: 1_000,
    action,
  });

  it.each(HEADS)('what a tag names is known where it %s', async (_, action, learnt) => {
    const registry = await registryFor({ etag: false });
    const image = await pushImage(repositoryOf(registry), 'one', 'v1');
    registry.fault(always(action));
    const dialects = new MemoryDialects();
    const reader = repositoryOf(registry, { dialects });
    expect(await reader.resolve(tagOf('v1'))).toEqual(image.descriptor);
    expect(await reader.resolve(image.descriptor.digest)).toEqual(image.descriptor);
    expect(await codeOf(reader.resolve(tagOf('absent')))).toBe('not-found');
    expect(dialects.known.get(registry.host)?.head).toBe(learnt ? 'get' : undefined);
    registry.forget();
    await reader.resolve(tagOf('v1'));
    if (learnt) expect(registry.requests()).toEqual(['GET /v2/team/app/manifests/v1']);
  });

  it.each(HEADS)('a tag that nobody moved has not moved where it %s', async (_, action) => {
    const registry = await registryFor({ etag: false });
    const image = await pushImage(repositoryOf(registry), 'one', 'v1');
    registry.fault(always(action));
    const dialects = new MemoryDialects();
    dialects.known.set(registry.host, { conditional: 'head' });
    const reader = repositoryOf(registry, { dialects });
    const known = image.descriptor.digest;
    for (let n = 0; n < 3; n++) expect(await reader.fetchManifestUnless(tagOf('v1'), known)).toBeUndefined();
    const moved = await pushImage(repositoryOf(registry), 'two', 'v1');
    const found = await reader.fetchManifestUnless(tagOf('v1'), known);
    expect(found?.descriptor).toEqual(moved.descriptor);
    expect(await codeOf(reader.fetchManifestUnless(tagOf('absent'), known))).toBe('not-found');
  });

  it('is believed where it says not found and has told something before', async () => {
    const registry = await registryFor();
    await pushImage(repositoryOf(registry), 'one', 'v1');
    const reader = repositoryOf(registry);
    await reader.resolve(tagOf('v1'));
    registry.forget();
    expect(await codeOf(reader.resolve(tagOf('absent')))).toBe('not-found');
    expect(registry.log.map(({ method }) => method)).toEqual(['HEAD']);
  });

  it('is not asked again with a login that was refused', async () => {
    const auth = { mode: 'basic', users: { me: 'right' } } as const;
    const registry = await registryFor({ auth });
    const credentials = async () => ({ kind: 'basic', username: 'me', password: 'wrong' }) as const;
    expect(await codeOf(repositoryOf(registry, { credentials }).resolve(tagOf('v1')))).toBe('unauthorized');
    expect(registry.log.filter(({ headers }) => headers['authorization'] !== undefined)).toHaveLength(1);
  });

  it('is not taken for more than it is where it contradicts', async () => {
    const registry = await registryFor();
    const image = await pushImage(repositoryOf(registry), 'one', 'v1');
    registry.fault(always(withHeaders({ 'docker-content-digest': `sha256:${'0'.repeat(64)}` })));
    const reading = repositoryOf(registry).resolve(image.descriptor.digest);
    expect(await codeOf(reading)).toBe('content-invalid');
  });

  it('a manifest is found where HEAD and GET lead to a storage that takes GET alone', async () => {
    const registry = await registryFor();
    const image = await pushImage(repositoryOf(registry), 'one', 'v1');
    const elsewhere = await storage(registry);
    const isFromClient = (action: FaultAction): FaultAction => ({
      answer: (request, response) => {
        if (!('answer' in action)) return;
        if (request.headers['x-from-storage'] === undefined) action.answer(request, response);
        else
          response
            .writeHead(200, { 'content-type': image.descriptor.mediaType })
            .end(Buffer.from(image.bytes));
      },
    });
    registry.fault({ path: /manifests/, times: 1_000, action: isFromClient(elsewhere) });
    expect(await repositoryOf(registry).resolve(tagOf('v1'))).toEqual(image.descriptor);
  });
});

describe('a HEAD of a blob that tells nothing', () => {
  it.each<[string, FaultAction]>([
    ...[400, 401, 403, 405, 500, 501, 503].map((status): [string, FaultAction] => [
      `is answered ${status}`,
      { status },
    ]),
    ['cuts the connection', { reset: true }],
    ['has the length 0', withHeaders({ 'content-length': 0 })],
    ['has no length', without('content-length')],
  ])('finds what is there where it %s', async (_, action) => {
    const registry = await registryFor();
    const blob = blobOf('a layer');
    await pushBytes(repositoryOf(registry), blob);
    registry.fault({ method: 'HEAD', path: /blobs/, times: 1_000, action });
    const target = repositoryOf(registry);
    registry.forget();
    expect(await pushBytes(target, blob)).toBe('exists');
    expect(registry.requests(/uploads/)).toEqual([]);
    expect(await pushBytes(target, blobOf('another layer'))).toBe('pushed');
  });

  it.each([307, 302])('finds what is in a storage that takes GET alone, by %d', async (status) => {
    const registry = await registryFor();
    const blob = blobOf('a layer');
    await pushBytes(repositoryOf(registry), blob);
    const other = await registryFor();
    const { origin } = other;
    other.fault({ method: 'HEAD', times: 1_000, action: { status: 403 } });
    other.fault({ method: 'GET', times: 1_000, action: { status: 206, body: 'a' } });
    const there = new RegExp(blob.descriptor.digest);
    registry.fault({
      path: there,
      times: 1_000,
      action: { status, headers: { location: `${origin}/x?signature=y` } },
    });
    expect(await pushBytes(repositoryOf(registry), blob)).toBe('exists');
  });

  it('sends what the registry does not say it has', async () => {
    const registry = await registryFor();
    registry.fault({ method: 'HEAD', path: /blobs/, times: 1_000, action: { status: 403 } });
    registry.fault({ method: 'GET', path: /blobs/, times: 1_000, action: { status: 403 } });
    expect(await pushBytes(repositoryOf(registry), blobOf('a layer'))).toBe('pushed');
  });
});

describe('a mount that is refused', () => {
  it.each<[string, FaultAction]>([
    ...[200, 204, 301, 400, 401, 403, 404, 405, 409, 416, 418, 429, 500, 501, 502, 503].map(
      (status): [string, FaultAction] => [`with ${status}`, { status }],
    ),
    ['by a cut connection', { reset: true }],
    ['by 202 without an address', { status: 202 }],
    [
      'by 201 of another blob',
      { status: 201, headers: { 'docker-content-digest': `sha256:${'0'.repeat(64)}` } },
    ],
  ])('%s is an upload', async (_, action) => {
    const registry = await registryFor();
    registry.fault({ method: 'POST', path: /mount=/, times: 1_000, action });
    const target = repositoryOf(registry);
    const blob = blobOf('a layer');
    const outcome = await target.pushBlob(
      blob.descriptor,
      async () =>
        (async function* () {
          yield blob.bytes;
        })(),
      { mountFrom: ['team/source'] },
    );
    expect(outcome).toBe('pushed');
    expect(registry.requests(/mount=/)).toHaveLength(1);
    expect(registry.repository('team/app').blobs.has(blob.descriptor.digest)).toBe(true);
  });

  it.each([400, 401, 403, 404, 500])('by a token server that answers %d is an upload', async (status) => {
    const registry = await registryFor({ auth: { mode: 'token', users: { robot: 'pw' } } });
    registry.fault({ path: /^\/token\?.*source/, times: 1_000, action: { status } });
    const credentials = async () => ({ kind: 'basic', username: 'robot', password: 'pw' }) as const;
    const target = repositoryOf(registry, { credentials, access: 'write' });
    const blob = blobOf('a layer');
    const outcome = await target.pushBlob(
      blob.descriptor,
      async () =>
        (async function* () {
          yield blob.bytes;
        })(),
      { mountFrom: ['team/source'] },
    );
    expect(outcome).toBe('pushed');
  });
});

describe('a PUT that is answered with another success', () => {
  const putting = (path: RegExp, status: number, more: Partial<Fault> = {}): Fault => ({
    method: 'PUT',
    path,
    times: 1_000,
    action: { reply: () => ({ status, headers: {} }) },
    ...more,
  });

  it.each([200, 202, 204])('of a manifest is read back: %d', async (status) => {
    const registry = await registryFor();
    registry.fault(putting(/manifests/, status));
    const image = await pushImage(repositoryOf(registry), 'one', 'v1');
    expect(registry.repository('team/app').tags.get('v1')).toBe(image.descriptor.digest);
    const reads = registry.requests(/manifests/).filter((request) => request.startsWith('GET'));
    expect(reads).toEqual(['GET /v2/team/app/manifests/v1']);
  });

  it.each([200, 202])('and of nothing that was stored is an error: %d', async (status) => {
    const registry = await registryFor();
    registry.fault({ method: 'PUT', path: /manifests/, times: 1_000, action: { status } });
    expect(await codeOf(pushImage(repositoryOf(registry), 'one', 'v1'))).toBe('registry-error');
  });

  it('is waited for where it is there a moment later', async () => {
    const registry = await registryFor();
    registry.fault(putting(/manifests/, 202));
    registry.fault({ method: 'GET', path: /manifests/, times: 3, action: { status: 404 } });
    await pushImage(repositoryOf(registry), 'one', 'v1');
  });

  it.each([200, 202, 204])('of a blob is looked for: %d', async (status) => {
    const registry = await registryFor();
    registry.fault(putting(/uploads/, status));
    expect(await pushBytes(repositoryOf(registry), blobOf('a layer'))).toBe('pushed');
    expect(await pushBytes(repositoryOf(registry, { chunkBytes: 3 }), blobOf('in chunks'))).toBe('pushed');
  });

  it('of a blob that is not there is begun anew, and given up', async () => {
    const registry = await registryFor();
    registry.fault({ method: 'PUT', path: /uploads/, times: 1_000, action: { status: 202 } });
    expect(await codeOf(pushBytes(repositoryOf(registry), blobOf('a layer')))).toBe('registry-error');
  });
});

describe('a tag that is written once', () => {
  it('is written again after 429, which says that nothing was done', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one', 'v1');
    registry.fault({ method: 'PUT', path: /manifests/, times: 3, action: { status: 429 } });
    await target.pushManifest(image, { tag: tagOf('_trust'), expected: null, once: true });
    expect(registry.repository('team/app').tags.get('_trust')).toBe(image.descriptor.digest);
  });

  it.each([
    [429, true],
    [429, false],
    [503, false],
  ])('is not written over what others put there while it waited after %i', async (status, once) => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const [ours, theirs] = [await pushImage(target, 'one', 'v1'), await pushImage(target, 'two', 'v2')];
    const { tags } = registry.repository('team/app');
    registry.fault({
      method: 'PUT',
      path: /manifests/,
      action: {
        answer: (_, response) => {
          tags.set('_trust', theirs.descriptor.digest);
          response.writeHead(status).end();
        },
      },
    });
    const push = target.pushManifest(ours, { tag: tagOf('_trust'), expected: null, once });
    await expect(push).rejects.toMatchObject({ code: 'conflict' });
    expect(tags.get('_trust')).toBe(theirs.descriptor.digest);
  });
});

describe('a registry that counts requests', () => {
  const busy = (registry: FaultyRegistry, method: string, path: RegExp, status: number, times: number) =>
    registry.fault({ method, path, times, action: { status } });

  it.each([
    ['GET', /manifests/, 429, 20],
    ['GET', /manifests/, 503, 10],
    ['GET', /tags/, 429, 20],
    ['GET', /referrers/, 503, 10],
    ['HEAD', /blobs/, 429, 20],
    ['POST', /uploads/, 429, 20],
    ['PUT', /uploads/, 429, 20],
    ['PUT', /uploads/, 503, 10],
    ['PATCH', /uploads/, 429, 20],
    ['PUT', /manifests/, 429, 20],
    ['PUT', /manifests/, 503, 10],
  ] as const)('is waited for: %s %s answered %i, %i times', async (method, path, status, times) => {
    const registry = await registryFor();
    busy(registry, method, path, status, times);
    const timing = new FakeTiming();
    const target = repositoryOf(registry, { timing, ...(method === 'PATCH' && { chunkBytes: 3 }) });
    const { descriptor } = await pushImage(target, 'one', 'v1');
    expect((await target.fetchManifest(tagOf('v1'))).descriptor.digest).toBe(descriptor.digest);
    expect(await target.listTags()).toEqual(['v1']);
    expect(await target.listReferrers(descriptor.digest)).toEqual([]);
    expect(timing.slept.reduce((sum, ms) => sum + ms, 0)).toBeLessThanOrEqual(180_000);
  });

  it('goes on with the upload that was begun', async () => {
    const registry = await registryFor();
    busy(registry, 'PUT', /uploads/, 429, 5);
    const target = repositoryOf(registry, { timing: new FakeTiming() });
    expect(await pushBytes(target, blobOf('a layer'))).toBe('pushed');
    expect(registry.requests(/uploads/).filter((line) => line.startsWith('POST'))).toHaveLength(1);
  });

  it.each([
    [429, 21],
    [503, 11],
    [500, 6],
    [502, 6],
    [504, 6],
    [408, 6],
  ])('is given up in the end: %i is asked %i times', async (status, tries) => {
    const registry = await registryFor();
    busy(registry, 'GET', /manifests/, status, 999);
    const target = repositoryOf(registry, { timing: new FakeTiming() });
    expect(await codeOf(target.fetchManifest(tagOf('v1')))).toMatch(
      /registry-throttled|registry-error|timeout/,
    );
    expect(registry.requests(/manifests/)).toHaveLength(tries);
  });
});

describe('a list that goes on', () => {
  const LINKS: [string, (path: string, query: string) => string][] = [
    ['by an address of its own', (path, query) => `https://registry.internal${path}?${query}`],
    ['by its query alone', (_, query) => `?${query}`],
    [
      'by a path before which a proxy stands',
      (path, query) => `/artifactory/api/docker/local${path}?${query}`,
    ],
    [
      'by the path of the repository behind a virtual one',
      (path, query) => `${path.replace('/v2/', '/v2/docker-local/')}?${query}`,
    ],
    ['by the path without the prefix', (path, query) => `${path.replace('/team/', '/')}?${query}`],
    ['by an escaped path', (path, query) => `${path.replace('team/app', 'team%2Fapp')}?${query}`],
    ['by a relative path', (path, query) => `${path.split('/').slice(-2).join('/')}?${query}`],
  ];
  it.each(LINKS)('%s is complete: tags', async (_, link) => {
    const registry = await registryFor();
    const path = '/v2/team/app/tags/list';
    const pages: Record<string, string[]> = { '': ['a1', 'a2'], two: [], three: ['a1', 'a2'], four: ['z1'] };
    const following: Record<string, string> = { '': 'two', two: 'three', three: 'four' };
    registry.fault({
      path: /tags\/list/,
      times: 1_000,
      action: {
        answer: (request, response) => {
          const at = new URL(request.url ?? '', registry.origin).searchParams.get('next_page') ?? '';
          const next = following[at];
          response
            .writeHead(
              200,
              next === undefined ? {} : { link: `<${link(path, `next_page=${next}`)}>; rel="next"` },
            )
            .end(JSON.stringify({ name: 'team/app', tags: pages[at] }));
        },
      },
    });
    expect(await repositoryOf(registry).listTags()).toEqual(['a1', 'a2', 'z1']);
  });

  it.each(LINKS)('%s is complete: referrers', async (_, link) => {
    const registry = await registryFor();
    const subject = `sha256:${'1'.repeat(64)}`;
    const path = `/v2/team/app/referrers/${subject}`;
    const entry = (n: string) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: `sha256:${n.repeat(64)}`,
      size: 1,
    });
    registry.fault({
      path: /referrers/,
      times: 1_000,
      action: {
        answer: (request, response) => {
          const isFirst = !(request.url ?? '').includes('page=2');
          response
            .writeHead(200, {
              'content-type': 'application/vnd.oci.image.index.v1+json',
              ...(isFirst && { link: `<${link(path, 'page=2')}>; rel="next"` }),
            })
            .end(JSON.stringify({ schemaVersion: 2, manifests: [entry(isFirst ? 'a' : 'b')] }));
        },
      },
    });
    const found = await repositoryOf(registry).listReferrers(subject as never);
    expect(found.map(({ digest }) => digest)).toEqual([entry('a').digest, entry('b').digest]);
  });

  it.each([
    '/v2/other/tags/list?last=b',
    '/v2/team/other/tags/list?last=b',
    '/v2/team/app/manifests/list?last=b',
    'https://evil.example/v2/xteam/app/tags/list?last=b',
    '/v2/team/app/tags/list',
    'ftp://registry/v2/team/app/tags/list?last=b',
  ])('elsewhere, to %s, is an error', async (link) => {
    const registry = await registryFor();
    registry.fault({
      path: /tags\/list/,
      times: 1_000,
      action: { status: 200, headers: { link: `<${link}>; rel="next"` }, body: '{"name":"x","tags":["a"]}' },
    });
    const listing = repositoryOf(registry).listTags();
    expect(await codeOf(listing)).toBe('registry-error');
    await expect(listing.catch((error: unknown) => messageOf(error))).resolves.toContain('another endpoint');
  });
});

describe('a manifest whose parts are said to be missing', () => {
  const refusal = (code: string): FaultAction => ({
    status: code === 'BLOB_UNKNOWN' ? 404 : 400,
    body: JSON.stringify({ errors: [{ code, message: 'unknown to the registry' }] }),
  });

  it.each([0, 1, 3, 5])('is stored where a cache does not show them %i times', async (stale) => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    await pushImage(target, 'one');
    registry.fault({ method: 'PUT', path: /manifests/, action: refusal('MANIFEST_BLOB_UNKNOWN') });
    registry.fault({ path: /blobs\/sha256/, after: 2, times: stale, action: refusal('BLOB_UNKNOWN') });
    const image = await pushImage(target, 'one', 'v1');
    expect(await target.resolve(tagOf('v1'))).toEqual(image.descriptor);
  });

  it('is refused in the words of the registry where they stay missing', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one', 'v1');
    const other = repositoryOf(registry, {}, 'team/other');
    registry.forget();
    expect(await codeOf(other.pushManifest(image, { tag: tagOf('v1') }))).toBe('registry-error');
    expect(registry.requests(/manifests\/v1/).filter((request) => request.startsWith('PUT'))).toHaveLength(1);
  });
});

describe('an answer that was compressed on its way', () => {
  const gzipped = (
    path: RegExp,
    bytes: Uint8Array,
    headers: Record<string, string> = {},
    status = 200,
  ): Fault => ({
    path,
    times: 1_000,
    action: {
      answer: (_, response) => {
        response.writeHead(status, { 'content-encoding': 'gzip', ...headers }).end(bytes);
      },
    },
  });
  const json = (value: unknown): Uint8Array => gzipSync(JSON.stringify(value));

  it('is read: tags, a manifest, its referrers', async () => {
    const registry = await registryFor();
    const image = await pushImage(repositoryOf(registry), 'one', 'v1');
    const { digest, mediaType } = image.descriptor;
    registry.fault(gzipped(/tags\/list/, json({ name: 'team/app', tags: ['v1', 'v2'] })));
    registry.fault(gzipped(/manifests\/v1$/, gzipSync(image.bytes), { 'content-type': mediaType }));
    const entry = { mediaType, digest, size: image.bytes.byteLength, artifactType: 'x/y' };
    registry.fault(gzipped(/referrers/, json({ schemaVersion: 2, manifests: [entry] })));
    const target = repositoryOf(registry);
    expect(await target.listTags()).toEqual(['v1', 'v2']);
    expect(await target.resolve(tagOf('v1'))).toEqual(image.descriptor);
    expect((await target.fetchManifest(tagOf('v1'))).bytes).toEqual(new Uint8Array(image.bytes));
    expect((await target.listReferrers(digest)).map((one) => one.digest)).toEqual([digest]);
  });

  it('is read where it is a refusal', async () => {
    const registry = await registryFor();
    const body = json({ errors: [{ code: 'DENIED', message: 'ask the operator' }] });
    registry.fault(gzipped(/tags\/list/, body, {}, 403));
    await expect(repositoryOf(registry).listTags()).rejects.toThrow(/ask the operator/);
  });

  it.each<[string, Uint8Array]>([
    ['is damaged', gzipSync('{"schemaVersion":2}').subarray(0, 20)],
    ['would fill the memory', gzipSync(new Uint8Array(64 * 1024 * 1024))],
  ])('is refused where it %s', async (_, bytes) => {
    const registry = await registryFor();
    registry.fault(
      gzipped(/manifests/, bytes, { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }),
    );
    expect(await codeOf(repositoryOf(registry).fetchManifest(tagOf('v1')))).toBe('content-invalid');
  });

  it('is not what is asked for of blobs', async () => {
    const registry = await registryFor();
    const blob = blobOf('a layer');
    const target = repositoryOf(registry);
    await pushBytes(target, blob);
    let asked: string | undefined;
    registry.fault({
      method: 'GET',
      path: /blobs/,
      action: {
        answer: (request, response) => {
          asked = String(request.headers['accept-encoding']);
          response.writeHead(200).end(blob.bytes);
        },
      },
    });
    expect(Buffer.from(await target.fetchBlob(blob.descriptor, 100)).toString()).toBe('a layer');
    expect(asked).toBe('identity');
  });
});
