import { describe, expect, it } from 'vitest';
import {
  artifact,
  type Client,
  descriptorOf,
  digestOf,
  EMPTY,
  OCI_INDEX,
  OCI_MANIFEST,
  startTestRegistry,
} from './client.ts';

function index(children: readonly unknown[], more: Record<string, unknown> = {}): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: children, ...more });
}

const INDEX_TYPE = { 'Content-Type': OCI_INDEX };

describe('pushing', () => {
  it('keeps the bytes and says digest, ETag and subject', async () => {
    const { client } = await startTestRegistry();
    const subject = descriptorOf(artifact('not here'));
    await client.pushBlob('{}');
    const body = `${artifact('signature', { subject })}\n`;
    const answer = await client.put('v1', body);
    expect(answer.status).toBe(201);
    expect(answer.headers).toMatchObject({
      'docker-content-digest': digestOf(body),
      etag: `"${digestOf(body)}"`,
      'oci-subject': subject['digest'],
    });
    for (const reference of ['v1', digestOf(body)]) {
      const got = await client.get(`/manifests/${reference}`, { Accept: '*/*' });
      expect(got.text()).toBe(body);
      expect(got.headers).toMatchObject({ 'content-type': OCI_MANIFEST, etag: `"${digestOf(body)}"` });
      const head = await client.send('HEAD', `/v2/team/app/manifests/${reference}`);
      expect(head.headers['content-length']).toBe(String(Buffer.byteLength(body)));
    }
  });

  it('says 304 to who has it', async () => {
    const { client } = await startTestRegistry();
    const body = await client.pushArtifact('v1', 'x');
    const answer = await client.get('/manifests/v1', { 'If-None-Match': `"${digestOf(body)}"` });
    expect([answer.status, answer.headers['docker-content-digest']]).toEqual([304, digestOf(body)]);
  });

  it('takes manifests and lists of docker', async () => {
    const { client } = await startTestRegistry();
    await client.pushBlob('{}');
    const type = 'application/vnd.docker.distribution.manifest.v2+json';
    const body = JSON.stringify({ schemaVersion: 2, mediaType: type, config: EMPTY, layers: [EMPTY] });
    expect((await client.put('image', body, { 'Content-Type': type })).status).toBe(201);
    const listType = 'application/vnd.docker.distribution.manifest.list.v2+json';
    const list = JSON.stringify({
      schemaVersion: 2,
      mediaType: listType,
      manifests: [{ ...descriptorOf(body, type), platform: { os: 'linux', architecture: 'amd64' } }],
    });
    expect((await client.put('list', list, { 'Content-Type': listType })).status).toBe(201);
    expect((await client.get('/manifests/list')).headers['content-type']).toBe(listType);
  });

  it('sets several tags at once', async () => {
    const { client } = await startTestRegistry();
    await client.pushBlob('{}');
    const body = artifact('x');
    const answer = await client.put(`${digestOf(body)}?tag=a&tag=b`, body);
    expect(answer.headers['oci-tag']).toBe('a, b');
    expect((await client.get('/tags/list')).json()['tags']).toEqual(['a', 'b']);
    const tooMany = [...Array(101).keys()].map((i) => `tag=t${i}`).join('&');
    expect((await client.put(`${digestOf(body)}?${tooMany}`, body)).status).toBe(400);
  });

  it.each([
    { what: 'a missing layer', body: artifact('x', { layers: [{ ...EMPTY, digest: digestOf('no') }] }) },
    {
      what: 'a layer of another size',
      body: artifact('x', { layers: [{ ...EMPTY, size: 3 }] }),
      code: 'SIZE_INVALID',
    },
    { what: 'a missing child', body: index([descriptorOf(artifact('no'))]), type: OCI_INDEX },
    { what: 'no JSON', body: 'manifest', code: 'MANIFEST_INVALID' },
    {
      what: 'two spellings of one key',
      body: '{"schemaVersion":2,"schemaVersion":2}',
      code: 'MANIFEST_INVALID',
    },
    { what: 'both manifests and layers', body: artifact('x', { manifests: [] }), code: 'MANIFEST_INVALID' },
    { what: 'another mediaType inside', body: artifact('x'), type: OCI_INDEX, code: 'MANIFEST_INVALID' },
    {
      what: 'docker schema 1',
      body: '{}',
      type: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
      code: 'MANIFEST_INVALID',
    },
    {
      what: 'a digest with a path in it',
      body: artifact('x', { layers: [{ ...EMPTY, digest: 'sha256:../../../etc/passwd' }] }),
      code: 'MANIFEST_INVALID',
    },
  ])('refuses $what, and makes nothing of it', async ({ body, type, code }) => {
    const { client } = await startTestRegistry();
    await client.pushBlob('{}');
    const answer = await client.put('v1', body, { 'Content-Type': type ?? OCI_MANIFEST });
    expect([answer.status, answer.code()]).toEqual([400, code ?? 'MANIFEST_BLOB_UNKNOWN']);
    expect((await client.get('/manifests/v1')).status).toBe(404);
    expect((await client.get('/tags/list')).json()['tags']).toEqual([]);
  });

  it('lets clients keep a fallback index with an entry that is gone', async () => {
    const { client } = await startTestRegistry();
    await client.pushBlob('{}');
    const body = index([descriptorOf(artifact('deleted'))]);
    expect((await client.put(`sha256-${'0'.repeat(64)}`, body, INDEX_TYPE)).status).toBe(201);
    expect((await client.put('v1', body, INDEX_TYPE)).status).toBe(400);
  });

  it('takes what is incomplete where it was told to', async () => {
    const { client } = await startTestRegistry({ sparse: true });
    expect((await client.put('v1', artifact('x'))).status).toBe(201);
  });

  it('takes 4 MiB and not a byte more', async () => {
    const { client } = await startTestRegistry();
    await client.pushBlob('{}');
    const base = artifact('');
    const most = artifact('x'.repeat(4 * 1024 * 1024 - base.length));
    expect((await client.put('most', most)).status).toBe(201);
    expect((await client.put('more', `${most} `)).status).toBe(413);
    const unannounced = { 'Transfer-Encoding': 'chunked' };
    expect((await client.put('more', `${most} `, unannounced)).status).toBe(413);
    expect((await client.get('/tags/list')).json()['tags']).toEqual(['most']);
  });
});

