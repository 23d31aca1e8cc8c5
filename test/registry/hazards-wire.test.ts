import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { BullaError } from '../../src/errors.ts';
import { classOfAddress } from '../../src/http/address.ts';
import type { Resolve } from '../../src/http/connector.ts';
import { REAL_TIMING } from '../../src/http/retry.ts';
import { streamOf } from '../../src/oci/content.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { fixedCredentials } from '../../src/registry/credentials.ts';
import { blobOf, pushBytes, pushImage, tagOf } from '../support/content.ts';
import { codeOf, collect, FakeTiming, registryFor, repositoryOf } from '../support/registry/open.ts';
import { type FaultyRegistry, startRegistry } from '../support/registry/server.ts';
import { certificateForLoopback } from '../support/registry/tls.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const ME = { kind: 'basic', username: 'me', password: 'correct horse' } as const;
const USERS = { me: 'correct horse' };

/** A server that is not the registry, and what it was sent. */
async function stranger(
  body: Uint8Array | string = '',
): Promise<{ origin: string; authorization: string[] }> {
  const authorization: string[] = [];
  const server = createServer((request, response) => {
    authorization.push(request.headers.authorization ?? 'none');
    response.writeHead(200).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, authorization };
}

describe('hazard 5: credential leaks and SSRF', () => {
  it('does not send Authorization where a redirect of a blob leads', async () => {
    const registry = await registryFor({ auth: { mode: 'basic', users: USERS } });
    const credentials = fixedCredentials(registry.host, ME);
    const target = repositoryOf(registry, { credentials });
    const blob = blobOf('on another host');
    await pushBytes(target, blob);
    const storage = await stranger(blob.bytes);
    registry.fault({
      method: 'GET',
      path: /blobs/,
      action: { status: 307, headers: { location: `${storage.origin}/x?signature=abc` } },
    });
    expect((await target.fetchBlob(blob.descriptor, 100)).byteLength).toBe(blob.bytes.byteLength);
    expect(storage.authorization).toEqual(['none']);
    expect(registry.log.at(-1)?.headers['authorization']).toMatch(/^Basic /);
  });

  it('keeps sending it where a redirect stays on the registry', async () => {
    const registry = await registryFor({ auth: { mode: 'basic', users: USERS } });
    const target = repositoryOf(registry, { credentials: fixedCredentials(registry.host, ME) });
    const blob = blobOf('moved');
    await pushBytes(target, blob);
    const location = `/v2/team/app/blobs/${blob.descriptor.digest}`;
    registry.fault({ method: 'GET', path: /blobs/, action: { status: 302, headers: { location } } });
    expect((await target.fetchBlob(blob.descriptor, 100)).byteLength).toBe(blob.bytes.byteLength);
  });

  it('does not send Authorization where an upload is to go on', async () => {
    const registry = await registryFor({ auth: { mode: 'basic', users: USERS } });
    const target = repositoryOf(registry, { credentials: fixedCredentials(registry.host, ME) });
    const elsewhere = await stranger();
    registry.fault({
      method: 'POST',
      path: /uploads/,
      action: { status: 202, headers: { location: `${elsewhere.origin}/upload` } },
    });
    await codeOf(pushBytes(target, blobOf('goes elsewhere')));
    expect(elsewhere.authorization).toEqual(['none']);
  });

  it('asks nobody else for a login: a 401 of another host is not answered', async () => {
    const registry = await registryFor({ auth: { mode: 'basic', users: USERS } });
    const target = repositoryOf(registry, { credentials: fixedCredentials(registry.host, ME) });
    const blob = blobOf('guarded');
    await pushBytes(target, blob);
    const thief = await registryFor({ auth: { mode: 'token', users: {} } });
    const location = `${thief.origin}/v2/team/app/blobs/${blob.descriptor.digest}`;
    registry.fault({ method: 'GET', path: /blobs/, action: { status: 307, headers: { location } } });
    expect(await codeOf(target.fetchBlob(blob.descriptor, 100))).toBe('unauthorized');
    expect(thief.log.map(({ headers }) => headers['authorization'])).toEqual([undefined]);
  });

  it.each([
    ['file:///etc/passwd', 'unauthorized'],
    ['ftp://127.0.0.1/token', 'unauthorized'],
    ['not a url', 'unauthorized'],
    ['', 'unauthorized'],
    ['http://me:pw@127.0.0.1/token', 'unauthorized'],
    // Cloud metadata: its address class is not the registry's.
    ['http://169.254.169.254/latest/meta-data', 'forbidden'],
    ['http://[fe80::1]/token', 'forbidden'],
    ['http://0.0.0.0:1/token', 'forbidden'],
    ['http://[::ffff:169.254.169.254]/token', 'forbidden'],
  ])('does not go to the realm %s', async (realm, code) => {
    const registry = await registryFor({ auth: { mode: 'token', users: USERS, realm } });
    const target = repositoryOf(registry, { credentials: fixedCredentials(registry.host, ME) });
    expect(await codeOf(target.resolve(tagOf('v1')))).toBe(code);
  });

  it('does not follow a redirect of the token server', async () => {
    const elsewhere = await stranger('{"token":"x"}');
    const registry = await registryFor({ auth: { mode: 'token', users: USERS } });
    registry.fault({
      path: /^\/token/,
      action: { status: 307, headers: { location: `${elsewhere.origin}/token` } },
    });
    const target = repositoryOf(registry, { credentials: fixedCredentials(registry.host, ME) });
    expect(await codeOf(target.resolve(tagOf('v1')))).not.toBe('success');
    expect(elsewhere.authorization).toEqual([]);
  });

  it.each([
    ['10.0.0.7'],
    ['127.0.0.2'],
    ['192.168.1.1'],
    ['169.254.169.254'],
    ['::1'],
    ['fd00::1'],
    ['::ffff:10.0.0.7'],
  ])('refuses a name that stands for %s where the connection is made', async (address) => {
    const realm = 'http://token.example.com/token';
    const registry = await registryFor({ auth: { mode: 'token', users: USERS, realm } });
    const host = `registry.example.com:${registry.host.split(':')[1]}`;
    const asked: string[] = [];
    const http = {
      resolve: (name: string, callback: Parameters<Resolve>[1]) => {
        asked.push(name);
        const found = name === 'token.example.com' ? address : '127.0.0.1';
        callback(null, [{ address: found, family: found.includes(':') ? 6 : 4 }]);
      },
      // Where the registry is would be a public address.
      classify: (found: string) => (found === '127.0.0.1' ? 'public' : classOfAddress(found)),
    };
    const credentials = fixedCredentials(host, ME);
    const target = repositoryOf({ host }, { plainHttp: true, credentials, http });
    expect(await codeOf(target.resolve(tagOf('v1')))).toBe('forbidden');
    expect(asked).toEqual(['registry.example.com', 'token.example.com']);
    expect(registry.requests(/^\/token/)).toEqual([]);
  });

  it('does not leave https for http, nor send a password to an http realm', async () => {
    const tls = certificateForLoopback();
    const plain = await stranger();
    const registry = await startRegistry({
      tls,
      auth: { mode: 'token', users: USERS, realm: `${plain.origin}/token` },
    });
    onTestFinished(() => registry.close());
    const target = repositoryOf(registry, {
      plainHttp: false,
      credentials: fixedCredentials(registry.host, ME),
      http: { tls: { ca: tls.cert } },
    });
    expect(await codeOf(target.resolve(tagOf('v1')))).toBe('unauthorized');
    registry.fault({ action: { status: 302, headers: { location: `${plain.origin}/v2/` } } });
    expect(await codeOf(target.resolve(tagOf('v1')))).toBe('registry-error');
    expect(plain.authorization).toEqual([]);
  });

  it('shows no secret in errors, traces and warnings', async () => {
    const shown: string[] = [];
    const registry = await registryFor({
      auth: { mode: 'token', users: {}, identityTokens: ['identity-secret'] },
      warnings: ['299 - "old"'],
    });
    const target = repositoryOf(registry, {
      credentials: fixedCredentials(registry.host, ME),
      warn: (message) => shown.push(message),
      http: { events: (event) => shown.push(JSON.stringify(event)) },
    });
    await target
      .resolve(tagOf('v1'))
      .catch((error) => shown.push(String(error.stack), JSON.stringify(error)));
    const other = repositoryOf(registry, {
      credentials: fixedCredentials(registry.host, { kind: 'identity', token: 'identity-secret' }),
      http: { events: (event) => shown.push(JSON.stringify(event)) },
    });
    await other.resolve(tagOf('v1')).catch((error) => shown.push(String(error.stack), JSON.stringify(error)));
    const text = shown.join('\n');
    expect(text.length).toBeGreaterThan(500);
    expect(text).not.toMatch(/correct horse|identity-secret/);
    expect(text).not.toContain(Buffer.from('me:correct horse').toString('base64'));
    expect(text).not.toMatch(/Bearer [0-9a-f]/);
  });
});

describe('hazard 6: hostile bodies', () => {
  const image = async (registry: FaultyRegistry) => await pushImage(repositoryOf(registry), 'one', 'v1');

  it.each([
    ['a manifest that never ends', /manifests/, { endless: true }],
    ['a manifest of 5 MB', /manifests/, { status: 200, body: Buffer.alloc(5_000_000, 0x20) }],
    [
      'a manifest by another digest',
      /manifests/,
      { status: 200, body: '{"schemaVersion":2}', headers: { 'content-type': MANIFEST } },
    ],
    ['a manifest with one byte changed', /manifests/, { corrupt: true }],
    [
      'a manifest whose Docker-Content-Digest is another',
      /manifests/,
      { addHeaders: { 'docker-content-digest': `sha256:${'0'.repeat(64)}` } },
    ],
  ] as const)('refuses %s', async (_, path, action) => {
    const registry = await registryFor();
    const { descriptor } = await image(registry);
    registry.fault({ path, times: 99, action });
    expect(await codeOf(repositoryOf(registry).fetchManifest(descriptor.digest))).toBe('content-invalid');
  });

  it('refuses a manifest served by tag whose digest is not the one it is announced by', async () => {
    const registry = await registryFor();
    await image(registry);
    registry.fault({ path: /manifests/, action: { corrupt: true } });
    expect(await codeOf(repositoryOf(registry).fetchManifest(tagOf('v1')))).toBe('content-invalid');
  });

  it.each([
    ['with one byte changed', { corrupt: true }],
    ['that never ends', { endless: true }],
    ['that is longer', { status: 200, body: 'some bytes and more' }],
    ['that is shorter', { status: 200, body: 'some' }],
    ['announced by another digest', { addHeaders: { 'docker-content-digest': `sha256:${'0'.repeat(64)}` } }],
  ] as const)('refuses a blob %s', async (_, action) => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const blob = blobOf('some bytes');
    await pushBytes(target, blob);
    registry.fault({ method: 'GET', path: /blobs/, times: 99, action });
    expect(await codeOf(target.fetchBlob(blob.descriptor, 1000))).toBe('content-invalid');
    expect(await codeOf(target.openBlob(blob.descriptor).then(collect))).toBe('content-invalid');
  });

  it.each([
    ['that never ends', { endless: true }],
    ['of 200 KB', { status: 200, body: `{"token":"${'x'.repeat(200_000)}"}` }],
    ['that is no JSON', { status: 200, body: '<html>' }],
  ] as const)('refuses an answer of the token server %s', async (_, action) => {
    const registry = await registryFor({ auth: { mode: 'token', anonymous: ['pull'] } });
    registry.fault({ path: /^\/token/, times: 99, action });
    expect(await codeOf(repositoryOf(registry).resolve(tagOf('v1')))).toBe('content-invalid');
  });

  it.each([
    ['without a token', '{"expires_in":60}'],
    ['with a token that breaks out of its header', JSON.stringify({ token: 'a\r\nHost: evil' })],
    ['with an empty token', '{"token":""}'],
  ])('refuses an answer of the token server %s', async (_, body) => {
    const registry = await registryFor({ auth: { mode: 'token', anonymous: ['pull'] } });
    registry.fault({ path: /^\/token/, times: 99, action: { status: 200, body } });
    expect(await codeOf(repositoryOf(registry).resolve(tagOf('v1')))).toBe('unauthorized');
  });

  it.each([
    ['tags', { status: 200, body: '{"tags":[1,2]}' }],
    ['tags that never end', { endless: true }],
    ['tags with a key twice', { status: 200, body: '{"tags":["a"],"tags":["b"]}' }],
  ] as const)('refuses a list of %s', async (_, action) => {
    const registry = await registryFor();
    registry.fault({ path: /tags/, times: 99, action });
    expect(await codeOf(repositoryOf(registry).listTags())).toBe('content-invalid');
  });

  it('makes the words of an error short and printable', async () => {
    const registry = await registryFor();
    const message = `\u001b[31mred\u001b[0m\r\n\u202ereversed ${'x'.repeat(5000)}`;
    registry.fault({
      path: /manifests/,
      action: { status: 400, body: JSON.stringify({ errors: [{ code: 'MANIFEST_INVALID', message }] }) },
    });
    const error = await repositoryOf(registry)
      .fetchManifest(tagOf('v1'))
      .catch((caught: Error) => caught);
    expect((error as Error).message).toContain('red');
    expect((error as Error).message).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect((error as Error).message.length).toBeLessThan(600);
  });
});

