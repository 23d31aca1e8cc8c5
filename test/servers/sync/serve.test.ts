import { describe, expect, it, onTestFinished } from 'vitest';
import { checkedPlan } from '../../../src/actions/sync/plan.ts';
import type { SyncDocument, SyncEntryDocument } from '../../../src/actions/sync/schema.ts';
import type { WithPlaces } from '../../../src/actions/sync/sync.ts';
import { BullaError } from '../../../src/errors.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { formatRepository } from '../../../src/oci/reference.ts';
import type { LogFields } from '../../../src/servers/log.ts';
import type { RunningService } from '../../../src/servers/service.ts';
import { isSchedule, parseSchedule } from '../../../src/servers/sync/schedule.ts';
import { serveSync } from '../../../src/servers/sync/serve.ts';
import { pushImage } from '../../support/content.ts';

const entry = (name: string, more: Partial<SyncEntryDocument> = {}): SyncEntryDocument => ({
  source: `a.example.com/${name}`,
  target: `b.example.com/${name}`,
  type: 'repository',
  ...more,
});

/** A clock that moves when it is told to, and a sync that lives by it. */
class Rig {
  ms = Date.UTC(2026, 0, 1, 0, 0, 30);
  readonly log: LogFields[] = [];
  readonly stores = new Map<string, MemoryStore>();
  readonly opened: string[] = [];
  document: SyncDocument | BullaError = { sync: [] };
  closed = 0;
  server: RunningService | undefined;
  /** Resolves when the source of an entry may be read. */
  gate: Promise<void> = Promise.resolve();
  private readonly sleepers = new Set<() => void>();

  private readonly places: WithPlaces = (work) =>
    work({
      open: async (reference, side) => {
        const name = formatRepository(reference);
        if (side === 'from') {
          this.opened.push(name);
          await this.gate;
        }
        const store = this.stores.get(name) ?? new MemoryStore(name);
        this.stores.set(name, store);
        if (side === 'from' && (await store.listTags()).length === 0) await pushImage(store, name, 'v1');
        return store;
      },
      listRepositories: async function* () {},
    });

  async start(document: SyncDocument, everyMs?: number): Promise<void> {
    this.document = document;
    this.server = await serveSync({
      where: 'sync.yaml',
      read: async () => {
        if (this.document instanceof BullaError) throw this.document;
        const plan = checkedPlan(this.document, isSchedule);
        const config = { plan, access: new Map(), files: [], warnings: [] };
        return { config, places: this.places, close: async () => void this.closed++ };
      },
      concurrency: 2,
      everyMs,
      listen: { host: '127.0.0.1', port: 0 },
      clock: { now: () => new Date(this.ms), sleep: (ms, signal) => this.sleep(ms, signal) },
      monotonic: () => this.ms,
      log: (line) => this.log.push(line),
    });
    onTestFinished(() => this.server?.close());
  }

  private sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const until = this.ms + ms;
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (this.ms < until) return;
        this.sleepers.delete(look);
        resolve();
      };
      signal?.addEventListener('abort', () => {
        this.sleepers.delete(look);
        reject(signal.reason as Error);
      });
      this.sleepers.add(look);
      look();
    });
  }

  async advance(ms: number): Promise<void> {
    this.ms += ms;
    for (const look of [...this.sleepers]) look();
    await settled();
  }

  runs(name: string): number {
    return this.opened.filter((one) => one === `a.example.com/${name}`).length;
  }
}

