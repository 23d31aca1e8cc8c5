import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gc } from '../../../src/api/registry-server.ts';
import {
  artifact,
  type Client,
  descriptorOf,
  digestOf,
  OCI_INDEX,
  startTestRegistry,
  temporaryDirectory,
} from './client.ts';

const NOW = { graceMs: 0 };

async function statuses(client: Client, references: readonly string[]): Promise<number[]> {
  return Promise.all(
    references.map(async (reference) => (await client.get(`/manifests/${reference}`)).status),
  );
}

/** A tagged image, a signature of it, a signature of that, an index with a child, and rubbish. */
async function fill(client: Client): Promise<{ kept: string[]; rubbish: string[]; blob: string }> {
  const image = await client.pushArtifact('v1', 'image');
  const signature = await client.pushArtifact('', 'signature', { subject: descriptorOf(image) });
  const countersignature = await client.pushArtifact('', 'on it', { subject: descriptorOf(signature) });
  const child = await client.pushArtifact('', 'child');
  const list = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [descriptorOf(child)] });
  await client.put('list', list, { 'Content-Type': OCI_INDEX });
  const ofChild = await client.pushArtifact('', 'of the child', { subject: descriptorOf(child) });
  const untagged = await client.pushArtifact('', 'untagged');
  const ofUntagged = await client.pushArtifact('', 'of it', { subject: descriptorOf(untagged) });
  const ofNothing = await client.pushArtifact('', 'dangling', {
    subject: descriptorOf(artifact('never pushed')),
  });
  const blob = await client.pushBlob('nobody refers to this');
  return {
    kept: [image, signature, countersignature, child, list, ofChild].map((body) => digestOf(body)),
    rubbish: [untagged, ofUntagged, ofNothing].map((body) => digestOf(body)),
    blob,
  };
}

describe('collecting', () => {
  it('removes what nothing refers to, and no referrer whose subject stays', async () => {
    const { client, dir, server } = await startTestRegistry();
    const { kept, rubbish, blob } = await fill(client);
    const report = await server.gc(NOW);
    expect(report).toMatchObject({ repositories: 1, manifests: 3, blobs: 1 });
    expect(await statuses(client, kept)).toEqual(kept.map(() => 200));
    expect(await statuses(client, rubbish)).toEqual(rubbish.map(() => 404));
    expect((await client.get(`/blobs/${blob}`)).status).toBe(404);
    const files = await readdir(join(dir, 'team', 'app', 'blobs', 'sha256'));
    expect(files).toHaveLength(kept.length + 1);
    expect(await readdir(join(dir, '.bulla', 'pool', 'blobs', 'sha256'))).toHaveLength(1);
    expect(await server.gc(NOW)).toMatchObject({ manifests: 0, blobs: 0, bytes: 0 });
  });

  it('spares what is young', async () => {
    const { client, server } = await startTestRegistry();
    const { kept, rubbish, blob } = await fill(client);
    expect(await server.gc()).toMatchObject({ manifests: 0, blobs: 0, bytes: 0 });
    expect(await statuses(client, [...kept, ...rubbish])).not.toContain(404);
    expect((await client.get(`/blobs/${blob}`)).status).toBe(200);
  });

  it('keeps manifests without a tag where it is told to, and only says what it would do', async () => {
    const { client, server } = await startTestRegistry();
    const { kept, rubbish } = await fill(client);
    expect(await server.gc({ ...NOW, dryRun: true })).toMatchObject({ manifests: 3, blobs: 1 });
    expect(await server.gc({ ...NOW, keepUntagged: true })).toMatchObject({ manifests: 0, blobs: 1 });
    expect(await statuses(client, [...kept, ...rubbish])).not.toContain(404);
  });

  it('works on a directory that nobody serves, and asks the server where one does', async () => {
    const { client, dir, server } = await startTestRegistry();
    const { kept } = await fill(client);
    expect(await gc(dir, { ...NOW, dryRun: true })).toMatchObject({ manifests: 3, blobs: 1 });
    await server.close();
    expect(await gc(dir, NOW)).toMatchObject({ manifests: 3, blobs: 1 });
    const again = await startTestRegistry({ dir });
    expect(await statuses(again.client, kept)).toEqual(kept.map(() => 200));
  });

  it('says not-found where there is no registry', async () => {
    await expect(gc(await temporaryDirectory())).rejects.toMatchObject({ code: 'not-found' });
  });

  it('stops where a manifest cannot be read, because what it refers to is not known', async () => {
    const { client, dir, server } = await startTestRegistry();
    const { blob } = await fill(client);
    const body = await client.pushArtifact('v2', 'to be damaged');
    const { writeFile } = await import('node:fs/promises');
    await writeFile(join(dir, 'team', 'app', 'blobs', 'sha256', digestOf(body).slice(7)), 'not JSON');
    await expect(server.gc(NOW)).rejects.toMatchObject({ code: 'storage-error' });
    expect((await client.get(`/blobs/${blob}`)).status).toBe(200);
  });

  it('removes nothing that pushes at the same time refer to', async () => {
    const { client, server } = await startTestRegistry();
    const subject = await client.pushArtifact('', 'subject without a tag');
    let pushing = true;
    const collecting = (async () => {
      while (pushing) await server.gc(NOW);
    })();
    const pushed: string[] = [];
    const push = async (worker: number): Promise<void> => {
      for (let i = 0; i < 25; i++) {
        const name = `${worker}-${i}`;
        const text = `layer ${name}`;
        // A blob without a manifest may go at any time without a grace period: push it again then, as clients do.
        for (let tries = 0; ; tries++) {
          expect(tries).toBeLessThan(200);
          await client.pushBlob('{}');
          const digest = await client.pushBlob(text);
          const layers = [{ mediaType: 'text/plain', digest, size: text.length }];
          const body = artifact(name, { layers, subject: descriptorOf(subject) });
          const answer = await client.put(name, body);
          if (answer.status === 201) {
            pushed.push(name);
            break;
          }
          expect(answer.code()).toBe('MANIFEST_BLOB_UNKNOWN');
        }
      }
    };
    await Promise.all([0, 1, 2, 3].map(push));
    pushing = false;
    await collecting;
    await server.gc(NOW);
    expect(pushed).toHaveLength(100);
    for (const name of pushed) {
      const manifest = (await client.get(`/manifests/${name}`)).json() as { layers: { digest: string }[] };
      expect((await client.get(`/blobs/${manifest.layers[0]?.digest}`)).text()).toBe(`layer ${name}`);
    }
    expect((await client.get(`/blobs/${digestOf('{}')}`)).status).toBe(200);
  });
});
