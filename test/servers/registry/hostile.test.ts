import { readdir } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { artifact, type Client, digestOf, startTestRegistry, temporaryDirectory } from './client.ts';

const HEX = 'a'.repeat(64);
const DIGEST = `sha256:${HEX}`;

/** Every file and directory below a directory. */
async function everything(dir: string): Promise<string[]> {
  const names = await readdir(dir, { recursive: true });
  return names.filter((name) => !/\.bulla(?:\/|$)/.test(name)).sort();
}

describe('path traversal', () => {
  const up = '../../../../../../tmp/bulla-escape';
  const encoded = encodeURIComponent(up);
  const table = [
    { field: 'the name, as it is', method: 'PUT', path: `/v2/${up}/manifests/v1` },
    { field: 'the name, encoded', method: 'PUT', path: `/v2/${encoded}/manifests/v1` },
    {
      field: 'the name, encoded twice',
      method: 'PUT',
      path: `/v2/${encodeURIComponent(encoded)}/manifests/v1`,
    },
    { field: 'the name, with backslashes', method: 'PUT', path: '/v2/..%5C..%5Cx/manifests/v1' },
    { field: 'the name, with a NUL', method: 'PUT', path: '/v2/a%00b/manifests/v1' },
    { field: 'the name, overlong UTF-8', method: 'PUT', path: '/v2/%c0%ae%c0%ae/manifests/v1' },
    { field: 'the name, the private directory', method: 'POST', path: '/v2/.bulla/blobs/uploads/' },
    { field: 'the name, below the private directory', method: 'POST', path: '/v2/a/.bulla/x/blobs/uploads/' },
    { field: 'the name, an empty component', method: 'POST', path: '/v2/a//b/blobs/uploads/' },
    { field: 'the name, a dot', method: 'POST', path: '/v2/a/./b/blobs/uploads/' },
    {
      field: 'the name, what our own directories are called',
      method: 'POST',
      path: '/v2/a/_blobs/blobs/uploads/',
    },
    { field: 'the tag', method: 'PUT', path: `/v2/a/manifests/${encoded}` },
    { field: 'the tag, to read', method: 'GET', path: `/v2/a/manifests/${encoded}` },
    { field: 'the digest of a manifest', method: 'GET', path: `/v2/a/manifests/sha256:${encoded}` },
    { field: 'the digest of a blob', method: 'GET', path: `/v2/a/blobs/sha256:${encoded}` },
    { field: 'the digest of a blob, an algorithm', method: 'GET', path: `/v2/a/blobs/..%2fsha256:${HEX}` },
    { field: 'the digest to delete', method: 'DELETE', path: `/v2/a/blobs/sha256:${encoded}` },
    { field: 'the digest of referrers', method: 'GET', path: `/v2/a/referrers/sha256:${encoded}` },
    { field: 'the id of an upload', method: 'PATCH', path: `/v2/a/blobs/uploads/${encoded}` },
    { field: 'the id of an upload, to cancel', method: 'DELETE', path: '/v2/a/blobs/uploads/..%2Flock' },
    {
      field: 'the digest of a whole upload',
      method: 'POST',
      path: `/v2/a/blobs/uploads/?digest=sha256:${encoded}`,
    },
    { field: 'the digest to mount', method: 'POST', path: `/v2/a/blobs/uploads/?mount=${encoded}&from=b` },
    { field: 'a tag beside a digest', method: 'PUT', path: `/v2/a/manifests/${DIGEST}?tag=${encoded}` },
    { field: 'the algorithm', method: 'POST', path: `/v2/a/blobs/uploads/?digest-algorithm=${encoded}` },
    { field: 'a whole URL', method: 'GET', path: 'http://127.0.0.1/v2/a/tags/list' },
    { field: 'a name as JavaScript has it', method: 'GET', path: '/v2/__proto__/manifests/v1' },
    { field: 'a tag as JavaScript has it', method: 'GET', path: '/v2/a/manifests/__proto__' },
    { field: 'a broken encoding', method: 'GET', path: '/v2/%zz/tags/list' },
  ];
  it.each(table)('is refused in $field', async ({ method, path }) => {
    const parent = await temporaryDirectory();
    const { client } = await startTestRegistry({ dir: join(parent, 'registry') });
    const before = await everything(parent);
    const headers = { 'Content-Type': 'application/vnd.oci.image.manifest.v1+json' };
    const body = method === 'PUT' ? artifact('x') : '';
    const answer = await client.send(method, path, { headers, body });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    expect(await everything(parent)).toEqual(before);
    expect((await client.send('GET', '/v2/_catalog')).json()).toEqual({ repositories: [] });
  });

  it('is harmless where it cannot be told from a name that is not there', async () => {
    const { client, dir } = await startTestRegistry();
    const answer = await client.send('POST', `/v2/a/blobs/uploads/?mount=${DIGEST}&from=${encoded}`);
    expect(answer.status).toBe(202);
    expect(await everything(dir)).toEqual([]);
  });
});