/** Until nothing in memory has anything to do any more. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 60; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe('a sync that stays', () => {
  it('runs each entry at once, and then by its interval or schedule', async () => {
    const rig = new Rig();
    await rig.start({
      defaults: { interval: '10m' },
      sync: [entry('often'), entry('hourly', { schedule: '0 * * * *' })],
    });
    await settled();
    expect([rig.runs('often'), rig.runs('hourly')]).toEqual([1, 1]);
    for (let minute = 0; minute < 60; minute++) await rig.advance(60_000);
    expect([rig.runs('often'), rig.runs('hourly')]).toEqual([7, 2]);
    expect(rig.log.filter(({ event }) => event === 'synced')).toHaveLength(9);
  });

  it('never runs an entry twice at the same time', async () => {
    const rig = new Rig();
    let open = (): void => undefined;
    rig.gate = new Promise((resolve) => (open = resolve));
    await rig.start({ sync: [entry('slow', { interval: '1m' })] });
    for (let minute = 0; minute < 10; minute++) await rig.advance(60_000);
    expect(rig.runs('slow')).toBe(1);
    open();
    await settled();
    await rig.advance(60_000);
    expect(rig.runs('slow')).toBe(2);
  });

  it('reads its file again, keeps what it has where that is broken, and runs what was changed at once', async () => {
    const rig = new Rig();
    await rig.start({ defaults: { interval: '1h' }, sync: [entry('one')] });
    await settled();
    rig.document = new BullaError('config-invalid', 'broken');
    await rig.server?.reload();
    expect(rig.log.at(-1)).toMatchObject({ event: 'config', code: 'config-invalid' });
    rig.document = { defaults: { interval: '1h' }, sync: [entry('one'), entry('two')] };
    await rig.server?.reload();
    await settled();
    expect([rig.runs('one'), rig.runs('two'), rig.closed]).toEqual([1, 1, 1]);
    rig.document = { defaults: { interval: '1h' }, sync: [entry('one', { tags: { allow: ['v1'] } })] };
    await rig.server?.reload();
    await settled();
    expect([rig.runs('one'), rig.runs('two')]).toEqual([2, 1]);
  });

  it('takes --every in place of what the file says, and refuses an entry without any time', async () => {
    const rig = new Rig();
    await expect(rig.start({ sync: [entry('never')] })).rejects.toMatchObject({ code: 'config-invalid' });
    const other = new Rig();
    await other.start({ sync: [entry('one', { schedule: '0 0 1 1 *' })] }, 60_000);
    await settled();
    for (let minute = 0; minute < 3; minute++) await other.advance(60_000);
    expect(other.runs('one')).toBe(4);
  });

  it('does not wait for years after its clock was put back', async () => {
    const rig = new Rig();
    await rig.start({ sync: [entry('hourly', { schedule: '0 * * * *' })] });
    await settled();
    rig.ms -= 3 * 365 * 86_400_000;
    // A real sleep ends by the other clock; here both are one.
    await rig.server?.reload();
    await settled();
    for (let minute = 0; minute < 61; minute++) await rig.advance(60_000);
    expect(rig.runs('hourly')).toBe(2);
  });

  it('tells what it did over HTTP, and ends at once while it copies', async () => {
    const rig = new Rig();
    await rig.start({ sync: [entry('one', { interval: '1h' })] });
    await settled();
    const ask = async (path: string): Promise<string> => (await fetch(`${rig.server?.url}${path}`)).text();
    expect(await ask('/healthz')).toBe('ok\n');
    const metrics = await ask('/metrics');
    expect(metrics).toContain('bulla_sync_tags_total{outcome="copied"} 1\n');
    expect(metrics).toContain('bulla_sync_failing{entry="a.example.com/one => b.example.com/one"} 0\n');
    expect(
      (await fetch(`${rig.server?.url}/metrics`, { headers: { origin: 'http://evil.example.com' } })).status,
    ).toBe(403);
    rig.gate = new Promise((_, reject) =>
      setTimeout(() => reject(new BullaError('interrupted', 'ended')), 50),
    );
    await rig.advance(3_600_000);
    await rig.server?.close();
    expect(rig.closed).toBe(1);
  });

  it('knows which schedules come true', () => {
    const next = (text: string): string | undefined =>
      parseSchedule(text)?.next(new Date('2026-02-27T23:50:00Z'))?.toISOString();
    expect(next('15 1 * * *')).toBe('2026-02-28T01:15:00.000Z');
    expect(next('0 0 29 2 *')).toBe('2028-02-29T00:00:00.000Z');
    expect(['0 0 30 2 *', '* * * *', '* * * * * *', 'daily', ''].map(isSchedule)).toEqual(
      Array(5).fill(false),
    );
  });
});