describe('compare-and-swap', () => {
  async function withHead(): Promise<{ client: Client; first: string; etag: string; next: string }> {
    const { client } = await startTestRegistry();
    const first = await client.pushArtifact('head', 'first');
    return { client, first, etag: `"${digestOf(first)}"`, next: artifact('next') };
  }

  it('creates a tag only if it is not there', async () => {
    const { client, next } = await withHead();
    expect((await client.put('new', next, { 'If-None-Match': '*' })).status).toBe(201);
    const again = await client.put('new', artifact('again'), { 'If-None-Match': '*' });
    expect([again.status, again.code(), again.headers['etag']]).toEqual([
      412,
      'PRECONDITION_FAILED',
      `"${digestOf(next)}"`,
    ]);
  });

  it.each([
    { condition: 'If-Match', value: (etag: string) => etag, status: 201 },
    { condition: 'If-Match', value: (etag: string) => `"x", ${etag}`, status: 201 },
    { condition: 'If-Match', value: () => '*', status: 201 },
    { condition: 'If-Match', value: () => `"${digestOf('other')}"`, status: 412 },
    { condition: 'If-Match', value: (etag: string) => `W/${etag}`, status: 412 },
    { condition: 'If-None-Match', value: (etag: string) => etag, status: 412 },
    { condition: 'If-None-Match', value: (etag: string) => `W/${etag}`, status: 412 },
    { condition: 'If-None-Match', value: () => '*', status: 412 },
    { condition: 'If-None-Match', value: () => '"other"', status: 201 },
    { condition: 'If-Match', value: (etag: string) => etag.slice(1, -1), status: 400 },
    { condition: 'If-Match', value: () => '', status: 400 },
    { condition: 'If-None-Match', value: () => '"open', status: 400 },
  ])('answers $condition $value with $status', async ({ condition, value, status }) => {
    const { client, first, etag, next } = await withHead();
    expect((await client.put('head', next, { [condition]: value(etag) })).status).toBe(status);
    expect((await client.get('/manifests/head')).text()).toBe(status === 201 ? next : first);
  });

  it('does not create what If-Match expects to be there', async () => {
    const { client, next } = await withHead();
    for (const value of ['*', `"${digestOf('x')}"`]) {
      expect((await client.put('new', next, { 'If-Match': value })).status).toBe(412);
    }
    expect((await client.get('/manifests/new')).status).toBe(404);
  });

  it('lets exactly one of 16 writers win, ten times over', async () => {
    const { client, first } = await withHead();
    let head = first;
    for (let round = 0; round < 10; round++) {
      const bodies = [...Array(16).keys()].map((i) => artifact(`${round} ${i}`));
      const expected = { 'If-Match': `"${digestOf(head)}"` };
      const answers = await Promise.all(bodies.map((body) => client.put('head', body, expected)));
      expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(15).fill(412)]);
      head = bodies[answers.findIndex(({ status }) => status === 201)] ?? '';
      expect((await client.get('/manifests/head')).text()).toBe(head);
    }
  });

  it('lets exactly one of 16 writers create a tag', async () => {
    const { client } = await withHead();
    const answers = await Promise.all(
      [...Array(16).keys()].map((i) => client.put('new', artifact(String(i)), { 'If-None-Match': '*' })),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
  });

  it('sets all tags of a request, or none', async () => {
    const { client, next } = await withHead();
    const answer = await client.put(`${digestOf(next)}?tag=new&tag=head`, next, { 'If-None-Match': '*' });
    expect(answer.status).toBe(412);
    expect((await client.get('/tags/list')).json()['tags']).toEqual(['head']);
  });

  it('deletes a tag only if it is what the client saw', async () => {
    const { client, first, etag, next } = await withHead();
    await client.put('head', next);
    const remove = (condition: string): Promise<{ status: number }> =>
      client.send('DELETE', '/v2/team/app/manifests/head', { headers: { 'If-Match': condition } });
    expect((await remove(etag)).status).toBe(412);
    expect((await client.get('/manifests/head')).text()).toBe(next);
    expect((await remove(`"${digestOf(next)}"`)).status).toBe(202);
    expect((await client.get(`/manifests/${digestOf(first)}`)).status).toBe(200);
  });
});

describe('deleting', () => {
  it('removes a tag and leaves the manifest', async () => {
    const { client } = await startTestRegistry();
    const body = await client.pushArtifact('v1', 'x');
    expect((await client.send('DELETE', '/v2/team/app/manifests/v1')).status).toBe(202);
    expect((await client.get('/manifests/v1')).code()).toBe('MANIFEST_UNKNOWN');
    expect((await client.get(`/manifests/${digestOf(body)}`)).text()).toBe(body);
  });

  it('removes a manifest with its tags and its place among the referrers', async () => {
    const { client } = await startTestRegistry();
    const subject = await client.pushArtifact('v1', 'subject');
    const body = await client.pushArtifact('sig', 'x', { subject: descriptorOf(subject) });
    await client.put('sig2', body);
    expect((await client.send('DELETE', `/v2/team/app/manifests/${digestOf(body)}`)).status).toBe(202);
    expect((await client.get('/tags/list')).json()['tags']).toEqual(['v1']);
    expect((await client.get(`/referrers/${digestOf(subject)}`)).json()['manifests']).toEqual([]);
    expect((await client.send('DELETE', `/v2/team/app/manifests/${digestOf(body)}`)).status).toBe(404);
  });
});
