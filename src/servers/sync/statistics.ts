import type { SyncedRepository } from '../../actions/sync/sync.ts';
import type { ErrorCode } from '../../errors.ts';
import { counter, Durations, gauge, Metrics, type Sample } from '../metrics.ts';

/** What the metrics are read from while they are asked for. */
export interface WatchedSync {
  readonly entries: () => number;
  readonly busy: () => number;
}

/** How the last run of an entry ended. */
interface LastRun {
  isFailed: boolean;
  /** In seconds since the epoch; 0 before the first success. */
  succeededAt: number;
}

/** Counts what a sync does, for Prometheus. Labels come from the file: registries cannot add any. */
export class SyncStatistics {
  readonly metrics: Metrics;
  private readonly runs: Durations = new Durations();
  private readonly tags = new Map<string, number>();
  private readonly failures = new Map<ErrorCode, number>();
  private readonly last = new Map<string, LastRun>();
  private bytes = 0;
  private reloads = 0;

  constructor({ entries, busy }: WatchedSync) {
    this.metrics = new Metrics(
      'bulla_sync',
      [
        counter('tags_total', 'Tags, by what became of them.', () => samples(this.tags, 'outcome')),
        counter('failures_total', 'What failed, by code.', () => samples(this.failures, 'code')),
        counter('copied_bytes_total', 'Bytes that were sent to targets.', () => this.bytes),
        counter('reloads_total', 'Times that the file was read again.', () => this.reloads),
        gauge('entries', 'Entries of the file.', entries),
        gauge('busy', 'Entries that are being copied.', busy),
        gauge('failing', '1 for each entry whose last run failed.', () =>
          this.ofEntries(({ isFailed }) => Number(isFailed)),
        ),
        gauge(
          'last_success_timestamp_seconds',
          'When a run of an entry last copied everything; 0 before.',
          () => this.ofEntries(({ succeededAt }) => succeededAt),
        ),
        gauge('process_resident_memory_bytes', 'Memory of the process.', () => process.memoryUsage.rss()),
      ],
      [{ name: 'run_duration_seconds', help: 'Time for one entry, by outcome.', durations: this.runs }],
    );
  }

  /** A run of an entry has ended. */
  ran(entry: string, repositories: readonly SyncedRepository[], tookMs: number, now: Date): void {
    const isFailed = repositories.some(({ failures }) => failures.length > 0);
    this.runs.add(`outcome="${isFailed ? 'failed' : 'done'}"`, tookMs / 1000);
    for (const { counts, failures } of repositories) {
      for (const outcome of ['copied', 'present', 'failed', 'removed'] as const)
        add(this.tags, outcome, counts[outcome]);
      for (const { error } of failures) add(this.failures, error.code, 1);
      this.bytes += counts.bytes;
    }
    const last = this.last.get(entry) ?? { isFailed, succeededAt: 0 };
    last.isFailed = isFailed;
    if (!isFailed) last.succeededAt = Math.floor(now.getTime() / 1000);
    this.last.set(entry, last);
  }

  reloaded(entries: readonly string[]): void {
    this.reloads++;
    for (const entry of this.last.keys()) if (!entries.includes(entry)) this.last.delete(entry);
  }

  private *ofEntries(read: (last: LastRun) => number): Generator<Sample> {
    for (const [entry, last] of this.last) yield { labels: { entry }, value: read(last) };
  }
}

function* samples(counts: ReadonlyMap<string, number>, label: string): Generator<Sample> {
  for (const [value, count] of counts) yield { labels: { [label]: value }, value: count };
}

function add<K extends string>(counts: Map<K, number>, key: K, count: number): void {
  counts.set(key, (counts.get(key) ?? 0) + count);
}