describe('what is refused', () => {
  it.each([
    { what: 'a manifest whose content is missing', headers: {}, status: 400 },
    { what: 'a condition that does not hold', headers: { 'If-Match': `"${DIGEST}"` }, status: 412 },
  ])('makes no repository: $what', async ({ headers, status }) => {
    const { client, dir } = await startTestRegistry();
    expect((await client.put('v1', artifact('x'), headers)).status).toBe(status);
    expect((await client.send('GET', '/v2/_catalog')).json()).toEqual({ repositories: [] });
    expect(await everything(dir)).toEqual([]);
  });
});

describe('limits of names and tags', () => {
  const table = [
    {
      what: 'a name of 255 characters',
      name: `${'a'.repeat(127)}/${'b'.repeat(127)}`,
      tag: 'v1',
      status: 201,
    },
    {
      what: 'a name of 256 characters',
      name: `${'a'.repeat(127)}/${'b'.repeat(128)}`,
      tag: 'v1',
      status: 400,
    },
    { what: '128 directories deep', name: Array(128).fill('a').join('/'), tag: 'v1', status: 201 },
    { what: 'capital letters', name: 'Team/app', tag: 'v1', status: 400 },
    { what: 'a separator at the end', name: 'team/app-', tag: 'v1', status: 400 },
    { what: 'three underscores', name: 'a___b', tag: 'v1', status: 400 },
    { what: 'all separators', name: 'a.b_c__d---e', tag: 'v1', status: 201 },
    { what: 'a tag of 128 characters', name: 'a', tag: 'x'.repeat(128), status: 201 },
    { what: 'a tag of 129 characters', name: 'a', tag: 'x'.repeat(129), status: 400 },
    { what: 'a tag that starts with a dot', name: 'a', tag: '.x', status: 400 },
    { what: 'a tag that starts with an underscore', name: 'a', tag: '_x', status: 201 },
    { what: 'a tag of dots', name: 'a', tag: '_..', status: 201 },
    { what: 'a tag with a line break', name: 'a', tag: 'x%0a', status: 400 },
    { what: 'a digest in capital letters', name: 'a', tag: `sha256:${HEX.toUpperCase()}`, status: 400 },
    { what: 'a digest that is too short', name: 'a', tag: `sha256:${HEX.slice(1)}`, status: 400 },
    { what: 'a digest that is too long', name: 'a', tag: `sha256:${HEX}a`, status: 400 },
    { what: 'an algorithm that nobody has', name: 'a', tag: `sha384:${HEX}`, status: 400 },
    { what: 'a digest of other content', name: 'a', tag: DIGEST, status: 400 },
  ];
  it.each(table)('$what: $status', async ({ name, tag, status }) => {
    const { client } = await startTestRegistry({ sparse: true });
    client.repository = name;
    expect((await client.put(tag, artifact('x'))).status).toBe(status);
    if (status === 201) expect((await client.get(`/manifests/${tag}`)).text()).toBe(artifact('x'));
  });
});

