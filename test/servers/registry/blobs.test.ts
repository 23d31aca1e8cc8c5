import { createHash, randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf, startTestRegistry, temporaryDirectory } from './client.ts';

const CONTENT = 'twelve bytes';
const DIGEST = digestOf(CONTENT);

describe('uploading', () => {
  it('takes POST then PUT', async () => {
    const { client } = await startTestRegistry();
    const location = await client.startUpload();
    const answer = await client.send('PUT', `${location}?digest=${DIGEST}`, { body: CONTENT });
    expect(answer.status).toBe(201);
    expect(answer.headers['location']).toBe(`/v2/team/app/blobs/${DIGEST}`);
    expect(answer.headers['docker-content-digest']).toBe(DIGEST);
    expect((await client.get(`/blobs/${DIGEST}`)).text()).toBe(CONTENT);
  });

  it('takes chunks in order, says where it is, and refuses what is out of order', async () => {
    const { client } = await startTestRegistry();
    const location = await client.startUpload();
    const patch = (body: string, range: string): ReturnType<typeof client.send> =>
      client.send('PATCH', location, { body, headers: { 'Content-Range': range } });
    expect((await patch('twelve', '0-5')).headers['range']).toBe('0-5');
    const early = await patch('tes', '9-11');
    expect(early.status).toBe(416);
    expect(early.headers['range']).toBe('0-5');
    const overlapping = await patch('lve byt', '3-9');
    expect(overlapping.status).toBe(416);
    expect((await client.send('GET', location)).headers['range']).toBe('0-5');
    expect((await patch(' bytes', '6-11')).status).toBe(202);
    expect((await client.send('PUT', `${location}?digest=${DIGEST}`)).status).toBe(201);
    expect((await client.get(`/blobs/${DIGEST}`)).text()).toBe(CONTENT);
  });

  it('undoes a chunk whose length is not what Content-Range says', async () => {
    const { client } = await startTestRegistry();
    const location = await client.startUpload();
    const chunked = { 'Content-Range': '0-5', 'Transfer-Encoding': 'chunked' };
    expect((await client.send('PATCH', location, { body: 'twelve and more', headers: chunked })).status).toBe(
      400,
    );
    expect((await client.send('PATCH', location, { body: 'tw', headers: chunked })).status).toBe(400);
    const wrong = { 'Content-Range': '0-5' };
    expect((await client.send('PATCH', location, { body: 'tw', headers: wrong })).code()).toBe(
      'SIZE_INVALID',
    );
    const right = await client.send('PATCH', location, { body: 'twelve', headers: wrong });
    expect(right.headers['range']).toBe('0-5');
    const last = await client.send('PUT', `${location}?digest=${DIGEST}`, { body: ' bytes' });
    expect(last.status).toBe(201);
  });

  it('goes on where a connection broke', async () => {
    const { client } = await startTestRegistry();
    const location = await client.startUpload();
    const socket = await client.raw();
    socket.write(`PATCH ${location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\ntwelve`);
    await expect.poll(async () => (await client.send('GET', location)).status).toBe(204);
    socket.destroy();
    await expect.poll(async () => (await client.send('GET', location)).headers['range']).toBe('0-5');
    // 409 as long as the server has not noticed that the connection is gone.
    const end = (): ReturnType<typeof client.send> =>
      client.send('PUT', `${location}?digest=${DIGEST}`, { body: ' bytes' });
    await expect.poll(async () => (await end()).status).toBe(201);
  });

  it('takes sha512, announced or not', async () => {
    const { client } = await startTestRegistry();
    const digest = digestOf(CONTENT, 'sha512');
    for (const query of ['', '?digest-algorithm=sha512']) {
      const location = await client.startUpload(query);
      expect((await client.send('PUT', `${location}?digest=${digest}`, { body: CONTENT })).status).toBe(201);
    }
    const answer = await client.get(`/blobs/${digest}`);
    expect(answer.headers['docker-content-digest']).toBe(digest);
    expect(answer.text()).toBe(CONTENT);
  });

  it('cancels', async () => {
    const { client } = await startTestRegistry();
    const location = await client.startUpload();
    expect((await client.send('DELETE', location)).status).toBe(204);
    expect((await client.send('PUT', `${location}?digest=${DIGEST}`, { body: CONTENT })).code()).toBe(
      'BLOB_UPLOAD_UNKNOWN',
    );
  });

  it('stores many megabytes as they were sent', async () => {
    const { client } = await startTestRegistry();
    const bytes = randomBytes(9 * 1024 * 1024 + 17);
    const digest = await client.pushBlob(bytes);
    const { body } = await client.get(`/blobs/${digest}`);
    expect(createHash('sha256').update(body).digest('hex')).toBe(digest.slice(7));
  });

  it('drops what nobody goes on with', async () => {
    const { client, dir } = await startTestRegistry({ limits: { uploadExpiryMs: 50 } });
    const location = await client.startUpload();
    await client.send('PATCH', location, { body: 'twelve' });
    const path = join(dir, '.bulla', 'uploads', location.split('/').at(-1) ?? '');
    expect((await stat(path)).size).toBe(6);
    await expect.poll(async () => (await client.send('GET', location)).status).toBe(404);
    await expect.poll(() => stat(path).catch(() => undefined)).toBeUndefined();
  });
});

