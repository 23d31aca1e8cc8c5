/** What is counted of one request that was answered. */
export interface RequestSample {
  readonly method: string;
  /** From a fixed set. */
  readonly route: string;
  readonly status: number;
  readonly milliseconds: number;
  /** Bytes of the request's body that were taken, and of the answer's. */
  readonly received: number;
  readonly sent: number;
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
/** Length at which a piece of the text is handed out, in characters. */
const PIECE = 64 * 1024;
const BUCKETS = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60] as const;

interface Duration {
  readonly buckets: number[];
  count: number;
  sum: number;
}

/** A number that is read on request; with labels, several of them. */
export interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  read(): number | Iterable<Sample>;
}

/** One number of many. */
export interface Sample {
  /** Values are escaped here. */
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** How long something took, by what it was. */
export class Durations {
  private readonly byLabels = new Map<string, Duration>();

  /** @param labels as they are written, from a fixed set */
  add(labels: string, seconds: number): void {
    let duration = this.byLabels.get(labels);
    if (duration === undefined) {
      duration = { buckets: BUCKETS.map(() => 0), count: 0, sum: 0 };
      this.byLabels.set(labels, duration);
    }
    duration.count++;
    duration.sum += seconds;
    for (const [i, bound] of BUCKETS.entries()) {
      if (seconds <= bound) duration.buckets[i] = (duration.buckets[i] ?? 0) + 1;
    }
  }

  samples(name: string): readonly string[] {
    return [...this.byLabels].flatMap(([labels, duration]) => histogram(name, labels, duration));
  }
}

/** A histogram beside that of the requests. */
export interface Histogram {
  readonly name: string;
  readonly help: string;
  readonly durations: Durations;
}

/** Counts requests, for Prometheus. Labels come from fixed sets or from the configuration: clients cannot add any. */
export class Metrics {
  private readonly prefix: string;
  private readonly requests = new Map<string, number>();
  private readonly durations = new Durations();
  private readonly gauges: readonly Gauge[];
  private readonly histograms: readonly Histogram[];
  private received = 0;
  private sent = 0;

  /** @param prefix of all names but those that begin with `process_`: `bulla_registry` */
  constructor(prefix: string, gauges: readonly Gauge[], histograms: readonly Histogram[] = []) {
    this.prefix = prefix;
    this.gauges = gauges;
    this.histograms = histograms;
  }

  count(record: RequestSample): void {
    const method = METHODS.has(record.method) ? record.method : 'other';
    const labels = `method="${method}",route="${record.route}",status="${record.status}"`;
    this.requests.set(labels, (this.requests.get(labels) ?? 0) + 1);
    this.received += record.received;
    this.sent += record.sent;
    this.durations.add(`method="${method}",route="${record.route}"`, record.milliseconds / 1000);
  }

  /** Prometheus text format 0.0.4. */
  text(): string {
    return [...this.pieces()].join('');
  }

  /** The same bit by bit, because there may be megabytes of it: what is handed out last is read last. */
  *pieces(): Generator<string> {
    let piece = '';
    for (const line of this.lines()) {
      piece += `${line}\n`;
      if (piece.length < PIECE) continue;
      yield piece;
      piece = '';
    }
    if (piece !== '') yield piece;
  }

  private *lines(): Generator<string> {
    function* metric(name: string, type: string, help: string, samples: Iterable<string>): Generator<string> {
      yield `# HELP ${name} ${help}`;
      yield `# TYPE ${name} ${type}`;
      yield* samples;
    }
    const requests = `${this.prefix}_requests_total`;
    yield* metric(
      requests,
      'counter',
      'Requests that were answered.',
      [...this.requests].map(([labels, count]) => `${requests}{${labels}} ${count}`),
    );
    const seconds = `${this.prefix}_request_duration_seconds`;
    yield* metric(
      seconds,
      'histogram',
      'Time from the headers of a request to the end of its answer.',
      this.durations.samples(seconds),
    );
    for (const { name, help, durations } of this.histograms) {
      const full = `${this.prefix}_${name}`;
      yield* metric(full, 'histogram', help, durations.samples(full));
    }
    const traffic: readonly Gauge[] = [
      counter('received_bytes_total', 'Bytes of request bodies.', () => this.received),
      counter('sent_bytes_total', 'Bytes of answers.', () => this.sent),
    ];
    for (const { name: own, type, help, read } of [...traffic, ...this.gauges]) {
      const name = own.startsWith('process_') ? own : `${this.prefix}_${own}`;
      yield* metric(name, type, help, written(name, read()));
    }
  }
}

function* written(name: string, value: number | Iterable<Sample>): Generator<string> {
  if (typeof value === 'number') {
    yield `${name} ${value}`;
    return;
  }
  for (const sample of value) {
    let labels = '';
    for (const label in sample.labels)
      labels += `${labels === '' ? '' : ','}${label}="${escaped(sample.labels[label] ?? '')}"`;
    yield `${name}{${labels}} ${sample.value}`;
  }
}

function escaped(text: string): string {
  if (!/[\\"\n]/.test(text)) return text;
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

/** A number that goes up and down. */
export function gauge(name: string, help: string, read: Gauge['read']): Gauge {
  return { name, help, type: 'gauge', read };
}

/** A number that only grows while the process lives. */
export function counter(name: string, help: string, read: Gauge['read']): Gauge {
  return { name, help, type: 'counter', read };
}

function histogram(name: string, labels: string, duration: Duration): string[] {
  return [
    ...BUCKETS.map((bound, i) => `${name}_bucket{${labels},le="${bound}"} ${duration.buckets[i] ?? 0}`),
    `${name}_bucket{${labels},le="+Inf"} ${duration.count}`,
    `${name}_sum{${labels}} ${duration.sum}`,
    `${name}_count{${labels}} ${duration.count}`,
  ];
}
