import { createHash } from 'node:crypto';
import { oneLine } from '../../actions/gate/admit.ts';
import type { JsonObject } from '../../encoding/json.ts';
import { isBullaError, messageOf } from '../../errors.ts';
import type { Denial } from './alerts.ts';

export interface EventPorts {
  readonly create: (path: string, object: JsonObject) => Promise<unknown>;
  readonly monotonic: () => number;
  readonly problem: (message: string) => void;
}

/** The same event again only after so long, in milliseconds: controllers try again and again. */
const AGAIN_MS = 600_000;
const MAX_REMEMBERED = 5_000;
const MAX_UNDER_WAY = 32;
/** After a refusal for lack of rights, events are left out for so long, in milliseconds. */
const PAUSE_MS = 600_000;
const NAMESPACE = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Writes Events of Kubernetes about denials, so that `kubectl get events` shows them where the object should be. */
export class DenialEvents {
  private readonly ports: EventPorts;
  private readonly told = new Map<string, number>();
  private readonly underWay = new Set<Promise<void>>();
  private pausedUntil = 0;

  constructor(ports: EventPorts) {
    this.ports = ports;
  }

  tell(denial: Denial): void {
    const { review, images, at } = denial;
    const denied = images.filter(({ action }) => action === 'denied');
    const [first] = denied;
    const now = this.ports.monotonic();
    if (first === undefined || !NAMESPACE.test(review.namespace)) return;
    if (now < this.pausedUntil || this.underWay.size >= MAX_UNDER_WAY) return;
    const key = createHash('sha256')
      .update(JSON.stringify([review.namespace, review.subject, denied.map(({ image }) => image)]))
      .digest('hex');
    const last = this.told.get(key);
    if (last !== undefined && now - last < AGAIN_MS) return;
    this.told.delete(key);
    this.told.set(key, now);
    const [oldest] = this.told.keys();
    if (this.told.size > MAX_REMEMBERED && oldest !== undefined) this.told.delete(oldest);
    const reasons = denied.map(
      ({ image, verdict }) => `${image}: ${verdict.error?.message ?? ''} [${verdict.error?.code ?? ''}]`,
    );
    const work = this.write(
      review.namespace,
      eventOf(denial, key, oneLine(reasons.join('; '), 1_000), at),
    ).finally(() => this.underWay.delete(work));
    this.underWay.add(work);
  }

  async close(): Promise<void> {
    await Promise.all(this.underWay);
  }

  private async write(namespace: string, event: JsonObject): Promise<void> {
    try {
      await this.ports.create(`/api/v1/namespaces/${namespace}/events`, event);
    } catch (error) {
      if (isBullaError(error, 'conflict')) return;
      if (isBullaError(error, 'forbidden', 'unauthorized'))
        this.pausedUntil = this.ports.monotonic() + PAUSE_MS;
      this.ports.problem(`an event was not written: ${messageOf(error)}`);
    }
  }
}

function eventOf({ review }: Denial, key: string, message: string, at: Date): JsonObject {
  const [kind = '', name = ''] = review.subject.split('/');
  const time = at.toISOString().replace(/\.\d+Z$/, 'Z');
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: {
      name: `bulla-gate-${key.slice(0, 16)}-${at.getTime().toString(16)}`,
      namespace: review.namespace,
    },
    involvedObject: { kind, name: name.replace('*', ''), namespace: review.namespace },
    type: 'Warning',
    reason: 'ImageDenied',
    action: 'Deny',
    message,
    count: 1,
    firstTimestamp: time,
    lastTimestamp: time,
    source: { component: 'bulla-gate' },
    reportingComponent: 'bulla-gate',
    reportingInstance: 'bulla-gate',
  };
}
