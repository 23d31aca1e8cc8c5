import type { RequestRecord } from './handler.ts';

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
const BUCKETS = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60] as const;

interface Duration {
  readonly buckets: number[];
  count: number;
  sum: number;
}

/** A number that is read when somebody asks. */
export interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  read(): number;
}

/** Counts requests, for Prometheus. Labels come from fixed sets: nobody can grow them. */
export class Metrics {
  private readonly requests = new Map<string, number>();
  private readonly durations = new Map<string, Duration>();
  private readonly gauges: readonly Gauge[];
  private received = 0;
  private sent = 0;

  constructor(gauges: readonly Gauge[]) {
    this.gauges = gauges;
  }

  count(record: RequestRecord): void {
    const method = METHODS.has(record.method) ? record.method : 'other';
    const labels = `method="${method}",route="${record.route}",status="${record.status}"`;
    this.requests.set(labels, (this.requests.get(labels) ?? 0) + 1);
    this.received += record.received;
    this.sent += record.sent;
    const duration = this.durationOf(`method="${method}",route="${record.route}"`);
    const seconds = record.milliseconds / 1000;
    duration.count++;
    duration.sum += seconds;
    for (const [i, bound] of BUCKETS.entries()) {
      if (seconds <= bound) duration.buckets[i] = (duration.buckets[i] ?? 0) + 1;
    }
  }

  /** Prometheus text format 0.0.4. */
  text(): string {
    const lines: string[] = [];
    const add = (name: string, type: string, help: string, samples: readonly string[]): void => {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples);
    };
    const requests = 'bulla_registry_requests_total';
    add(
      requests,
      'counter',
      'Requests that were answered.',
      [...this.requests].map(([labels, count]) => `${requests}{${labels}} ${count}`),
    );
    const seconds = 'bulla_registry_request_duration_seconds';
    add(
      seconds,
      'histogram',
      'Time from the headers of a request to the end of its answer.',
      [...this.durations].flatMap(([labels, duration]) => histogram(seconds, labels, duration)),
    );
    const traffic: readonly Gauge[] = [
      counter('received_bytes_total', 'Bytes of request bodies.', this.received),
      counter('sent_bytes_total', 'Bytes of answers.', this.sent),
    ];
    for (const gauge of [...traffic, ...this.gauges]) {
      const name = gauge.name.startsWith('process_') ? gauge.name : `bulla_registry_${gauge.name}`;
      add(name, gauge.type, gauge.help, [`${name} ${gauge.read()}`]);
    }
    return `${lines.join('\n')}\n`;
  }

  private durationOf(labels: string): Duration {
    let duration = this.durations.get(labels);
    if (duration === undefined) {
      duration = { buckets: BUCKETS.map(() => 0), count: 0, sum: 0 };
      this.durations.set(labels, duration);
    }
    return duration;
  }
}

function counter(name: string, help: string, value: number): Gauge {
  return { name, help, type: 'counter', read: () => value };
}

function histogram(name: string, labels: string, duration: Duration): string[] {
  return [
    ...BUCKETS.map((bound, i) => `${name}_bucket{${labels},le="${bound}"} ${duration.buckets[i] ?? 0}`),
    `${name}_bucket{${labels},le="+Inf"} ${duration.count}`,
    `${name}_sum{${labels}} ${duration.sum}`,
    `${name}_count{${labels}} ${duration.count}`,
  ];
}
