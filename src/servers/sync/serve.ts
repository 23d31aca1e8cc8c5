import { setMaxListeners } from 'node:events';
import type { SyncEntry } from '../../actions/sync/plan.ts';
import {
  type SyncedRepository,
  type SyncOptions,
  SyncShared,
  syncEntry,
  type WithPlaces,
} from '../../actions/sync/sync.ts';
import { BullaError, isBullaError, messageOf } from '../../errors.ts';
import type { Clock } from '../../trust/format/ports.ts';
import type { ListenAddress } from '../listener.ts';
import type { LogSink } from '../log.ts';
import { type RunningService, ServiceFrame, started } from '../service.ts';
import type { SyncConfig } from './config.ts';
import { parseSchedule, type Schedule } from './schedule.ts';
import { SyncStatistics } from './statistics.ts';

/** One reading of the file, with the connections that it asks for. */
export interface SyncGeneration {
  readonly config: SyncConfig;
  readonly places: WithPlaces;
  /** Ends the connections. */
  close(): Promise<void>;
}

export interface SyncServeOptions {
  /** Path of the file, for messages. */
  readonly where: string;
  readonly read: () => Promise<SyncGeneration>;
  readonly concurrency: number;
  readonly verify?: SyncOptions['verify'];
  /** In place of all intervals and schedules of the file, in milliseconds. */
  readonly everyMs?: number | undefined;
  readonly listen: ListenAddress;
  /** Names by which the listener is reached, beside localhost and IP addresses. */
  readonly hosts?: readonly string[] | undefined;
  readonly clock: Clock;
  /** Milliseconds of a clock that never goes back. */
  readonly monotonic: () => number;
  readonly log: LogSink;
}

/** Longest that the clock is not looked at, in milliseconds: it may be set. */
const LONGEST_SLEEP_MS = 60_000;

/**
 * Runs the entries of a file again and again, each by its own interval or schedule and never twice at the same time,
 * until it is closed.
 * @throws BullaError config-invalid, not-found, storage-error; usage where it cannot listen
 */
export async function serveSync(options: SyncServeOptions): Promise<RunningService> {
  return started(new Service(options, await options.read()));
}

/** An entry, and when it is run next. */
interface Job {
  readonly entry: SyncEntry;
  readonly schedule: Schedule | undefined;
  readonly intervalMs: number;
  /** By the monotonic clock; of a schedule, by the clock on the wall. */
  dueAt: number;
}

class Service implements RunningService {
  private readonly frame: ServiceFrame;
  private readonly options: SyncServeOptions;
  private readonly statistics: SyncStatistics;
  private readonly running = new Set<Promise<void>>();
  /** Titles of entries that are running. */
  private readonly busy = new Set<string>();
  private readonly users = new Map<SyncGeneration, number>();
  private generation: SyncGeneration;
  private shared: SyncShared;
  private jobs: readonly Job[] = [];
  private alarm = new AbortController();
  private wall = 0;
  private working: Promise<void> | undefined;

  constructor(options: SyncServeOptions, generation: SyncGeneration) {
    this.options = options;
    this.generation = generation;
    this.shared = new SyncShared(options.concurrency);
    this.statistics = new SyncStatistics({ entries: () => this.jobs.length, busy: () => this.running.size });
    this.frame = new ServiceFrame({ ...options, readAgain: () => this.readAgain() });
    setMaxListeners(0, this.frame.signal);
  }

  get address(): string {
    return this.frame.address;
  }

  get url(): string {
    return this.frame.url;
  }

  async open(): Promise<void> {
    const { config } = this.generation;
    this.jobs = this.jobsOf(config);
    const { listen, hosts = [] } = this.options;
    await this.frame.open({ listen, hosts, metrics: this.statistics.metrics, files: config.files });
    for (const message of config.warnings) this.frame.problem(message);
    this.working = this.work();
    this.frame.ready();
  }

  reload(): Promise<void> {
    return this.frame.reload();
  }

  /** Ends what is under way; the next run continues where it was. */
  async close(): Promise<void> {
    const stopped = this.frame.stop();
    this.alarm.abort();
    await stopped;
    await this.working;
    await Promise.all(this.running);
    await this.generation.close();
  }

  /** @throws BullaError config-invalid where an entry has no time */
  private jobsOf({ plan }: SyncConfig): readonly Job[] {
    const { everyMs, where, monotonic } = this.options;
    const before = new Map(this.jobs.map((job) => [job.entry.text, job]));
    return plan.entries.map((entry) => {
      // An entry that was changed is new, and run at once.
      const known = before.get(entry.text);
      before.delete(entry.text);
      if (known !== undefined) return known;
      const schedule =
        everyMs !== undefined || entry.schedule === undefined ? undefined : parseSchedule(entry.schedule);
      const intervalMs = everyMs ?? entry.intervalMs;
      if (schedule === undefined && intervalMs === undefined)
        throw new BullaError('config-invalid', `${where}: ${entry.title} has neither interval nor schedule`, {
          hint: 'add defaults.interval to the file, or give --every 10m, or --once',
        });
      // Everything is copied once at the start.
      const dueAt = schedule === undefined ? monotonic() : 0;
      return { entry, schedule, intervalMs: intervalMs ?? 0, dueAt };
    });
  }