describe('hazard 7: retry', () => {
  it.each([429, 500, 502, 503, 504, 408])('tries again after a %i on a tag', async (status) => {
    const registry = await registryFor();
    const { descriptor } = await pushImage(repositoryOf(registry), 'one', 'v1');
    registry.fault({ method: 'GET', path: /manifests/, times: 2, action: { status } });
    expect((await repositoryOf(registry).fetchManifest(tagOf('v1'))).descriptor.digest).toBe(
      descriptor.digest,
    );
  });

  it('tries again after a cut connection, on reads and on manifests', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    registry.fault({ method: 'HEAD', action: { reset: true } });
    registry.fault({ method: 'PUT', path: /manifests/, action: { loseAnswer: true } });
    const { descriptor } = await pushImage(target, 'one', 'v1');
    registry.fault({ method: 'GET', path: /manifests/, action: { cutAfter: 10 } });
    expect((await target.resolve(tagOf('v1'))).digest).toBe(descriptor.digest);
  });

  it.each([
    ['seconds', '7', 7000],
    ['a date', 'Thu, 01 Jan 2026 00:00:07 GMT', 7000],
  ])('waits as long as Retry-After says, in %s', async (_, value, ms) => {
    const registry = await registryFor();
    await pushImage(repositoryOf(registry), 'one', 'v1');
    const timing = new FakeTiming();
    registry.fault({
      method: 'HEAD',
      path: /manifests/,
      action: { status: 429, headers: { 'retry-after': value } },
    });
    await repositoryOf(registry, { timing }).resolve(tagOf('v1'));
    expect(timing.slept).toEqual([ms]);
  });

  it('does not wait for longer than it wants to, and says how long it was asked to', async () => {
    const registry = await registryFor();
    const timing = new FakeTiming();
    registry.fault({
      path: /manifests/,
      times: 99,
      action: { status: 429, headers: { 'retry-after': '3600' } },
    });
    await expect(repositoryOf(registry, { timing }).resolve(tagOf('v1'))).rejects.toMatchObject({
      code: 'registry-throttled',
      details: { retryAfterSeconds: 3600 },
    });
    expect(timing.slept).toEqual([]);
  });

  it('gives up in the end, within its deadline', async () => {
    const registry = await registryFor();
    const timing = new FakeTiming();
    registry.fault({
      path: /manifests/,
      times: 999,
      action: { status: 503, headers: { 'retry-after': '50' } },
    });
    expect(await codeOf(repositoryOf(registry, { timing }).resolve(tagOf('v1')))).toBe('registry-error');
    expect(timing.slept.reduce((sum, ms) => sum + ms, 0)).toBeLessThanOrEqual(180_000);
    expect(registry.log.length).toBeLessThanOrEqual(6);
  });

  it.each([400, 401, 403, 404])('does not try again after a %i', async (status) => {
    const registry = await registryFor();
    registry.fault({ path: /manifests/, times: 99, action: { status } });
    expect(await codeOf(repositoryOf(registry).fetchManifest(tagOf('v1')))).not.toBe('success');
    expect(registry.log).toHaveLength(1);
  });

  it('goes on with a cut download where it was, and still checks all of it', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const blob = blobOf('0123456789'.repeat(50_000));
    await pushBytes(target, blob);
    registry.fault({ method: 'GET', path: /blobs/, times: 3, action: { cutAfter: 100_000 } });
    const bytes = await collect(await target.openBlob(blob.descriptor));
    expect(digestOf(bytes)).toBe(blob.descriptor.digest);
    const ranges = registry.log.flatMap(({ headers }) => headers['range'] ?? []);
    expect(ranges).toHaveLength(3);
    expect(new Set(ranges).size).toBe(3);
  });

  it('gives up a download that is cut off after each byte', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const blob = blobOf('0123456789'.repeat(100));
    await pushBytes(target, blob);
    registry.fault({ method: 'GET', path: /blobs/, times: 999, action: { cutAfter: 1 } });
    expect(await codeOf(target.openBlob(blob.descriptor).then(collect))).toBe('registry-unreachable');
    expect(registry.requests(/blobs\/sha256/).length).toBeLessThan(20);
  });

  it('finds a byte that was changed in the part after a cut', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const blob = blobOf('0123456789'.repeat(50_000));
    await pushBytes(target, blob);
    registry.fault({ method: 'GET', path: /blobs/, action: { cutAfter: 100_000 } });
    registry.fault({ method: 'GET', path: /blobs/, action: { corrupt: true } });
    expect(await codeOf(target.openBlob(blob.descriptor).then(collect))).toBe('content-invalid');
  });

  it('starts a cut download again where the registry has no ranges', async () => {
    const registry = await registryFor({ ranges: false });
    const target = repositoryOf(registry);
    const blob = blobOf('0123456789'.repeat(50_000));
    await pushBytes(target, blob);
    registry.fault({ method: 'GET', path: /blobs/, times: 2, action: { cutAfter: 100_000 } });
    expect(digestOf(await collect(await target.openBlob(blob.descriptor)))).toBe(blob.descriptor.digest);
  });

  it('refuses another range than it asked for', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const blob = blobOf('0123456789'.repeat(50_000));
    await pushBytes(target, blob);
    registry.fault({ method: 'GET', path: /blobs/, action: { cutAfter: 100_000 } });
    registry.fault({
      method: 'GET',
      path: /blobs/,
      action: { status: 206, body: 'x', headers: { 'content-range': 'bytes 0-0/500000' } },
    });
    expect(await codeOf(target.openBlob(blob.descriptor).then(collect))).toBe('content-invalid');
  });

  it.each([
    ['its answer was lost', { loseAnswer: true }, 'pushed'],
    ['the connection was cut', { reset: true }, 'pushed'],
    ['the registry broke', { status: 500 }, 'pushed'],
    ['the upload was lost', { status: 404, body: '{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}' }, 'pushed'],
  ] as const)(
    'begins an upload anew where %s, after a look whether it arrived',
    async (_, action, outcome) => {
      const registry = await registryFor();
      const target = repositoryOf(registry);
      const blob = blobOf('0123456789'.repeat(1000));
      registry.fault({ method: 'PUT', path: /uploads/, action });
      let opened = 0;
      const open = async () => {
        opened++;
        return streamOf(blob.bytes);
      };
      expect(await target.pushBlob(blob.descriptor, open)).toBe(outcome);
      expect(await target.hasBlob(blob.descriptor)).toBe(true);
      const arrived = 'loseAnswer' in action;
      expect(opened).toBe(arrived ? 1 : 2);
      expect(registry.requests(/blobs\/sha256/).filter((line) => line.startsWith('HEAD'))).toHaveLength(3);
    },
  );

  it.each([
    ['is not there', 'not-found', { status: 404 }],
    ['cannot be reached', 'registry-unreachable', { transient: true }],
  ] as const)('does not upload again and again what %s', async (_, code, details) => {
    const registry = await registryFor();
    const failing = async () => {
      opened++;
      throw new BullaError(code, 'no source', { hint: 'x', details });
    };
    let opened = 0;
    expect(await codeOf(repositoryOf(registry).pushBlob(blobOf('x').descriptor, failing))).toBe(code);
    expect(opened).toBe(1);
  });

  it('asks for a login again once, and not for ever', async () => {
    const registry = await registryFor({ auth: { mode: 'token', users: USERS, weakTokens: 1000 } });
    const target = repositoryOf(registry, { credentials: fixedCredentials(registry.host, ME) });
    expect(await codeOf(target.resolve(tagOf('v1')))).toBe('unauthorized');
    expect(registry.requests(/^\/token/).length).toBeLessThanOrEqual(2);
  });

  it('can be called off while it waits', async () => {
    const registry = await registryFor();
    registry.fault({ path: /manifests/, times: 99, action: { status: 503 } });
    const controller = new AbortController();
    const waiting = codeOf(
      repositoryOf(registry, {
        timing: {
          now: () => 0,
          random: () => 0,
          async sleep(_, signal) {
            controller.abort();
            await REAL_TIMING.sleep(60_000, signal);
          },
        },
      }).resolve(tagOf('v1'), { signal: controller.signal }),
    );
    expect(await waiting).toBe('interrupted');
  });
});

