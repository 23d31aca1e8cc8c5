import type { Admission, Hook } from '../../actions/gate/admit.ts';
import type { Verdict } from '../../actions/gate/verdict.ts';
import type { VerdictCounts } from '../../actions/gate/verdicts.ts';
import { counter, Durations, gauge, Metrics, type Sample } from '../metrics.ts';

/** What the metrics are read from while they are asked for. */
export interface WatchedGate {
  readonly counts: () => VerdictCounts;
  readonly remembered: () => number;
  readonly underWay: () => number;
  readonly policyHash: () => string;
  readonly isPolicyStale: () => boolean;
  readonly isEmergency: boolean;
  /** Seconds since the epoch; 0 where it is not known. */
  readonly certificateExpires: () => number;
}

/** Counts what a gate does, for Prometheus. Labels come from fixed sets: no object can add any. */
export class GateStatistics {
  readonly metrics: Metrics;
  private readonly verifications: Durations = new Durations();
  private readonly reviews = new Map<string, number>();
  private readonly images = new Map<string, number>();
  private reloads = 0;
  private alerts = 0;

  constructor(gate: WatchedGate) {
    this.metrics = new Metrics(
      'bulla_gate',
      [
        counter('reviews_total', 'Reviews that were answered, by webhook and decision.', () =>
          samples(this.reviews, ['hook', 'decision']),
        ),
        counter('images_total', 'Images in reviews, by what became of them and the code of the reason.', () =>
          samples(this.images, ['action', 'code']),
        ),
        counter(
          'answers_total',
          'Answers about images: from memory, shared with an equal question, or by asking.',
          () => {
            const { hits, joined, misses } = gate.counts();
            return [
              { labels: { from: 'memory' }, value: hits },
              { labels: { from: 'shared' }, value: joined },
              { labels: { from: 'registry' }, value: misses },
            ];
          },
        ),
        counter('policy_reloads_total', 'Times that another policy was taken.', () => this.reloads),
        counter('alerts_total', 'Images that alerts and events were about.', () => this.alerts),
        gauge('remembered', 'Answers that are remembered.', gate.remembered),
        gauge('verifications', 'Verifications that are under way or wait.', gate.underWay),
        gauge('policy_info', '1 for the policy in use, by the first digits of its hash.', () => [
          { labels: { hash: gate.policyHash().slice(0, 12) }, value: 1 },
        ]),
        gauge(
          'policy_stale',
          '1 if the policy was changed and cannot be used, so that the one before it decides.',
          () => Number(gate.isPolicyStale()),
        ),
        gauge('emergency', '1 if everything is admitted without verification.', () =>
          Number(gate.isEmergency),
        ),
        gauge(
          'certificate_expires_timestamp_seconds',
          'When the certificate of the webhook expires.',
          gate.certificateExpires,
        ),
        gauge('process_resident_memory_bytes', 'Memory of the process.', () => process.memoryUsage.rss()),
      ],
      [
        {
          name: 'verification_duration_seconds',
          help: 'Time to verify an image, by outcome.',
          durations: this.verifications,
        },
      ],
    );
  }

  verified({ outcome }: Verdict, tookMs: number): void {
    this.verifications.add(`outcome="${outcome}"`, tookMs / 1000);
  }

  reviewed(hook: Hook, { allowed, images, auditAnnotations }: Admission): void {
    add(this.reviews, [hook, auditAnnotations['decision'] ?? (allowed ? 'allowed' : 'denied')]);
    for (const { action, verdict } of images) add(this.images, [action, verdict.error?.code ?? '']);
  }

  reloaded(): void {
    this.reloads++;
  }

  alerted(count: number): void {
    this.alerts += count;
  }
}

function add(counts: Map<string, number>, values: readonly string[]): void {
  const key = values.join(' ');
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function* samples(counts: ReadonlyMap<string, number>, names: readonly string[]): Generator<Sample> {
  for (const [key, value] of counts) {
    const values = key.split(' ');
    yield { labels: Object.fromEntries(names.map((name, at) => [name, values[at] ?? ''])), value };
  }
}
