import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Child } from '../../support/processes.ts';
import {
  artifact,
  type Client,
  descriptorOf,
  digestOf,
  EMPTY,
  OCI_INDEX,
  OCI_MANIFEST,
  temporaryDirectory,
} from './client.ts';
import { startChild } from './kill.ts';

/** Requests at a time. */
const PARALLEL = 100;
/** Pushes of 4 MiB at a time: without a bound they took 8 to 20 MiB each. */
const PUSHES = 50;
/** What all of them together may cost, in MiB. */
const ALLOWED_MIB = 200;
const MIB = 1024 * 1024;

interface Served {
  readonly client: Client;
  readonly child: Child;
  readonly dir: string;
}

async function served(prepare?: (dir: string) => Promise<void>): Promise<Served> {
  const dir = await temporaryDirectory();
  await prepare?.(dir);
  const { child, client } = await startChild(dir);
  onTestFinished(async () => {
    child.process.kill('SIGKILL');
    await child.ended;
  });
  return { client, child, dir };
}

/** Largest memory of a process so far where the system keeps it, else what it is now; in MiB. */
async function memoryOf({ process: { pid } }: Child, name: 'VmHWM' | 'VmRSS'): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${name}:\\s+([0-9]+) kB`, 'm').exec(text)?.[1]) / 1024;
}

/** Sends a request and counts what comes, without keeping it. */
function count(
  { host, port }: Client,
  path: string,
  send: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<{ status: number; bytes: number }> {
  const { method = 'GET', headers = {}, body } = send;
  return new Promise((resolve, reject) => {
    const sent = request({ host, port, path, method, agent: false, headers }, (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => (bytes += chunk.byteLength));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, bytes }));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Many requests at a time. @returns growth of the server's memory at its height, in MiB */
async function growth(
  { child }: Served,
  one: (n: number) => Promise<unknown>,
  parallel: number = PARALLEL,
): Promise<number> {
  const before = await memoryOf(child, 'VmRSS');
  await Promise.all([...Array(parallel).keys()].map(one));
  const grown = (await memoryOf(child, 'VmHWM')) - before;
  return grown;
}

/** A layout that another program made, of manifests without tags but for the first. */
async function layoutOf(dir: string, repository: string, manifests: readonly string[]): Promise<void> {
  const blobs = join(dir, repository, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  for (const text of ['{}', ...manifests]) await writeFile(join(blobs, digestOf(text).slice(7)), text);
  const entries = manifests.map((text) => descriptorOf(text));
  await writeFile(
    join(dir, repository, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: entries }),
  );
  await writeFile(join(dir, repository, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
}

/** Layers of so many bytes of JSON, all of them the empty one. */
function manyLayers(bytes: number): unknown[] {
  return Array(Math.min(9_999, Math.floor(bytes / 260))).fill({
    ...EMPTY,
    annotations: { note: 'x'.repeat(Math.max(1, Math.floor(bytes / 9_999) - 170)) },
  });
}

const SUBJECT = artifact('image');

describe('the memory of a server does not grow', { timeout: 90_000 }, () => {
  it('with referrers that are large and say little', async () => {
    const server = await served((dir) =>
      layoutOf(dir, 'team/app', [
        SUBJECT,
        ...[...Array(24).keys()].map((i) =>
          artifact(`${i}`, { subject: descriptorOf(SUBJECT), layers: manyLayers(2 * MIB) }),
        ),
      ]),
    );
    const path = `/v2/team/app/referrers/${digestOf(SUBJECT)}`;
    // The repository is in memory, and nothing was listed yet.
    await count(server.client, '/v2/team/app/tags/list');
    const grown = await growth(server, async () => {
      const { status, bytes } = await count(server.client, path);
      expect(status).toBe(200);
      expect(bytes).toBeLessThan(64 * 1024);
    });
    expect(grown).toBeLessThan(ALLOWED_MIB);
  });

  it('with referrers whose annotations fill the pages', async () => {
    const server = await served((dir) =>
      layoutOf(dir, 'team/app', [
        SUBJECT,
        ...[...Array(40).keys()].map((i) =>
          artifact(`${i} ${'x'.repeat(i < 8 ? 3 * MIB : 100_000)}`, { subject: descriptorOf(SUBJECT) }),
        ),
      ]),
    );
    const path = `/v2/team/app/referrers/${digestOf(SUBJECT)}`;
    const { bytes } = await count(server.client, path);
    expect(bytes).toBeGreaterThan(MIB);
    expect(await growth(server, () => count(server.client, path))).toBeLessThan(ALLOWED_MIB);
  });

  it('with clients that ask for large answers and do not read them', async () => {
    const large = artifact('x'.repeat(3.5 * MIB), { subject: descriptorOf(SUBJECT) });
    const server = await served((dir) => layoutOf(dir, 'team/app', [SUBJECT, large]));
    const paths = [
      `referrers/${digestOf(SUBJECT)}`,
      `manifests/${digestOf(large)}`,
      `blobs/${digestOf(large)}`,
    ];
    const grown = await growth(server, async (n) => {
      const socket = connect(server.client.port, server.client.host);
      onTestFinished(() => void socket.destroy());
      socket.on('error', () => undefined);
      socket.write(`GET /v2/team/app/${paths[n % 3]} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      await new Promise((resolve) => socket.once('readable', resolve));
    });
    // What was begun takes its time: others are answered all the same.
    expect((await server.client.send('GET', '/v2/')).status).toBe(200);
    expect(grown).toBeLessThan(ALLOWED_MIB);
  });

  it('with lists of tens of thousands of long tags', async () => {
    const server = await served(async (dir) => {
      await layoutOf(dir, 'team/app', [SUBJECT]);
      const tags = [...Array(30_000).keys()].map((i) => `${'t'.repeat(120)}${i}`);
      const manifests = tags.map((tag) => ({
        ...descriptorOf(SUBJECT),
        annotations: { 'org.opencontainers.image.ref.name': tag },
      }));
      await writeFile(join(dir, 'team/app/index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
    });
    await count(server.client, '/v2/team/app/tags/list?n=1');
    const grown = await growth(server, async () => {
      const { bytes } = await count(server.client, '/v2/team/app/tags/list');
      expect(bytes).toBeGreaterThan(MIB);
    });
    expect(grown).toBeLessThan(ALLOWED_MIB);
  });

  it('with manifests of 4 MiB that are fetched', async () => {
    const manifests = [...Array(8).keys()].map((i) => artifact(`${i}`, { layers: manyLayers(3.5 * MIB) }));
    const server = await served((dir) => layoutOf(dir, 'team/app', manifests));
    await count(server.client, '/v2/team/app/tags/list');
    const grown = await growth(server, async (n) => {
      const text = manifests[n % 8] as string;
      const { bytes } = await count(server.client, `/v2/team/app/manifests/${digestOf(text)}`);
      expect(bytes).toBe(Buffer.byteLength(text));
    });
    expect(grown).toBeLessThan(ALLOWED_MIB);
  });

  it.each([
    { what: 'of many layers', more: { layers: manyLayers(3.5 * MIB) } },
    { what: 'of an annotation', more: { annotations: { note: 'x'.repeat(3.5 * MIB) } } },
    { what: 'of members that nobody knows', more: { junk: Array(240_000).fill({}) } },
  ])(
    'with manifests that are pushed, full $what',
    async ({ more }) => {
      const server = await served();
      await server.client.pushBlob('{}');
      const body = artifact('x', more);
      const grown = await growth(
        server,
        async (n) => {
          const { status } = await count(server.client, `/v2/team/app/manifests/v${n}`, {
            method: 'PUT',
            headers: { 'Content-Type': OCI_MANIFEST, 'Content-Length': `${Buffer.byteLength(body)}` },
            body,
          });
          expect(status).toBe(201);
        },
        PUSHES,
      );
      expect(grown).toBeLessThan(ALLOWED_MIB);
    },
    60_000,
  );

  it('with manifests that are pushed slowly, and others are pushed meanwhile', async () => {
    const server = await served();
    await server.client.pushBlob('{}');
    const half = artifact('x'.repeat(3.5 * MIB)).slice(0, 2 * MIB);
    const grown = await growth(server, async (n) => {
      const socket = connect(server.client.port, server.client.host);
      onTestFinished(() => void socket.destroy());
      socket.on('error', () => undefined);
      socket.write(
        `PUT /v2/team/app/manifests/s${n} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${OCI_INDEX}\r\nContent-Length: ${4 * MIB}\r\n\r\n`,
      );
      await new Promise<void>((resolve) => socket.write(half, () => resolve()));
    });
    expect((await server.client.put('v1', artifact('y'.repeat(3 * MIB)))).status).toBe(201);
    expect(grown).toBeLessThan(ALLOWED_MIB);
  });
});
