import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { readFileBounded } from '../../disk/atomic.ts';
import { decodeUtf8 } from '../../encoding/bytes.ts';
import { BullaError, messageOf } from '../../errors.ts';
import type { Events, RegistryEvent } from './events.ts';
import type { ServerExchange } from './exchange.ts';

/** A receiver of notifications. */
export interface NotificationEndpoint {
  readonly url: string;
  /** Sent along, `Authorization` for one. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Time for one delivery, in milliseconds; 5 s if left out. */
  readonly timeoutMs?: number;
}

const MEDIA_TYPE = 'application/vnd.docker.distribution.events.v1+json';
/** Events that wait for an endpoint; when there are more, the oldest go. */
const MAX_WAITING = 1_000;
const MAX_PER_DELIVERY = 50;
const MAX_HEADER_FILE_BYTES = 1024 * 1024;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 60_000;
const DEFAULT_TIMEOUT_MS = 5_000;

/** Posts events to endpoints, in the format of distribution's notifications. */
export class Notifications implements Events {
  private readonly queues: readonly Queue[];
  private readonly instance = randomUUID();
  private readonly address: () => string;
  private readonly scheme: string;

  /**
   * @param address of the server, as it stands in `source.addr`
   * @throws BullaError usage for an endpoint that is not a URL of the web
   */
  constructor(
    endpoints: readonly NotificationEndpoint[],
    scheme: string,
    address: () => string,
    report: (problem: string) => void,
  ) {
    this.queues = endpoints.map((endpoint) => new Queue(checkedEndpoint(endpoint), report));
    this.scheme = scheme;
    this.address = address;
  }

  get waiting(): number {
    return this.queues.reduce((sum, queue) => sum + queue.waiting, 0);
  }

  get dropped(): number {
    return this.queues.reduce((sum, queue) => sum + queue.dropped, 0);
  }

  get failures(): number {
    return this.queues.reduce((sum, queue) => sum + queue.failures, 0);
  }

  emit(event: RegistryEvent, exchange: ServerExchange): void {
    if (this.queues.length === 0) return;
    const envelope = this.envelope(event, exchange);
    for (const queue of this.queues) queue.add(envelope);
  }

  /** Delivers what waits, for at most `graceMs`. */
  async close(graceMs: number): Promise<void> {
    await Promise.all(this.queues.map((queue) => queue.close(graceMs)));
  }

  private envelope(event: RegistryEvent, { request, user }: ServerExchange): unknown {
    const host = request.headers.host ?? this.address();
    const kind =
      event.mediaType?.includes('manifest') || event.mediaType?.includes('index') ? 'manifests' : 'blobs';
    return {
      id: randomUUID(),
      timestamp: new Date().toISOString(),
      action: event.action,
      target: {
        mediaType: event.mediaType,
        size: event.size,
        digest: event.digest,
        length: event.size,
        repository: event.repository,
        url: `${this.scheme}://${host}/v2/${event.repository}/${kind}/${event.digest}`,
        tag: event.tag,
      },
      request: {
        id: randomUUID(),
        addr: `${request.socket.remoteAddress}:${request.socket.remotePort}`,
        host,
        method: request.method,
        useragent: request.headers['user-agent']?.slice(0, 256),
      },
      actor: user === undefined ? {} : { name: user },
      source: { addr: this.address(), instanceID: this.instance },
    };
  }
}

class Queue {
  dropped = 0;
  failures = 0;
  private readonly endpoint: NotificationEndpoint;
  private readonly report: (problem: string) => void;
  private readonly stopping = new AbortController();
  private events: unknown[] = [];
  private worker: Promise<void> | undefined;

  constructor(endpoint: NotificationEndpoint, report: (problem: string) => void) {
    this.endpoint = endpoint;
    this.report = report;
  }

  get waiting(): number {
    return this.events.length;
  }

  add(event: unknown): void {
    this.events.push(event);
    if (this.events.length > MAX_WAITING) {
      this.events.shift();
      this.dropped++;
    }
    this.worker ??= this.deliverAll().finally(() => {
      this.worker = undefined;
    });
  }

  async close(graceMs: number): Promise<void> {
    const timer = setTimeout(() => this.stopping.abort(), graceMs);
    await this.worker;
    clearTimeout(timer);
  }

  private async deliverAll(): Promise<void> {
    let pause = FIRST_PAUSE_MS;
    while (this.events.length > 0 && !this.stopping.signal.aborted) {
      const batch = this.events.slice(0, MAX_PER_DELIVERY);
      const droppedBefore = this.dropped;
      if (await this.deliver(batch)) {
        // Some of the batch may have been dropped from the front meanwhile.
        this.events.splice(0, Math.max(0, batch.length - (this.dropped - droppedBefore)));
        pause = FIRST_PAUSE_MS;
      } else {
        await this.rest(pause * (0.5 + Math.random()));
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      }
    }
  }

  private async deliver(events: readonly unknown[]): Promise<boolean> {
    try {
      const response = await fetch(this.endpoint.url, {
        method: 'POST',
        headers: { ...this.endpoint.headers, 'Content-Type': MEDIA_TYPE },
        body: JSON.stringify({ events }),
        redirect: 'manual',
        signal: AbortSignal.any([
          this.stopping.signal,
          AbortSignal.timeout(this.endpoint.timeoutMs ?? DEFAULT_TIMEOUT_MS),
        ]),
      });
      await response.body?.cancel();
      if (response.status >= 200 && response.status < 400) return true;
      this.failed(`it answered ${response.status}`);
    } catch (error) {
      this.failed(messageOf(error));
    }
    return false;
  }

  private failed(why: string): void {
    this.failures++;
    // The path of a webhook may be its secret.
    this.report(`cannot notify ${new URL(this.endpoint.url).origin}: ${why}`);
  }

  private async rest(ms: number): Promise<void> {
    try {
      await sleep(ms, undefined, { signal: this.stopping.signal });
    } catch {
      // Asked to stop: the loop sees it.
    }
  }
}

function checkedEndpoint(endpoint: NotificationEndpoint): NotificationEndpoint {
  const { url } = endpoint;
  if (URL.canParse(url) && /^https?:/.test(url)) return endpoint;
  throw new BullaError('usage', `${JSON.stringify(url)} is not a URL that can be notified`, {
    hint: 'write http://… or https://…',
  });
}

/**
 * Reads headers for notifications from a file, one `Name: value` a line.
 * @throws BullaError config-invalid, which does not show them; not-found, content-invalid, storage-error
 */
export async function readNotificationHeaders(path: string): Promise<Readonly<Record<string, string>>> {
  const text = decodeUtf8(await readFileBounded(path, MAX_HEADER_FILE_BYTES, { pipes: true }), path);
  const headers: [string, string][] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*)$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) {
      throw new BullaError('config-invalid', `line ${i + 1} of the file of headers is not "Name: value"`, {
        hint: 'write one header a line, such as Authorization: Bearer …',
      });
    }
    headers.push([match[1], match[2]]);
  }
  return Object.fromEntries(headers);
}
