import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { type Child, runChild } from '../../support/processes.ts';
import { artifact, Client, descriptorOf, digestOf } from './client.ts';

/** What the registry has answered with 201, and so must never lose. */
interface Acknowledged {
  readonly blobs: Set<string>;
  /** Bytes of manifests by digest. */
  readonly manifests: Map<string, string>;
  /** What a tag may be: what it was set to last, or by a push that got no answer. One worker writes a tag. */
  readonly tags: Map<string, readonly string[]>;
  /** Subject of each referrer. */
  readonly referrers: Map<string, string>;
}

const WORKERS = 8;

/** Starts a registry in a process of its own. */
export async function startChild(dir: string, shell?: string): Promise<{ child: Child; client: Client }> {
  const child = runChild('servers/registry/serve-child.ts', [dir], shell);
  await Promise.race([
    child.printed('serving on'),
    child.ended.then(({ output }) => {
      throw new Error(`the registry ended: ${output}`);
    }),
  ]);
  const address = /serving on ([^;]+);/.exec(child.output())?.[1] ?? '';
  return { child, client: new Client(address) };
}

/**
 * Kills a registry at a random moment of concurrent pushes, `rounds` times, and looks each time whether
 * all that it had acknowledged is there, and whether anything refers to what is not.
 * @returns how many pushes were acknowledged in all
 */
export async function killRepeatedly(dir: string, rounds: number): Promise<number> {
  const known: Acknowledged = {
    blobs: new Set(),
    manifests: new Map(),
    tags: new Map(),
    referrers: new Map(),
  };
  for (let round = 0; round < rounds; round++) {
    const { child, client } = await startChild(dir);
    const fresh: Acknowledged = {
      blobs: new Set(),
      manifests: new Map(),
      tags: known.tags,
      referrers: new Map(),
    };
    const stop = { now: false };
    const pushing = Promise.all(
      [...Array(WORKERS).keys()].map((worker) => pushUntilKilled(client, fresh, `${round}-${worker}`, stop)),
    );
    await sleep(Math.random() * 400 + 20);
    child.process.kill('SIGKILL');
    stop.now = true;
    await pushing;
    await child.ended;
    for (const blob of fresh.blobs) known.blobs.add(blob);
    for (const [digest, body] of fresh.manifests) known.manifests.set(digest, body);
    for (const [digest, subject] of fresh.referrers) known.referrers.set(digest, subject);
    const again = await startChild(dir);
    await verify(again.client, fresh);
    if (round === rounds - 1) await verify(again.client, known);
    again.child.process.kill(round % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
    await again.child.ended;
  }
  return known.blobs.size + known.manifests.size;
}

async function pushUntilKilled(
  client: Client,
  known: Acknowledged,
  name: string,
  stop: { now: boolean },
): Promise<void> {
  try {
    for (let i = 0; !stop.now; i++) await pushOne(client, known, `${name}-${i}`);
  } catch (error) {
    // The connection broke with the registry; an answer that is wrong is another matter.
    if (!stop.now && !isBroken(error)) throw error;
  }
}

function isBroken(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^E(?:CONN|PIPE)/.test(String(error.code));
}

async function pushOne(client: Client, known: Acknowledged, name: string): Promise<void> {
  const layer = randomBytes(1 + Math.floor(Math.random() * 200_000));
  known.blobs.add(await pushBlob(client, layer));
  known.blobs.add(await pushBlob(client, '{}'));
  const layers = [{ mediaType: 'application/octet-stream', digest: digestOf(layer), size: layer.byteLength }];
  const [, worker] = name.split('-');
  const tag = `${worker}-${Math.floor(Math.random() * 3)}`;
  const body = artifact(name, { layers });
  known.tags.set(tag, [...(known.tags.get(tag) ?? ['none']), digestOf(body)]);
  await put(client, known, tag, body);
  known.tags.set(tag, [digestOf(body)]);
  const referrer = artifact(`of ${name}`, { subject: descriptorOf(body) });
  await put(client, known, digestOf(referrer), referrer);
  known.referrers.set(digestOf(referrer), digestOf(body));
}

async function pushBlob(client: Client, bytes: Uint8Array | string): Promise<string> {
  return await client.pushBlob(bytes);
}

async function put(client: Client, known: Acknowledged, reference: string, body: string): Promise<void> {
  const answer = await client.put(reference, body);
  expect(answer.status, answer.text()).toBe(201);
  known.manifests.set(digestOf(body), body);
}

async function verify(client: Client, known: Acknowledged): Promise<void> {
  for (const digest of known.blobs) {
    const { status, body } = await client.get(`/blobs/${digest}`);
    expect([status, digestOf(body)]).toEqual([200, digest]);
  }
  for (const [digest, body] of known.manifests) {
    expect((await client.get(`/manifests/${digest}`)).text()).toBe(body);
  }
  for (const [digest, subject] of known.referrers) {
    const list = (await client.get(`/referrers/${subject}`)).json() as { manifests: { digest: string }[] };
    expect(list.manifests.map((entry) => entry.digest)).toContain(digest);
  }
  await verifyTags(client, known);
}

/** Every tag is what it was set to last, and everything that its manifest refers to is there. */
async function verifyTags(client: Client, known: Acknowledged): Promise<void> {
  for (const [tag, possible] of known.tags) {
    const answer = await client.get(`/manifests/${tag}`);
    const found = answer.status === 200 ? digestOf(answer.body) : 'none';
    expect(possible).toContain(found);
    known.tags.set(tag, [found]);
    if (found === 'none') continue;
    const manifest = answer.json() as { config: { digest: string }; layers: { digest: string }[] };
    for (const { digest } of [manifest.config, ...manifest.layers]) {
      expect((await client.send('HEAD', `/v2/team/app/blobs/${digest}`)).status).toBe(200);
    }
  }
}