describe('uploads that lie', () => {
  const content = 'twelve bytes';
  const table = [
    { what: 'digest of other content', query: `?digest=${DIGEST}`, body: content, status: 400 },
    {
      what: 'digest of other content, sha512',
      query: `?digest=${digestOf('x', 'sha512')}`,
      body: content,
      status: 400,
    },
    { what: 'no digest', query: '', body: content, status: 400 },
    { what: 'an empty digest', query: '?digest=', body: content, status: 400 },
    { what: 'a digest of no algorithm', query: `?digest=${HEX}`, body: content, status: 400 },
    {
      what: 'a last chunk in the wrong place',
      query: `?digest=${digestOf(content)}`,
      body: content,
      range: '5-16',
      status: 416,
    },
    {
      what: 'a range that goes backwards',
      query: `?digest=${digestOf(content)}`,
      body: content,
      range: '11-0',
      status: 400,
    },
    {
      what: 'a range of numbers that no double holds',
      query: `?digest=${digestOf(content)}`,
      body: content,
      range: '0-99999999999999999999',
      status: 400,
    },
    {
      what: 'a range that is shorter than the body',
      query: `?digest=${digestOf(content)}`,
      body: content,
      range: '0-10',
      status: 400,
    },
    {
      what: 'two ranges',
      query: `?digest=${digestOf(content)}`,
      body: content,
      range: '0-11, 0-11',
      status: 400,
    },
  ];
  it.each(table)('$what', async ({ query, body, range, status }) => {
    const { client, dir } = await startTestRegistry();
    const location = await client.startUpload();
    const headers = range === undefined ? {} : { 'Content-Range': range };
    const answer = await client.send('PUT', `${location}${query}`, { body, headers });
    expect(answer.status).toBe(status);
    expect((await client.get(`/blobs/${digestOf(content)}`)).status).toBe(404);
    expect(await everything(dir)).toEqual([]);
  });

  it('belong to their repository', async () => {
    const { client } = await startTestRegistry();
    const id = (await client.startUpload()).split('/').at(-1);
    const answer = await client.send('PUT', `/v2/other/blobs/uploads/${id}?digest=${digestOf('x')}`, {
      body: 'x',
    });
    expect(answer.code()).toBe('BLOB_UPLOAD_UNKNOWN');
  });

  it('cannot be written by two at once', async () => {
    const { client } = await startTestRegistry();
    const location = await client.startUpload();
    const socket = await client.raw();
    socket.write(`PATCH ${location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nfirst`);
    const other = (): Promise<number> =>
      client.send('PATCH', location, { body: '' }).then(({ status }) => status);
    await expect.poll(other).toBe(409);
    socket.destroy();
    await expect.poll(async () => (await client.send('GET', location)).headers['range']).toBe('0-4');
  });

  it('end where a blob may be no larger', async () => {
    const { client } = await startTestRegistry({ limits: { blobBytes: 10 } });
    const path = `/v2/a/blobs/uploads/?digest=${digestOf(content)}`;
    expect((await client.send('POST', path, { body: content })).status).toBe(413);
    const chunked = { 'Transfer-Encoding': 'chunked' };
    expect((await client.send('POST', path, { body: content, headers: chunked })).status).toBe(413);
    const location = await client.startUpload();
    expect((await client.send('PATCH', location, { body: '12345678' })).status).toBe(202);
    expect((await client.send('PATCH', location, { body: '12345678' })).status).toBe(413);
  });

  it('that are idle make room, and those with content stay', async () => {
    const { client } = await startTestRegistry({ limits: { uploads: 50 } });
    const location = await client.startUpload();
    await client.send('PATCH', location, { body: 'twelve' });
    for (let i = 0; i < 300; i++) await client.startUpload();
    const metrics = (await client.send('GET', '/metrics')).text();
    expect(metrics).toContain('bulla_registry_uploads 50');
    const answer = await client.send('PUT', `${location}?digest=${digestOf(content)}`, { body: ' bytes' });
    expect(answer.status).toBe(201);
  });

  it('are refused when too many have content', async () => {
    const { client } = await startTestRegistry({ limits: { uploads: 3 } });
    for (let i = 0; i < 3; i++) await client.send('PATCH', await client.startUpload(), { body: 'x' });
    const answer = await client.send('POST', '/v2/a/blobs/uploads/');
    expect([answer.status, answer.code()]).toEqual([429, 'TOOMANYREQUESTS']);
  });
});

