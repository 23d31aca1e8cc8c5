import { describe, expect, it } from 'vitest';
import { artifact, type Client, descriptorOf, digestOf, OCI_INDEX, startTestRegistry } from './client.ts';

/** All pages of a listing, as the Link headers lead to them. */
async function pages(client: Client, path: string, field: string): Promise<unknown[][]> {
  const found: unknown[][] = [];
  for (let next: string | undefined = path; next !== undefined; ) {
    const answer = await client.send('GET', next);
    expect(answer.status).toBe(200);
    found.push(answer.json()[field] as unknown[]);
    next = /^<([^>]+)>; rel="next"$/.exec(answer.headers['link'] ?? '')?.[1];
  }
  return found;
}

describe('tags', () => {
  it('come in byte order, page by page', async () => {
    const { client } = await startTestRegistry();
    const body = await client.pushArtifact('b', 'x');
    for (const tag of ['a', '_trust', 'B', '10', '9', '_trust.stage.0']) await client.put(tag, body);
    const sorted = ['10', '9', 'B', '_trust', '_trust.stage.0', 'a', 'b'];
    expect((await client.get('/tags/list')).json()).toEqual({ name: 'team/app', tags: sorted });
    const paged = await pages(client, '/v2/team/app/tags/list?n=3', 'tags');
    expect(paged).toEqual([sorted.slice(0, 3), sorted.slice(3, 6), sorted.slice(6)]);
    expect((await client.get('/tags/list?last=_trust')).json()['tags']).toEqual(sorted.slice(4));
    expect((await client.get('/tags/list?last=_trus')).json()['tags']).toEqual(sorted.slice(3));
    const none = await client.get('/tags/list?n=0');
    expect([none.json()['tags'], none.headers['link']]).toEqual([[], undefined]);
  });

  it.each(['-1', 'x', '1e3', '1.5', '99999999999999999999'])('refuses n=%s', async (n) => {
    const { client } = await startTestRegistry();
    expect((await client.get(`/tags/list?n=${n}`)).code()).toBe('PAGINATION_NUMBER_INVALID');
  });

  it('are unknown where there is no repository', async () => {
    const { client } = await startTestRegistry();
    expect((await client.get('/tags/list')).code()).toBe('NAME_UNKNOWN');
  });
});

describe('the catalogue', () => {
  it('lists repositories page by page, also those below another, of any name', async () => {
    const { client, server, dir } = await startTestRegistry();
    const names = [
      'a',
      'a/b',
      'a/blobs/sha256',
      'blobs/uploads',
      'index.json',
      'oci-layout/x',
      'z/manifests',
    ];
    for (const name of names) {
      client.repository = name;
      await client.pushArtifact('v1', name);
    }
    expect((await pages(client, '/v2/_catalog?n=3', 'repositories')).flat()).toEqual(names);
    await server.close();
    const again = await startTestRegistry({ dir });
    expect((await again.client.send('GET', '/v2/_catalog')).json()['repositories']).toEqual(names);
    for (const name of names) {
      const answer = await again.client.send('GET', `/v2/${name}/manifests/v1`);
      expect(answer.text()).toBe(artifact(name));
    }
  });
});

describe('referrers', () => {
  it('carry type and annotations, and are filtered', async () => {
    const { client } = await startTestRegistry();
    const subject = await client.pushArtifact('v1', 'image');
    const own = await client.pushArtifact('', 'a signature', { subject: descriptorOf(subject) });
    const { artifactType: _, ...rest } = JSON.parse(artifact('of its config')) as Record<string, unknown>;
    const ofConfig = JSON.stringify({ ...rest, subject: descriptorOf(subject) });
    await client.put(digestOf(ofConfig), ofConfig);
    const list = JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: [],
      subject: descriptorOf(subject),
    });
    await client.put('list', list, { 'Content-Type': OCI_INDEX });
    const all = await client.get(`/referrers/${digestOf(subject)}`);
    expect(all.headers['content-type']).toBe(OCI_INDEX);
    expect(all.headers['oci-filters-applied']).toBeUndefined();
    const expected = [
      {
        ...descriptorOf(own),
        artifactType: 'application/vnd.example+json',
        annotations: { note: 'a signature' },
      },
      {
        ...descriptorOf(ofConfig),
        artifactType: 'application/vnd.oci.empty.v1+json',
        annotations: { note: 'of its config' },
      },
      descriptorOf(list, OCI_INDEX),
    ];
    const entries = all.json()['manifests'] as Record<string, unknown>[];
    expect(entries).toHaveLength(3);
    expect(entries).toEqual(expect.arrayContaining(expected));
    const some = await client.get(
      `/referrers/${digestOf(subject)}?artifactType=application/vnd.example%2Bjson`,
    );
    expect(some.headers['oci-filters-applied']).toBe('artifactType');
    expect(some.json()['manifests']).toEqual([expected[0]]);
    const other = await client.get(`/referrers/${digestOf(subject)}?artifactType=text/plain`);
    expect(other.json()['manifests']).toEqual([]);
  });

  it('of nothing are none, and of no digest are an error', async () => {
    const { client } = await startTestRegistry();
    expect((await client.get(`/referrers/${digestOf('x')}`)).json()['manifests']).toEqual([]);
    expect((await client.get('/referrers/v1')).code()).toBe('DIGEST_INVALID');
  });

  it('come in pages that clients can read, and none is lost', async () => {
    const { client } = await startTestRegistry();
    const subject = await client.pushArtifact('v1', 'image');
    const bodies: string[] = [];
    for (let i = 0; i < 7; i++) {
      const padding = {
        annotations: { note: `${i} ${'x'.repeat(1_500_000)}` },
        subject: descriptorOf(subject),
      };
      bodies.push(await client.pushArtifact('', '', padding));
    }
    const paged = await pages(client, `/v2/team/app/referrers/${digestOf(subject)}`, 'manifests');
    expect(paged.length).toBeGreaterThan(2);
    const digests = paged.flat().map((entry) => (entry as { digest: string }).digest);
    expect(digests.sort()).toEqual(bodies.map((body) => digestOf(body)).sort());
  });

  it('lose none of 60 that are pushed at once', async () => {
    const { client } = await startTestRegistry();
    const subject = await client.pushArtifact('v1', 'image');
    const bodies = [...Array(60).keys()].map((i) => artifact(String(i), { subject: descriptorOf(subject) }));
    await Promise.all(bodies.map((body) => client.put(digestOf(body), body)));
    const entries = (await client.get(`/referrers/${digestOf(subject)}`)).json()['manifests'] as unknown[];
    expect(entries).toHaveLength(60);
  });
});