describe('hazard 8: old dialects', () => {
  it('always says which types of manifest it takes', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one', 'v1');
    await target.resolve(tagOf('v1'));
    await target.fetchManifest(image.descriptor.digest);
    await target.fetchManifestUnless(tagOf('v1'), image.descriptor.digest);
    const accepts = registry.log
      .filter(({ method, path }) => method !== 'PUT' && path.includes('/manifests/'))
      .map(({ headers }) => headers['accept']);
    expect(accepts.length).toBeGreaterThanOrEqual(3);
    for (const accept of accepts) expect(accept).toContain(MANIFEST);
  });

  it.each([
    ['sorted, in pages', { tagsPage: 3 }],
    ['unsorted and whole, whatever n and last say', { unsortedTags: true }],
  ])('lists tags that come %s', async (_, behaviour) => {
    const registry = await registryFor(behaviour);
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one');
    const names = Array.from({ length: 10 }, (_item, at) => `v${at}`);
    for (const name of names) await target.pushManifest(image, { tag: tagOf(name) });
    expect([...(await target.listTags())].sort()).toEqual(names);
    expect(await target.listTags({ last: tagOf('v6') })).toEqual(expect.arrayContaining(['v7', 'v8', 'v9']));
  });

  it('ends where the pages of tags repeat themselves', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    registry.fault({
      path: /tags/,
      times: 99,
      action: {
        status: 200,
        body: '{"tags":["a","b"]}',
        headers: { link: '</v2/team/app/tags/list?n=2>; rel=next' },
      },
    });
    expect(await target.listTags()).toEqual(['a', 'b']);
    expect(registry.log).toHaveLength(2);
  });

  it('reads an empty list that is written as null', async () => {
    const registry = await registryFor();
    registry.fault({ path: /tags/, action: { status: 200, body: '{"name":"team/app","tags":null}' } });
    expect(await repositoryOf(registry).listTags()).toEqual([]);
  });

  it.each([
    [405, '{"errors":[{"code":"UNSUPPORTED"}]}'],
    [400, '{"errors":[{"code":"DIGEST_INVALID"}]}'],
    [405, '<html>Method Not Allowed</html>'],
  ])('says that deletion is off where it is answered %i', async (status, body) => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one', 'v1');
    registry.fault({ method: 'DELETE', times: 2, action: { status, body } });
    await expect(target.deleteManifest(image.descriptor.digest)).rejects.toMatchObject({
      code: 'registry-error',
      hint: expect.stringContaining('switched off'),
    });
    await expect(target.deleteTag(tagOf('v1'))).rejects.toMatchObject({
      hint: expect.stringContaining('tag alone'),
    });
  });

  it('goes on with a normal upload where a mount is answered 202, and mounts where it is 201', async () => {
    const registry = await registryFor({ mounts: false });
    const target = repositoryOf(registry);
    const blob = blobOf('to be mounted');
    await pushBytes(repositoryOf(registry, {}, 'other/app'), blob);
    const push = () =>
      target.pushBlob(blob.descriptor, async () => streamOf(blob.bytes), {
        mountFrom: ['other/app'],
        known: 'absent',
      });
    expect(await push()).toBe('pushed');
    expect(registry.requests(/team\/app\/blobs\/uploads/)).toHaveLength(2);
    registry.behaviour.mounts = true;
    registry.repository('team/app').blobs.clear();
    registry.forget();
    expect(await push()).toBe('mounted');
    expect(registry.log).toHaveLength(1);
  });

  it('takes a PATCH that is answered 201, and smaller chunks where a blob is answered 413', async () => {
    const registry = await registryFor({ maxWholeBlob: 1000 });
    const blob = blobOf('x'.repeat(17 * 1024 * 1024));
    expect(await pushBytes(repositoryOf(registry), blob)).toBe('pushed');
    expect(registry.requests(/uploads/).filter((line) => line.startsWith('PATCH'))).toHaveLength(2);
  });

  it.each([
    ['plain text', 'Bad Gateway: upstream'],
    ['HTML', '<!DOCTYPE html><html><body><h1>Sorry</h1></body></html>'],
    ['nothing', ''],
    ['bytes', Buffer.from([0xff, 0xfe, 0x00])],
  ])('reads an error that is %s', async (_, body) => {
    const registry = await registryFor();
    registry.fault({ path: /manifests/, action: { status: 418, body } });
    expect(await codeOf(repositoryOf(registry).fetchManifest(tagOf('v1')))).toBe('registry-error');
  });

  it('asks by GET where HEAD is not allowed, or does not say enough', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one', 'v1');
    registry.fault({ method: 'HEAD', path: /manifests/, action: { status: 405 } });
    expect((await target.resolve(tagOf('v1'))).digest).toBe(image.descriptor.digest);
    registry.fault({ method: 'HEAD', path: /manifests/, action: { status: 200 } });
    expect((await target.resolve(tagOf('v1'))).digest).toBe(image.descriptor.digest);
  });

  it('takes no offence at a sha512 blob that is reported by its sha256', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const { bytes, descriptor } = blobOf('by sha512');
    const blob = { bytes, descriptor: { ...descriptor, digest: digestOf(bytes, 'sha512') } };
    registry.fault({
      method: 'PUT',
      path: /uploads/,
      action: { addHeaders: { 'docker-content-digest': descriptor.digest } },
    });
    expect(await pushBytes(target, blob)).toBe('pushed');
  });
});

