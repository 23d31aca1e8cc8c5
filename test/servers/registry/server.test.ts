import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RegistryServer, serveRegistry } from '../../../src/registry-server.ts';

let dir: string;
let server: RegistryServer;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bulla-registry-'));
  server = await serveRegistry({ dir });
});

afterEach(async () => {
  await server.close();
  await rm(dir, { recursive: true, force: true });
});

const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

async function pushBlob(name: string, bytes: string): Promise<string> {
  const digest = digestOf(bytes);
  const response = await fetch(`${server.url}/v2/${name}/blobs/uploads/?digest=${digest}`, {
    method: 'POST',
    body: bytes,
  });
  expect(response.status).toBe(201);
  return digest;
}

async function manifestOf(name: string, note: string): Promise<string> {
  const config = {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest: await pushBlob(name, '{}'),
    size: 2,
  };
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: 'application/vnd.example+json',
    config,
    layers: [config],
    annotations: { note },
  });
}

async function putManifest(
  reference: string,
  body: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  return await fetch(`${server.url}/v2/team/app/manifests/${reference}`, {
    method: 'PUT',
    headers: { 'Content-Type': OCI_MANIFEST, ...headers },
    body,
  });
}

describe('compare-and-swap', () => {
  it('creates a tag only if it is not there', async () => {
    const body = await manifestOf('team/app', 'first');
    expect((await putManifest('v1', body, { 'If-None-Match': '*' })).status).toBe(201);
    const again = await putManifest('v1', body, { 'If-None-Match': '*' });
    expect(again.status).toBe(412);
    expect(again.headers.get('etag')).toBe(`"${digestOf(body)}"`);
  });

  it('lets exactly one of 16 writers win', async () => {
    const first = await manifestOf('team/app', 'first');
    await putManifest('head', first);
    const bodies = await Promise.all([...Array(16).keys()].map((i) => manifestOf('team/app', `writer ${i}`)));
    const answers = await Promise.all(
      bodies.map((body) => putManifest('head', body, { 'If-Match': `"${digestOf(first)}"` })),
    );
    const statuses = answers.map((answer) => answer.status).sort();
    expect(statuses).toEqual([201, ...Array(15).fill(412)]);
    const winner = answers.findIndex((answer) => answer.status === 201);
    const head = await fetch(`${server.url}/v2/team/app/manifests/head`);
    expect(await head.text()).toBe(bodies[winner]);
  });
});

describe('a restart', () => {
  it('brings back everything that was acknowledged', async () => {
    const body = await manifestOf('team/app', 'first');
    await putManifest('v1', body);
    await server.close();
    server = await serveRegistry({ dir });
    const answer = await fetch(`${server.url}/v2/team/app/manifests/v1`);
    expect(await answer.text()).toBe(body);
  });
});
