import type { AlarmBook } from '../../actions/renew/alarms.ts';
import type { Outcome, Work } from '../../actions/renew/report.ts';
import type { Steps } from '../../actions/renew/step.ts';
import type { ErrorCode } from '../../errors.ts';
import { counter, Durations, type Gauge, gauge, Metrics, type Sample } from '../metrics.ts';

/** What the metrics are read from. */
export interface Watched {
  readonly steps: Steps;
  readonly alarms: AlarmBook;
  readonly now: () => Date;
  readonly collections: () => number;
  readonly failing: () => number;
  readonly busy: () => number;
  readonly pausedRegistries: () => number;
  readonly isLeader: () => boolean;
}

/** Counts what the re-signer does, for Prometheus. */
export class Statistics {
  readonly metrics: Metrics;
  /** Of what is asked of registries. */
  readonly registry: Durations = new Durations();
  private readonly steps: Durations = new Durations();
  private readonly work = new Map<string, number>();
  private readonly failures = new Map<ErrorCode, number>();
  private folded = 0;
  private conflicts = 0;
  private notified = 0;
  private reloads = 0;

  constructor(watched: Watched) {
    this.metrics = new Metrics(
      'bulla_resigner',
      [...this.counters(), ...gaugesOf(watched)],
      [
        {
          name: 'step_duration_seconds',
          help: 'Time for one collection, by outcome.',
          durations: this.steps,
        },
        {
          name: 'registry_duration_seconds',
          help: 'Time until a registry had answered, its retries included.',
          durations: this.registry,
        },
      ],
    );
  }

  step(outcome: Outcome, tookMs: number): void {
    const label = outcome.kind === 'passed' ? workLabel(outcome.freshness.work) : outcome.kind;
    this.steps.add(`outcome="${label}"`, tookMs / 1000);
    if (outcome.kind === 'failed') add(this.failures, outcome.failure.code);
    if (outcome.kind !== 'passed') return;
    add(this.work, workLabel(outcome.freshness.work));
    this.folded += outcome.freshness.folded;
    this.conflicts += outcome.freshness.conflicts.length;
  }

  notification(): void {
    this.notified++;
  }

  reload(): void {
    this.reloads++;
  }

  private counters(): readonly Gauge[] {
    return [
      counter('passes_total', 'Passes over a collection, by what was done.', () =>
        samples(this.work, 'work'),
      ),
      counter('failures_total', 'Steps that failed, by code.', () => samples(this.failures, 'code')),
      counter('folded_changes_total', 'Staged changes that were folded.', () => this.folded),
      counter('conflicts_total', 'Staged changes that were left, at each pass.', () => this.conflicts),
      counter('notifications_total', 'Notifications that were taken.', () => this.notified),
      counter('reloads_total', 'Times that configuration or key were read again.', () => this.reloads),
    ];
  }
}

function gaugesOf(watched: Watched): readonly Gauge[] {
  return [
    gauge('collections', 'Repositories that are looked after.', watched.collections),
    gauge('failing_collections', 'Collections whose last step failed.', watched.failing),
    gauge('busy', 'Steps that are under way.', watched.busy),
    gauge('paused_registries', 'Registries that are left alone for now.', watched.pausedRegistries),
    gauge('leader', '1 where this replica works, 0 where it stands by.', () => Number(watched.isLeader())),
    gauge('expiry_seconds', 'Seconds until the metadata of a role expires; negative afterwards.', () =>
      expiries(watched),
    ),
    gauge('alarm', '1 for each alarm that stands.', () => alarms(watched)),
    gauge('process_resident_memory_bytes', 'Memory of the process.', () => process.memoryUsage.rss()),
  ];
}

function* expiries({ steps, now }: Watched): Generator<Sample> {
  const at = now().getTime();
  for (const [collection, known] of steps.entries())
    for (const [role, expires] of known.expiries)
      yield { labels: { collection, role }, value: Math.round((expires.getTime() - at) / 1000) };
}

function* alarms(watched: Watched): Generator<Sample> {
  for (const { alarm } of watched.alarms.all())
    yield {
      labels: { collection: alarm.place, kind: alarm.kind, code: alarm.code, role: alarm.role ?? '' },
      value: 1,
    };
}

function* samples(counts: ReadonlyMap<string, number>, label: string): Generator<Sample> {
  for (const [value, count] of counts) yield { labels: { [label]: value }, value: count };
}

function add<K extends string>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** How log and metrics call what was done: a pass with nothing to do is `none` there (spec/resigner.md). */
export function workLabel(work: Work): string {
  return work === 'fresh' ? 'none' : work;
}
