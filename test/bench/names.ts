import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Target } from '../../src/oci/target.ts';
import { openRepository } from '../../src/registry/client.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { publishNames } from '../../src/trust/publish/publish.ts';
import { ProcessSignerState } from '../../src/trust/publish/signer-state.ts';
import { type ReadOptions, readCollection } from '../../src/trust/read/collection.ts';
import { ProcessBlobCache } from '../../src/trust/read/memory.ts';
import { findName } from '../../src/trust/read/names.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { type DelayProxy, startDelayProxy } from '../support/delay-proxy.ts';
import { contentOf, reading } from '../support/trust/changing.ts';
import { pushLargeHead, realTags } from '../support/trust/many-names.ts';
import { NOW, simpleSigners } from '../support/tuf/editing.ts';
import { type Bench, type Goal, median, type Section } from './report.ts';

/** Names, and the KiB that the answers to a cold question for one of them may have. */
const SIZES: Readonly<Record<'small' | 'full', readonly (readonly [number, number])[]>> = {
  small: [[10_000, 24]],
  full: [
    [10_000, 24],
    [100_000, 60],
    [1_000_000, 180],
  ],
};

/** Tags in the registry: more would not be listed, as the first page leads past those of the collection. */
const LISTED = 5_000;

interface Cost {
  readonly requests: number;
  readonly received: number;
  readonly sent: number;
  readonly ms: number;
}

/** The bodies of all answers and requests while `work` runs. */
async function costOf(proxy: DelayProxy, work: () => Promise<unknown>): Promise<Cost> {
  proxy.reset();
  const start = performance.now();
  await work();
  const ms = performance.now() - start;
  const sum = (of: 'received' | 'sent') => proxy.requests.reduce((total, request) => total + request[of], 0);
  return { requests: proxy.requests.length, received: sum('received'), sent: sum('sent'), ms };
}

/** A registry whose repository has a collection with so many names, and some thousand tags. */
async function prepare(directory: string, count: number): Promise<string> {
  const server = await serveRegistry({ dir: directory });
  const target = openRepository({ registry: server.address, repository: 'team/app' });
  await pushImage(target, 'app', 'v1');
  await pushLargeHead(target, 'registry.example.com/team/app', count);
  await target.close();
  await server.close();
  const file = join(directory, 'team/app/index.json');
  const index = JSON.parse(readFileSync(file, 'utf8')) as { manifests: Record<string, unknown>[] };
  const name = 'org.opencontainers.image.ref.name';
  const image = index.manifests.find(
    (entry) => (entry['annotations'] as Record<string, string> | undefined)?.[name] === 'v1',
  );
  for (const tag of realTags(LISTED)) index.manifests.push({ ...image, annotations: { [name]: tag } });
  writeFileSync(file, JSON.stringify(index));
  return directory;
}

interface Measured {
  readonly cold: Cost;
  readonly warm: Cost;
  /** By somebody who knows nothing of the collection, and by the same again a minute later. */
  readonly first: Cost;
  readonly publish: Cost;
}

async function measureOne(count: number, runs: number): Promise<Measured> {
  const directory = mkdtempSync(join(tmpdir(), 'bulla-bench-'));
  try {
    const server = await serveRegistry({ dir: await prepare(directory, count) });
    const proxy = await startDelayProxy(server.address, 0);
    const target = openRepository({ registry: proxy.host, repository: 'team/app' });
    try {
      const costs: Measured[] = [];
      for (let run = 0; run < runs; run++) costs.push(await measureRun(proxy, target, run));
      const middle = (of: keyof Measured): Cost => {
        const ms = median(costs.map((cost) => cost[of].ms));
        return { ...(costs[0] as Measured)[of], ms };
      };
      return {
        ...{ cold: middle('cold'), warm: middle('warm') },
        ...{ first: middle('first'), publish: middle('publish') },
      };
    } finally {
      await target.close();
      await proxy.stop();
      await server.close();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Names whose cost is averaged: bins are not equally large. */
const ASKED = [...realTags(12)];

async function measureRun(proxy: DelayProxy, target: Target, run: number): Promise<Measured> {
  const later = (minutes: number) => new Date(NOW.getTime() + 60_000 * (4 * run + minutes));
  const ask = async (read: ReadOptions, name: string): Promise<void> => {
    const collection = await readCollection(target, read);
    if (collection === undefined) throw new Error('there is no collection');
    await findName(collection, tagOf(name));
  };
  const colds: Cost[] = [];
  let known = reading({ now: later(1), cache: new ProcessBlobCache() });
  for (const name of ASKED) {
    known = reading({ now: later(1), cache: new ProcessBlobCache() });
    colds.push(await costOf(proxy, () => ask(known, name)));
  }
  const warm = await costOf(proxy, () => ask(known, ASKED.at(-1) as string));
  const cache = new ProcessBlobCache();
  const publish = (name: string, now: Date) =>
    costOf(proxy, () =>
      publishNames(
        target,
        reading({ now, cache }),
        [{ set: new Map([[name, contentOf(`${name} ${run}`)]]) }],
        {
          clock: { now: () => now, sleep: async () => undefined },
          chance: {
            below: (range) => Math.floor(Math.random() * range),
            changeId: () => contentOf(`change ${run} ${Math.random()}`).sha256.slice(0, 32),
            fraction: Math.random,
          },
          signers: simpleSigners(),
          state: new ProcessSignerState(),
        },
      ),
    );
  const first = await publish('v9.9.9', later(2));
  return { cold: meanOf(colds), warm, first, publish: await publish('v9.9.10', later(3)) };
}

function meanOf(costs: readonly Cost[]): Cost {
  const mean = (of: keyof Cost): number => costs.reduce((sum, cost) => sum + cost[of], 0) / costs.length;
  return { requests: mean('requests'), received: mean('received'), sent: mean('sent'), ms: mean('ms') };
}

export const bench: Bench = async ({ size, runs }) => {
  const goals: Goal[] = [];
  const rows: (string | number)[][] = [];
  for (const [count, atMost] of SIZES[size]) {
    const { cold, warm, first, publish } = await measureOne(count, runs);
    const row = (what: string, cost: Cost) =>
      rows.push([
        count.toLocaleString('en-US'),
        what,
        cost.requests,
        cost.received / 1024,
        cost.sent / 1024,
        cost.ms,
      ]);
    row('one name, cold', cold);
    row('again', warm);
    row('one name published, knowing nothing', first);
    row('another, by the same', publish);
    const names = `${count.toLocaleString('en-US')} names`;
    goals.push({
      what: `${names}: KiB of answers for one, cold`,
      measured: cold.received / 1024,
      atMost,
    });
    if (count < 1_000_000) continue;
    const all = (publish.received + publish.sent) / 1024;
    goals.push({ what: `${names}: KiB to publish one, by who did before`, measured: all, atMost: 300 });
    goals.push({ what: `${names}: ms to publish one`, measured: publish.ms, atMost: 3000 });
  }
  const section: Section = {
    title: 'Names of a large collection, over the embedded registry on loopback',
    columns: ['names', '', 'requests', 'KiB received', 'KiB sent', 'ms'],
    rows,
    goals,
    notes: ['Bodies only, both ways. The registry lists in pages; what publishing lists is counted.'],
  };
  return [section];
};
