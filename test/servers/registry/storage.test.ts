import { appendFile, cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { serveRegistry } from '../../../src/api/registry-server.ts';
import { DirectoryFiles } from '../../../src/layout/directory.ts';
import { LayoutStore } from '../../../src/layout/store.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import type { ManifestEntry } from '../../../src/servers/registry/store/repository.ts';
import { Store } from '../../../src/servers/registry/store/store.ts';
import {
  artifact,
  descriptorOf,
  digestOf,
  OCI_INDEX,
  OCI_MANIFEST,
  startTestRegistry,
  temporaryDirectory,
} from './client.ts';

interface Entry {
  readonly digest: string;
  readonly annotations?: Record<string, string>;
}

async function indexOf(layout: string): Promise<Entry[]> {
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as { manifests: Entry[] };
  return index.manifests;
}

const refNames = (entries: readonly Entry[]): (string | undefined)[] =>
  entries.map((entry) => entry.annotations?.['org.opencontainers.image.ref.name']);

/** A copy of a running server's directory: what a kill at this moment would leave. */
async function afterKill(dir: string): Promise<string> {
  const copy = join(await temporaryDirectory(), 'copy');
  await cp(dir, copy, { recursive: true, filter: (path) => !/\.bulla\/(?:lock|control)/.test(path) });
  return copy;
}

describe('the directory', () => {
  it('holds an OCI layout for each repository, up to date soon after a push', async () => {
    const { client, dir } = await startTestRegistry();
    const body = await client.pushArtifact('v1', 'x');
    await client.put('v2', body);
    await client.pushArtifact('', 'untagged');
    const layout = join(dir, 'team', 'app');
    await expect.poll(async () => refNames(await indexOf(layout))).toEqual(['v1', 'v2', undefined]);
    expect(JSON.parse(await readFile(join(layout, 'oci-layout'), 'utf8'))).toEqual({
      imageLayoutVersion: '1.0.0',
    });
    expect(await readFile(join(layout, 'blobs', 'sha256', digestOf(body).slice(7)), 'utf8')).toBe(body);
  });

  it('is read by our own layout reader', async () => {
    const { client, dir, server } = await startTestRegistry();
    const body = await client.pushArtifact('v1', 'x');
    await server.close();
    const layout = new LayoutStore(await DirectoryFiles.open(join(dir, 'team', 'app')));
    expect(await layout.listTags()).toEqual(['v1']);
    expect((await layout.resolve('v1' as never)).digest).toBe(digestOf(body));
    await layout.close();
  });

  it('is served as another tool made it: an index with children that index.json does not list', async () => {
    const dir = await temporaryDirectory();
    const blobs = join(dir, 'made', 'elsewhere', 'blobs', 'sha256');
    await mkdir(blobs, { recursive: true });
    const put = (text: string): Promise<void> => writeFile(join(blobs, digestOf(text).slice(7)), text);
    const child = artifact('child');
    const image = JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: [descriptorOf(child)],
    });
    const signature = artifact('signature', { subject: descriptorOf(image, OCI_INDEX) });
    for (const text of ['{}', child, image, signature]) await put(text);
    const damaged = {
      ...descriptorOf('damaged'),
      annotations: { 'org.opencontainers.image.ref.name': 'bad' },
    };
    await writeFile(join(blobs, digestOf('damaged').slice(7)), 'something else');
    const index = {
      schemaVersion: 2,
      manifests: [
        { ...descriptorOf(image, OCI_INDEX), annotations: { 'org.opencontainers.image.ref.name': 'v1' } },
        descriptorOf(signature),
        damaged,
      ],
    };
    await writeFile(join(dir, 'made', 'elsewhere', 'index.json'), JSON.stringify(index));
    await writeFile(join(dir, 'made', 'elsewhere', 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    const problems: string[] = [];
    const { client } = await startTestRegistry({
      dir,
      log: (entry) => problems.push(String(entry['message'] ?? '')),
    });
    client.repository = 'made/elsewhere';
    expect((await client.get('/manifests/v1')).text()).toBe(image);
    expect((await client.get(`/manifests/${digestOf(child)}`)).text()).toBe(child);
    const referrers = (await client.get(`/referrers/${digestOf(image)}`)).json()['manifests'] as Entry[];
    expect(referrers.map(({ digest }) => digest)).toEqual([digestOf(signature)]);
    expect((await client.get('/manifests/bad')).status).toBe(404);
    expect(problems.join()).toContain('damaged');
  });

  it('is refused to a second server, which is told who has it', async () => {
    const { dir } = await startTestRegistry();
    await expect(serveRegistry({ dir })).rejects.toMatchObject({
      code: 'storage-error',
      message: expect.stringContaining(`process ${process.pid}`),
    });
  });

  it('may have a path that is too long for a socket', async () => {
    const dir = join(await temporaryDirectory(), 'd'.repeat(200));
    const { client } = await startTestRegistry({ dir });
    await client.pushArtifact('v1', 'x');
  });
});

describe('what was acknowledged', () => {
  it('is there after a kill, whatever index.json knew', async () => {
    const { client, dir } = await startTestRegistry();
    const first = await client.pushArtifact('v1', 'first');
    const second = await client.pushArtifact('v2', 'second', { subject: descriptorOf(first) });
    await client.send('DELETE', '/v2/team/app/manifests/v1');
    const copy = await afterKill(dir);
    const again = await startTestRegistry({ dir: copy });
    expect((await again.client.get('/tags/list')).json()['tags']).toEqual(['v2']);
    expect((await again.client.get('/manifests/v2')).text()).toBe(second);
    expect((await again.client.get(`/manifests/${digestOf(first)}`)).text()).toBe(first);
    const referrers = (await again.client.get(`/referrers/${digestOf(first)}`)).json()[
      'manifests'
    ] as Entry[];
    expect(referrers.map(({ digest }) => digest)).toEqual([digestOf(second)]);
  });

  it('is not lost to a line of the journal that was torn', async () => {
    const { client, dir } = await startTestRegistry();
    const body = await client.pushArtifact('v1', 'x');
    for (const torn of ['deadbeef {"repository":"team/app","op":"untag","tag":"v1"}\n', '\0\0\0\0', '12']) {
      const copy = await afterKill(dir);
      const journals = (await readdir(join(copy, '.bulla'))).filter((name) => name.startsWith('journal-'));
      for (const name of journals) await appendFile(join(copy, '.bulla', name), torn);
      const again = await startTestRegistry({ dir: copy });
      expect((await again.client.get('/manifests/v1')).text()).toBe(body);
    }
  });

  it('leaves no uploads and no journal behind', async () => {
    const { client, dir, server } = await startTestRegistry();
    await client.pushArtifact('v1', 'x');
    await client.send('PATCH', await client.startUpload(), { body: 'half' });
    const copy = await afterKill(dir);
    await server.close();
    const again = await startTestRegistry({ dir: copy });
    await again.server.close();
    for (const closed of [dir, copy]) {
      const names = await readdir(join(closed, '.bulla'));
      const sizes = await Promise.all(
        names
          .filter((name) => name.startsWith('journal-'))
          .map(async (name) => (await stat(join(closed, '.bulla', name))).size),
      );
      expect(sizes).toEqual([0]);
      expect(await readdir(join(closed, '.bulla', 'uploads'))).toEqual([]);
    }
  });

  it('is not undone by index.json being written between changes of one tag', async () => {
    const { client, dir, server } = await startTestRegistry();
    const bodies: string[] = [];
    for (let i = 0; i < 30; i++) {
      bodies.push(await client.pushArtifact('v1', String(i)));
      if (i % 7 === 3) await client.send('DELETE', `/v2/team/app/manifests/${digestOf(bodies[i] ?? '')}`);
      if (i % 10 === 5)
        await expect
          .poll(async () => (await indexOf(join(dir, 'team', 'app'))).length)
          .toBeGreaterThan(i / 2);
    }
    await server.close();
    const again = await startTestRegistry({ dir });
    expect((await again.client.get('/manifests/v1')).text()).toBe(bodies.at(-1));
  });
});

describe('many repositories', () => {
  it('need not all be in memory', async () => {
    const store = await Store.open(await temporaryDirectory(), { maxEntries: 2 * 18 });
    onTestFinished(() => store.close());
    const digests = [...Array(20).keys()].map((i) => digestOf(String(i)) as Digest);
    const manifest = (digest: Digest): ManifestEntry => ({ digest, mediaType: OCI_MANIFEST, size: 1 });
    await Promise.all(
      digests.map((digest, i) =>
        store.useOrCreate(`many/r${i}`, (repository) =>
          store.commit(repository, { op: 'put', manifest: manifest(digest), tags: ['v1'] }),
        ),
      ),
    );
    await store.checkpoint();
    for (let round = 0; round < 3; round++) {
      await Promise.all(
        digests.map((digest, i) =>
          store.use(`many/r${i}`, async (repository) => {
            expect(repository?.index.tag('v1')).toBe(digest);
            expect([...(repository?.index.manifests.keys() ?? [])]).toEqual([digest]);
          }),
        ),
      );
      expect(store.loadedCount).toBeLessThanOrEqual(2);
    }
  });
});
