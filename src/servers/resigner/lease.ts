import type { JsonObject } from '../../encoding/json.ts';
import { isBullaError, messageOf } from '../../errors.ts';
import { type KubernetesClient, objectIn } from '../../kubernetes/client.ts';
import type { Clock } from '../../trust/format/ports.ts';

export interface LeaseOptions {
  readonly name: string;
  readonly namespace: string;
  /** Who we are: the name of the pod, with something random. */
  readonly identity: string;
  /** How long a holder may be silent, in milliseconds. */
  readonly durationMs: number;
  readonly clock: Clock;
  /** Milliseconds of a clock that never goes back. */
  readonly monotonic: () => number;
  /** Chance, in [0, 1). */
  readonly fraction: () => number;
  /** Told when leadership begins and ends. */
  readonly onChange: (isLeader: boolean) => void;
  readonly problem: (message: string) => void;
}

/**
 * Leader election through a Lease of coordination.k8s.io/v1, as client-go does it: the holder writes
 * to it every third of its duration; others take it when they have seen it unchanged for a whole duration
 * by their own clocks, whatever times stand in it. It only saves work: two leaders at once do no harm.
 */
export class LeaseElection {
  private readonly client: KubernetesClient;
  private readonly options: LeaseOptions;
  private readonly stopping = new AbortController();
  /** The lease as it was seen last, and when it was seen to have become so. */
  private seen: { readonly version: string; readonly at: number } | undefined;
  private renewedAt: number | undefined;
  private isLeader = false;
  private running: Promise<void> | undefined;

  constructor(client: KubernetesClient, options: LeaseOptions) {
    this.client = client;
    this.options = options;
  }

  start(): void {
    this.running ??= this.run();
  }

  /** Gives the lease back, so that another need not wait for it to run out. */
  async close(): Promise<void> {
    this.stopping.abort();
    await this.running;
    if (!this.isLeader) return;
    this.become(false);
    await this.release().catch((error: unknown) =>
      this.options.problem(`the lease was not given back: ${messageOf(error)}`),
    );
  }

  private async run(): Promise<void> {
    const { clock, durationMs, fraction, monotonic, problem } = this.options;
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const began = monotonic();
      try {
        if (await this.tryOnce(signal)) {
          // From before the request: the others count from when they see it.
          this.renewedAt = began;
          this.become(true);
        } else this.become(false);
      } catch (error) {
        if (signal.aborted) return;
        if (!isBullaError(error, 'conflict')) problem(`the lease cannot be renewed: ${messageOf(error)}`);
        // Steps back well before another replica may take over.
        if (monotonic() - (this.renewedAt ?? Number.NEGATIVE_INFINITY) > (durationMs * 2) / 3)
          this.become(false);
      }
      const pause = this.isLeader ? durationMs / 3 : (durationMs / 3) * (0.8 + fraction() * 0.4);
      await clock.sleep(pause, signal).catch(() => undefined);
    }
  }

  /** @returns whether we hold it now */
  private async tryOnce(signal: AbortSignal): Promise<boolean> {
    const { identity, durationMs, monotonic } = this.options;
    const lease = await this.client.get(this.path(this.options.name), signal);
    if (lease === undefined) {
      await this.client.create(this.path(), this.lease({}, {}), signal);
      return true;
    }
    const spec = objectIn(lease, 'spec');
    const holder = spec['holderIdentity'];
    const isFree = holder === undefined || holder === null || holder === '' || holder === identity;
    const version = String(objectIn(lease, 'metadata')['resourceVersion']);
    if (this.seen?.version !== version) this.seen = { version, at: monotonic() };
    if (!isFree && monotonic() - this.seen.at < durationMs) return false;
    await this.client.replace(
      this.path(this.options.name),
      this.lease(objectIn(lease, 'metadata'), spec),
      signal,
    );
    return true;
  }

  private async release(): Promise<void> {
    const lease = await this.client.get(this.path(this.options.name));
    if (lease === undefined) return;
    const spec = objectIn(lease, 'spec');
    if (spec['holderIdentity'] !== this.options.identity) return;
    const freed = { ...spec, holderIdentity: '', leaseDurationSeconds: 1 };
    await this.client.replace(this.path(this.options.name), { ...lease, spec: freed });
  }

  private lease(metadata: JsonObject, before: JsonObject): JsonObject {
    const { name, namespace, identity, durationMs, clock } = this.options;
    const now = clock.now().toISOString().replace('Z', '000Z');
    const isSame = before['holderIdentity'] === identity;
    const transitions = Number(before['leaseTransitions'] ?? 0);
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { ...metadata, name, namespace },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(durationMs / 1000),
        acquireTime: isSame ? (before['acquireTime'] ?? now) : now,
        renewTime: now,
        leaseTransitions: isSame ? transitions : transitions + 1,
      },
    };
  }

  private path(name?: string): string {
    const base = `/apis/coordination.k8s.io/v1/namespaces/${this.options.namespace}/leases`;
    return name === undefined ? base : `${base}/${name}`;
  }

  private become(isLeader: boolean): void {
    if (this.isLeader === isLeader) return;
    this.isLeader = isLeader;
    this.options.onChange(isLeader);
  }
}