describe('hazard: being led around', () => {
  /** A registry that takes 50 s for each answer, and answers so. */
  async function slow(status: number, headers: Readonly<Record<string, string>>): Promise<[string, number]> {
    const registry = await registryFor();
    const timing = new FakeTiming();
    const credentials = fixedCredentials(registry.host, ME);
    const target = repositoryOf(registry, { timing, credentials, retry: { tries: 1 } });
    const answer = (_: IncomingMessage, response: ServerResponse): void => {
      timing.pass(50_000);
      response.writeHead(status, headers).end();
    };
    registry.fault({ times: Number.POSITIVE_INFINITY, action: { answer } });
    return [await codeOf(target.fetchManifest(tagOf('v1'))), registry.log.length];
  }

  it('ends a try that goes from one slow redirect to the next', async () => {
    expect(await slow(307, { location: '/v2/team/app/manifests/again' })).toEqual(['timeout', 3]);
  });

  it('answers a demand to log in no more than twice', async () => {
    const [code, requests] = await slow(401, { 'www-authenticate': 'Basic realm="x"' });
    expect(code).toBe('unauthorized');
    expect(requests).toBeLessThanOrEqual(3);
  });

  it('does not wait for a year because it is asked to', async () => {
    const [code, requests] = await slow(503, { 'retry-after': '31536000' });
    expect([code, requests]).toEqual(['registry-error', 1]);
  });
});
