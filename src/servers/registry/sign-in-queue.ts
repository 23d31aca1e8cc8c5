import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Fault } from './faults.ts';

/** Who wants a password compared. */
export interface Asker {
  /** Address of the client, as {@link clientOf} has it. */
  readonly client: string;
  /** Name of the account; undefined for one that there is not. */
  readonly user: string | undefined;
  /** The connection, represented by any object. */
  readonly connection: object;
  /** Whether these very credentials were right before. */
  readonly wasGood: boolean;
  /** Whether the client has gone. */
  readonly isGone: () => boolean;
}

interface Waiting extends Asker {
  readonly since: number;
  readonly run: () => Promise<boolean>;
  readonly reject: (error: Fault) => void;
}

const MAX_WAITING = 512;
const MAX_WAIT_MS = 30_000;
/** Failures count half after so long. */
const HALF_LIFE_MS = 60_000;
const MAX_COUNTED = 10_000;
/** Waiting for so long makes up for one doubling of failures. */
const PATIENCE_MS = 2_000;
/** Between two comparisons the thread is left to others for this share of what the last one took, and at most so long. */
const REST_SHARE = 0.5;
const MAX_REST_MS = 250;
const UNKNOWN = '';

/**
 * Compares passwords one at a time, because each takes the processor for itself, and lets those go first who have
 * failed least: by address, by account and by connection. Clients that guess wait behind those that do not, also
 * where all come from one address or want one account; accounts that do not exist count as one. Among equals, the
 * first and the last to come alternate: the first, so that no request waits forever, and the last,
 * so that one who comes to a queue of guesses need not wait for all of them. Where too many wait, the one that
 * would come last is sent away.
 */
export class SignInQueue {
  private readonly clients = new Failures();
  private readonly users = new Failures();
  private readonly connections = new WeakMap<object, number>();
  private waiting: Waiting[] = [];
  private isWorking = false;
  private isLastsTurn = false;
  private readonly now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  /**
   * Runs a comparison when its turn comes.
   * @returns what it comes to
   * @throws Fault 429
   */
  compare(asker: Asker, work: () => Promise<boolean>): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const run = async (): Promise<boolean> => {
        try {
          const good = await work();
          resolve(good);
          return good;
        } catch (error) {
          reject(error);
          return false;
        }
      };
      this.waiting.push({ ...asker, since: this.now(), run, reject });
      if (this.waiting.length > MAX_WAITING) this.sendAway(this.worst());
      if (!this.isWorking) void this.work();
    });
  }

  private async work(): Promise<void> {
    this.isWorking = true;
    for (let next = this.next(); next !== undefined; next = this.next()) {
      const started = performance.now();
      if (!(await next.run())) this.failed(next);
      const took = performance.now() - started;
      await sleep(Math.min(took * REST_SHARE, MAX_REST_MS));
    }
    this.isWorking = false;
  }

  private next(): Waiting | undefined {
    for (const one of [...this.waiting]) {
      // The client would not get the answer.
      if (one.isGone() || this.now() - one.since > MAX_WAIT_MS) this.sendAway(one);
    }
    const ranks = this.ranks();
    const least = Math.min(...ranks.values());
    const best = this.waiting.filter((one) => ranks.get(one) === least);
    this.isLastsTurn = !this.isLastsTurn;
    const next = this.isLastsTurn ? best.at(-1) : best[0];
    if (next !== undefined) this.remove(next);
    return next;
  }

  /** The last of those who would come last. */
  private worst(): Waiting {
    const ranks = this.ranks();
    let worst = this.waiting[0] as Waiting;
    for (const one of this.waiting) {
      if ((ranks.get(one) ?? 0) >= (ranks.get(worst) ?? 0)) worst = one;
    }
    return worst;
  }

  /** Lower goes first; among equals, who came first. What waits already counts like what failed. */
  private ranks(): ReadonlyMap<Waiting, number> {
    const now = this.now();
    const clients = new Map<string, number>();
    const users = new Map<string, number>();
    for (const { client, user = UNKNOWN } of this.waiting) {
      clients.set(client, (clients.get(client) ?? 0) + 1);
      users.set(user, (users.get(user) ?? 0) + 1);
    }
    const rank = (one: Waiting): number => {
      if (one.wasGood) return -1_000;
      const { client, user = UNKNOWN, connection } = one;
      const load =
        Math.log2(1 + this.clients.of(client, now) + (clients.get(client) ?? 0)) +
        Math.log2(1 + this.users.of(user, now) + (users.get(user) ?? 0)) +
        Math.log2(1 + (this.connections.get(connection) ?? 0));
      // In steps: what was waited for less tells nothing.
      return Math.round(2 * load) / 2 - Math.floor((now - one.since) / PATIENCE_MS);
    };
    return new Map(this.waiting.map((one) => [one, rank(one)]));
  }

  private failed({ client, user = UNKNOWN, connection }: Waiting): void {
    const now = this.now();
    this.clients.add(client, now);
    this.users.add(user, now);
    this.connections.set(connection, (this.connections.get(connection) ?? 0) + 1);
  }

  private sendAway(one: Waiting): void {
    this.remove(one);
    one.reject(new Fault(429, 'TOOMANYREQUESTS', 'too many are signing in', { 'Retry-After': '5' }));
  }

  private remove(one: Waiting): void {
    this.waiting = this.waiting.filter((other) => other !== one);
  }
}

/** How often something failed lately. */
class Failures {
  private readonly counts = new Map<string, { readonly count: number; readonly at: number }>();

  of(key: string, now: number): number {
    const found = this.counts.get(key);
    return found === undefined ? 0 : found.count * 2 ** ((found.at - now) / HALF_LIFE_MS);
  }

  add(key: string, now: number): void {
    const count = this.of(key, now) + 1;
    this.counts.delete(key);
    this.counts.set(key, { count, at: now });
    for (const [oldest] of this.counts) {
      if (this.counts.size <= MAX_COUNTED) break;
      this.counts.delete(oldest);
    }
  }
}

/** Who an address belongs to, as far as it tells: of IPv6 the network of 64 bits, which one customer has. */
export function clientOf(address: string | undefined): string {
  const text = address?.replace(/^::ffff:(?=[0-9.]+$)/i, '').replace(/%.*$/, '') ?? '';
  if (!isIPv6(text)) return text;
  const [head = '', tail] = text.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array<string>(zeros).fill('0'), ...after];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
