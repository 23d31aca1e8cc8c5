import { cp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gc } from '../../../src/api/registry-server.ts';
import { encodeRecord } from '../../../src/servers/registry/store/journal.ts';
import {
  artifact,
  type Client,
  descriptorOf,
  digestOf,
  EMPTY,
  OCI_MANIFEST,
  startTestRegistry,
  temporaryDirectory,
} from './client.ts';

interface Listed {
  readonly digest: string;
  readonly artifactType?: string;
  readonly annotations?: Record<string, string>;
}

async function referrersOf(client: Client, subject: string): Promise<readonly Listed[]> {
  const answer = await client.get(`/referrers/${digestOf(subject)}`);
  expect(answer.status).toBe(200);
  return answer.json()['manifests'] as Listed[];
}

const blobPath = (dir: string, text: string): string =>
  join(dir, 'team', 'app', 'blobs', 'sha256', digestOf(text).slice(7));

/** A copy of a running server's directory: what a kill at this moment would leave. */
async function afterKill(dir: string): Promise<string> {
  for (;;) {
    const copy = join(await temporaryDirectory(), 'copy');
    try {
      await cp(dir, copy, { recursive: true, filter: (path) => !/\.bulla\/(?:lock|control)/.test(path) });
      return copy;
    } catch (error) {
      // The journal was started anew meanwhile: index.json has it all.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    }
  }
}

describe('what is listed with a referrer', () => {
  it.each([
    ['none', artifact('', { annotations: undefined })],
    ['an empty object', artifact('', { annotations: {} })],
    ['in the middle', artifact('x')],
    [
      'in another spelling',
      `{ "schemaVersion": 2,\n "mediaType": "${OCI_MANIFEST}", "annotations" : {\n  "a\\u0062" : "\\u00e9\\"}," ,"é":"ü"\n} ,\n "config": ${JSON.stringify(EMPTY)}, "layers": []}`,
    ],
    ['under an escaped name', artifact('x').replace('"annotations"', '"\\u0061nnotations"')],
    [
      'after annotations of a layer',
      artifact('x', { layers: [{ ...EMPTY, annotations: { of: 'a layer' } }] }),
    ],
    ['100 KB', artifact('y'.repeat(100_000))],
    ['3 MB of what has to be escaped', artifact('"\n'.repeat(750_000))],
  ])('are its annotations as they are: %s', async (_, text) => {
    const { client, dir, server } = await startTestRegistry();
    const subject = await client.pushArtifact('v1', 'image');
    const body = text.replace('{', `{"subject":${JSON.stringify(descriptorOf(subject))},`);
    expect((await client.put(digestOf(body), body)).status).toBe(201);
    const { annotations } = JSON.parse(body) as Listed;
    const expected = annotations === undefined ? {} : { annotations };
    const look = async (of: Client): Promise<void> => {
      const [entry] = await referrersOf(of, subject);
      expect(entry?.digest).toBe(digestOf(body));
      expect({ ...(entry && 'annotations' in entry && { annotations: entry.annotations }) }).toEqual(
        expected,
      );
    };
    await look(client);
    await look((await startTestRegistry({ dir: await afterKill(dir) })).client);
    await server.close();
    await look((await startTestRegistry({ dir })).client);
  });

  it('is known of what an older server wrote to index.json, which is written anew', async () => {
    const { client, dir, server } = await startTestRegistry();
    const subject = await client.pushArtifact('v1', 'image');
    await client.pushArtifact('', 'a signature', { subject: descriptorOf(subject) });
    await server.close();
    const path = join(dir, 'team', 'app', 'index.json');
    const index = await readFile(path, 'utf8');
    expect(index).toContain('vnd.bulla.registry.listed');
    await writeFile(path, index.replace(/,"vnd\.bulla\.registry\.listed":"[^"]*"/g, ''));
    const again = await startTestRegistry({ dir });
    expect((await referrersOf(again.client, subject))[0]?.annotations).toEqual({ note: 'a signature' });
    await expect.poll(() => readFile(path, 'utf8')).toBe(index);
  });

  it('is known of what an older server wrote to the journal', async () => {
    const { client, dir, server } = await startTestRegistry();
    const subject = await client.pushArtifact('v1', 'image');
    const body = await client.pushArtifact('', 'a signature', { subject: descriptorOf(subject) });
    await server.close();
    await writeFile(join(dir, 'team', 'app', 'index.json'), '{"schemaVersion":2,"manifests":[]}');
    const records = [
      { manifest: { ...descriptorOf(subject), artifactType: 'application/vnd.example+json' }, tags: ['v1'] },
      { manifest: { ...descriptorOf(body), subject: digestOf(subject) }, tags: [] },
      { manifest: { ...descriptorOf('collected since'), subject: digestOf(subject) }, tags: [] },
    ];
    await writeFile(
      join(dir, '.bulla', 'journal-7'),
      records
        .map((record) => encodeRecord({ repository: 'team/app', op: 'put', ...record } as never))
        .join(''),
    );
    const again = await startTestRegistry({ dir });
    const listed = new Map((await referrersOf(again.client, subject)).map((one) => [one.digest, one]));
    expect(listed.get(digestOf(body))?.annotations).toEqual({ note: 'a signature' });
    expect(listed.get(digestOf('collected since'))?.annotations).toBeUndefined();
    await again.server.close();
    const index = await readFile(join(dir, 'team', 'app', 'index.json'), 'utf8');
    expect(index).toContain('vnd.bulla.registry.listed');
  });

  it('is its descriptor alone where its file was damaged, and all others are listed', async () => {
    const { client, dir } = await startTestRegistry();
    const subject = await client.pushArtifact('v1', 'image');
    const bodies: string[] = [];
    for (const note of ['damaged', 'gone', 'cut off', 'z'.repeat(100_000), 'sound'])
      bodies.push(await client.pushArtifact('', note, { subject: descriptorOf(subject) }));
    const [damaged = '', gone = '', short = '', long = '', sound = ''] = bodies;
    await writeFile(blobPath(dir, damaged), damaged.replace('"damaged"', '{"broken'));
    await writeFile(blobPath(dir, short), short.slice(0, 100));
    const file = await open(blobPath(dir, long), 'r+');
    await file.write('Q', long.indexOf('zzz') + 90_000);
    await file.close();
    // Its annotations are small and may still be in memory; those of another server are not.
    const again = await startTestRegistry({ dir: await afterKill(dir) });
    await rm(blobPath(again.dir, gone));
    const listed = await referrersOf(again.client, subject);
    expect(listed.map(({ digest }) => digest).sort()).toEqual(bodies.map((body) => digestOf(body)).sort());
    for (const { digest, annotations } of listed)
      expect(annotations).toEqual(digest === digestOf(sound) ? { note: 'sound' } : undefined);
  });

  it('goes with the referrer, and comes with it again', async () => {
    const { client, dir } = await startTestRegistry();
    const subject = await client.pushArtifact('v1', 'image');
    const body = await client.pushArtifact('', 'a signature', { subject: descriptorOf(subject) });
    for (let i = 0; i < 2; i++) {
      await client.send('DELETE', `/v2/team/app/manifests/${digestOf(body)}`);
      expect(await referrersOf(client, subject)).toEqual([]);
      await gc(dir, { graceMs: 0 });
      await client.pushArtifact('', 'a signature', { subject: descriptorOf(subject) });
      expect(await referrersOf(client, subject)).toHaveLength(1);
    }
    await client.send('DELETE', '/v2/team/app/manifests/v1');
    await gc(dir, { graceMs: 0 });
    expect(await referrersOf(client, subject)).toEqual([]);
  });

  it.each([
    ['a type of 2 MB', { artifactType: `application/${'x'.repeat(2_000_000)}` }],
    ['an annotation of 3 MB', { annotations: { note: 'x'.repeat(3_000_000) } }],
    ['a name of an annotation of 3 MB', { annotations: { ['x'.repeat(3_000_000)]: '' } }],
    ['members of 3 MB that nobody knows', { junk: 'x'.repeat(3_000_000) }],
    ['a hundred tags', {}],
  ])('does not fill the journal beyond what is read again: %s', async (what, more) => {
    const { client, dir } = await startTestRegistry();
    const subject = await client.pushArtifact('v1', 'image');
    const body = artifact(what, { ...more, subject: descriptorOf(subject) });
    const tags = [...Array(100).keys()].map((i) => `tag=${'t'.repeat(120)}${i}`).join('&');
    expect((await client.put(`${digestOf(body)}?${tags}`, body)).status).toBe(201);
    // What was acknowledged after it is there after a kill as well.
    await client.pushArtifact('later', 'later');
    const copy = await afterKill(dir);
    const again = await startTestRegistry({ dir: copy });
    expect((await again.client.get('/manifests/later')).status).toBe(200);
    expect((await again.client.get(`/manifests/${digestOf(body)}`)).text()).toBe(body);
    expect((await referrersOf(again.client, subject)).map(({ digest }) => digest)).toEqual([digestOf(body)]);
  });
});