  private async work(): Promise<void> {
    const { clock } = this.options;
    while (!this.frame.signal.aborted) {
      this.alarm = new AbortController();
      this.noticeClock();
      const parallel = this.generation.config.plan.parallel;
      for (const job of [...this.jobs].sort((a, b) => this.leftOf(a) - this.leftOf(b))) {
        if (this.running.size >= parallel) break;
        if (!this.busy.has(job.entry.title) && this.leftOf(job) <= 0) this.begin(job);
      }
      const waiting =
        this.running.size >= parallel ? [] : this.jobs.filter(({ entry }) => !this.busy.has(entry.title));
      const pause = Math.min(LONGEST_SLEEP_MS, ...waiting.map((job) => Math.max(0, this.leftOf(job))));
      await clock.sleep(pause, this.alarm.signal).catch(() => undefined);
    }
  }

  /** Where the clock on the wall was put back, schedules are counted from now. */
  private noticeClock(): void {
    const now = this.options.clock.now();
    if (now.getTime() < this.wall - 1_000)
      for (const job of this.jobs)
        if (job.schedule !== undefined && job.dueAt > 0)
          job.dueAt = job.schedule.next(now)?.getTime() ?? Infinity;
    this.wall = now.getTime();
  }

  private leftOf({ schedule, dueAt }: Job): number {
    const { clock, monotonic } = this.options;
    return dueAt - (schedule === undefined ? monotonic() : clock.now().getTime());
  }

  private begin(job: Job): void {
    const { generation } = this;
    // An entry and what was changed of it in the file write to the same place.
    this.busy.add(job.entry.title);
    this.users.set(generation, (this.users.get(generation) ?? 0) + 1);
    const work = this.run(job, generation).then(async () => {
      this.busy.delete(job.entry.title);
      this.running.delete(work);
      this.alarm.abort();
      await this.leave(generation);
    });
    this.running.add(work);
  }

  private async run(job: Job, { places }: SyncGeneration): Promise<void> {
    const { clock, monotonic, concurrency, verify } = this.options;
    const { signal } = this.frame;
    const { entry, schedule, intervalMs } = job;
    const began = monotonic();
    try {
      const repositories = await syncEntry(entry, places, { concurrency, signal, verify }, this.shared);
      this.tell(entry, repositories, monotonic() - began);
    } catch (error) {
      if (!signal.aborted)
        this.frame.log('error', 'failed', { entry: entry.title, message: messageOf(error) });
    }
    // What was due while it ran is left out.
    const passed = Math.floor((monotonic() - began) / intervalMs);
    job.dueAt =
      schedule === undefined
        ? began + (passed + 1) * intervalMs
        : (schedule.next(clock.now())?.getTime() ?? Infinity);
  }

  private tell(entry: SyncEntry, repositories: readonly SyncedRepository[], tookMs: number): void {
    this.statistics.ran(entry.title, repositories, tookMs, this.options.clock.now());
    for (const { source, target, counts, failures, warnings } of repositories) {
      for (const message of warnings) this.frame.log('warning', 'warning', { source, target, message });
      for (const { reference, error } of failures)
        this.frame.log('error', 'failed', {
          source,
          target,
          reference,
          code: error.code,
          message: error.message,
        });
      const { total, copied, present, failed, removed, bytes } = counts;
      this.frame.log('info', 'synced', {
        ...{ source, target, total, copied, present, failed, removed, bytes },
        milliseconds: Math.round(tookMs),
      });
    }
  }

  private async readAgain(): Promise<readonly string[] | undefined> {
    const { where, concurrency } = this.options;
    let next: SyncGeneration | undefined;
    try {
      next = await this.options.read();
      const jobs = this.jobsOf(next.config);
      const old = this.generation;
      [this.generation, this.jobs, this.shared] = [next, jobs, new SyncShared(concurrency)];
      if (!this.users.has(old)) await old.close();
      this.statistics.reloaded(jobs.map(({ entry }) => entry.title));
      this.frame.log('info', 'reload', { entries: jobs.length });
      this.alarm.abort();
      return next.config.files;
    } catch (error) {
      if (next !== undefined && next !== this.generation) await next.close();
      if (!isBullaError(error)) throw error;
      this.frame.log('error', 'config', { place: where, code: error.code, message: error.message });
      return undefined;
    }
  }

  /** A reading of the file that is out of use is closed when its last run ends. */
  private async leave(generation: SyncGeneration): Promise<void> {
    const left = (this.users.get(generation) ?? 1) - 1;
    if (left > 0) {
      this.users.set(generation, left);
      return;
    }
    this.users.delete(generation);
    if (generation === this.generation) return;
    await generation.close().catch((error: unknown) => {
      this.frame.problem(messageOf(error));
    });
  }
}