describe('mounting', () => {
  it('shares the file between repositories, and each can lose its own', async () => {
    const { client, dir } = await startTestRegistry();
    await client.pushBlob(CONTENT);
    const answer = await client.send('POST', `/v2/other/blobs/uploads/?mount=${DIGEST}&from=team/app`);
    expect(answer.status).toBe(201);
    const inode = async (repository: string): Promise<number> =>
      (await stat(join(dir, repository, 'blobs', 'sha256', DIGEST.slice(7)))).ino;
    expect(await inode('other')).toBe(await inode('team/app'));
    expect((await client.send('DELETE', `/v2/team/app/blobs/${DIGEST}`)).status).toBe(202);
    expect((await client.get(`/blobs/${DIGEST}`)).status).toBe(404);
    expect((await client.send('GET', `/v2/other/blobs/${DIGEST}`)).text()).toBe(CONTENT);
  });

  it('finds the blob without being told where', async () => {
    const { client } = await startTestRegistry();
    await client.pushBlob(CONTENT);
    expect((await client.send('POST', `/v2/other/blobs/uploads/?mount=${DIGEST}`)).status).toBe(201);
  });

  it.each(['no/such', '../team/app', 'TEAM'])('starts an upload where %j does not have it', async (from) => {
    const { client } = await startTestRegistry();
    const answer = await client.send('POST', `/v2/other/blobs/uploads/?mount=${DIGEST}&from=${from}`);
    expect(answer.status).toBe(202);
    expect((await client.send('GET', '/v2/_catalog')).json()['repositories']).toEqual([]);
  });
});

describe('reading', () => {
  const content = '0123456789';
  it.each([
    { range: 'bytes=0-3', status: 206, body: '0123', contentRange: 'bytes 0-3/10' },
    { range: 'bytes=7-', status: 206, body: '789', contentRange: 'bytes 7-9/10' },
    { range: 'bytes=-2', status: 206, body: '89', contentRange: 'bytes 8-9/10' },
    { range: 'bytes=-200', status: 206, body: content, contentRange: 'bytes 0-9/10' },
    { range: 'bytes=8-900', status: 206, body: '89', contentRange: 'bytes 8-9/10' },
    { range: 'bytes=10-', status: 416, body: undefined, contentRange: 'bytes */10' },
    { range: 'bytes=5-2', status: 416, body: undefined, contentRange: 'bytes */10' },
    { range: 'bytes=-0', status: 416, body: undefined, contentRange: 'bytes */10' },
    { range: 'bytes=0-1,4-5', status: 200, body: content, contentRange: undefined },
    { range: 'bytes=-', status: 200, body: content, contentRange: undefined },
    { range: 'lines=1-2', status: 200, body: content, contentRange: undefined },
    { range: 'bytes=99999999999999999999-', status: 200, body: content, contentRange: undefined },
  ])('answers Range $range with $status', async ({ range, status, body, contentRange }) => {
    const { client } = await startTestRegistry();
    const digest = await client.pushBlob(content);
    const answer = await client.get(`/blobs/${digest}`, { Range: range });
    expect(answer.status).toBe(status);
    expect(answer.headers['content-range']).toBe(contentRange);
    if (body !== undefined) expect(answer.text()).toBe(body);
  });

  it('sends the whole where If-Range names something else', async () => {
    const { client } = await startTestRegistry();
    const digest = await client.pushBlob(content);
    const range = { Range: 'bytes=0-3' };
    expect((await client.get(`/blobs/${digest}`, { ...range, 'If-Range': '"other"' })).status).toBe(200);
    expect((await client.get(`/blobs/${digest}`, { ...range, 'If-Range': `"${digest}"` })).status).toBe(206);
  });

  it('says 304 to who has it', async () => {
    const { client } = await startTestRegistry();
    const digest = await client.pushBlob(content);
    for (const known of [`"${digest}"`, `W/"${digest}"`, `"x", "${digest}"`, '*']) {
      const answer = await client.get(`/blobs/${digest}`, { 'If-None-Match': known });
      expect([answer.status, answer.headers['etag'], answer.body.length]).toEqual([304, `"${digest}"`, 0]);
    }
    expect((await client.get(`/blobs/${digest}`, { 'If-None-Match': '"other"' })).status).toBe(200);
  });

  it('serves the empty blob', async () => {
    const { client } = await startTestRegistry();
    const digest = await client.pushBlob('');
    const answer = await client.get(`/blobs/${digest}`);
    expect([answer.status, answer.body.length]).toEqual([200, 0]);
    expect((await client.get(`/blobs/${digest}`, { Range: 'bytes=0-' })).status).toBe(416);
  });
});

describe('deleting', () => {
  it('does not take a manifest for a blob', async () => {
    const { client } = await startTestRegistry();
    const body = await client.pushArtifact('v1', 'x');
    expect((await client.send('DELETE', `/v2/team/app/blobs/${digestOf(body)}`)).status).toBe(405);
    expect((await client.get('/manifests/v1')).text()).toBe(body);
  });

  it('gives the room back', async () => {
    const { client, dir } = await startTestRegistry({ dir: await temporaryDirectory() });
    await client.pushBlob(CONTENT);
    const pooled = join(dir, '.bulla', 'pool', 'blobs', 'sha256', DIGEST.slice(7));
    expect((await stat(pooled)).nlink).toBe(2);
    expect((await client.send('DELETE', `/v2/team/app/blobs/${DIGEST}`)).status).toBe(202);
    await expect(stat(pooled)).rejects.toThrow('ENOENT');
    expect((await client.send('DELETE', `/v2/team/app/blobs/${DIGEST}`)).code()).toBe('BLOB_UNKNOWN');
  });
});