describe('connections', () => {
  /** All that comes until the other side ends it. */
  async function untilClosed(socket: Socket): Promise<string> {
    let text = '';
    socket.on('data', (data) => {
      text += data.toString();
    });
    socket.on('error', () => undefined);
    await new Promise((resolve) => socket.once('close', resolve));
    return text;
  }

  async function isFine(client: Client): Promise<void> {
    expect((await client.send('GET', '/v2/')).status).toBe(200);
  }

  it('with headers that are too large are told so', async () => {
    const { client } = await startTestRegistry();
    const answer = await client.send('GET', '/v2/', { headers: { 'X-Flood': 'x'.repeat(40_000) } });
    expect(answer.status).toBe(431);
    await isFine(client);
  });

  it('with thousands of headers do not lose a condition among them', async () => {
    const { client } = await startTestRegistry();
    const first = await client.pushArtifact('head', 'first');
    const flood = Object.fromEntries([...Array(2500).keys()].map((i) => [`x${i}`, '']));
    const answer = await client.put('head', artifact('next'), { ...flood, 'If-None-Match': '*' });
    expect([412, 431]).toContain(answer.status);
    expect((await client.get('/manifests/head')).text()).toBe(first);
  });

  it('that dribble their headers are closed', async () => {
    const { client } = await startTestRegistry({ limits: { headersMs: 300 } });
    const socket = await client.raw();
    const dribble = setInterval(() => socket.write('X: y\r\n'), 50);
    socket.write('GET /v2/ HTTP/1.1\r\nHost: localhost\r\n');
    expect(await untilClosed(socket)).toMatch(/^HTTP\/1.1 408 /);
    clearInterval(dribble);
    await isFine(client);
  });

  it('that dribble their body are closed', async () => {
    const { client } = await startTestRegistry({ limits: { idleMs: 400 } });
    const location = await client.startUpload();
    const socket = await client.raw();
    const dribble = setInterval(() => socket.write('x'), 50);
    socket.write(`PATCH ${location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n`);
    expect(await untilClosed(socket)).toMatch(/^HTTP\/1.1 408 /);
    clearInterval(dribble);
    await isFine(client);
  });

  it('on which nothing comes are closed', async () => {
    const { client } = await startTestRegistry({ limits: { idleMs: 200 } });
    const body = await client.raw();
    body.write(
      `PATCH ${await client.startUpload()} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n`,
    );
    await untilClosed(body);
    await untilClosed(await client.raw());
    await isFine(client);
  });

  it('that do not read what they asked for are closed, and hold nobody up', async () => {
    const { client } = await startTestRegistry({ limits: { idleMs: 300 } });
    const digest = await client.pushBlob(Buffer.alloc(32 * 1024 * 1024));
    const slow = await Promise.all([...Array(20).keys()].map(() => client.raw()));
    for (const socket of slow) {
      socket.pause();
      socket.write(`GET /v2/team/app/blobs/${digest} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    }
    expect((await client.get(`/blobs/${digest}`)).body.byteLength).toBe(32 * 1024 * 1024);
    const requests = async (): Promise<string> => (await client.send('GET', '/metrics')).text();
    await expect
      .poll(requests, { timeout: 20_000 })
      .toContain('bulla_registry_requests_total{method="GET",route="blob",status="200"} 21');
  });

  it('by the hundred, idle, leave room for those that work', async () => {
    const { client } = await startTestRegistry();
    const idle = await Promise.all([...Array(500).keys()].map(() => client.raw()));
    for (const socket of idle) socket.write('GET /v2/ HTTP/1.1\r\n');
    await client.pushArtifact('v1', 'x');
  });

  it.each([
    { what: 'garbage', text: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' },
    {
      what: 'two lengths',
      text: 'POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
    },
    {
      what: 'a length and chunks',
      text: 'POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    },
    {
      what: 'a negative length',
      text: 'POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n',
    },
    {
      what: 'a chunk of no size',
      text: 'PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    },
    { what: 'a bare line feed in a header', text: 'GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX: a\nY\r\n\r\n' },
  ])('that send $what are closed', async ({ text }) => {
    const { client, dir } = await startTestRegistry({ limits: { idleMs: 1000 } });
    const socket = await client.raw();
    socket.write(Buffer.from(text, 'latin1'));
    const answer = await untilClosed(socket);
    expect(answer).not.toMatch(/^HTTP\/1.1 2/);
    await isFine(client);
    expect(await everything(dir)).toEqual([]);
  });

  it('are not fed a body that was refused', async () => {
    const { client } = await startTestRegistry();
    const socket = await client.raw();
    socket.write(
      'PUT /v2/UPPER/manifests/v1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n',
    );
    const answer = await untilClosed(socket);
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
    expect(answer).not.toContain('100 Continue');
  });
});
