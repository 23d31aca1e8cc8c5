import { createHash } from 'node:crypto';
import { BullaError } from '../../errors.ts';
import type { Policy } from '../../policy/file/policy.ts';
import { type GateImage, undecided, type Verdict, withoutAsking } from './verdict.ts';

/** An image that is asked about, and as whom its registry is asked. */
export interface Question {
  readonly image: GateImage;
  /** What the answer is kept apart by: empty for the gate's own credentials. */
  readonly credential: string;
}

/** What the engine decides with. */
export interface VerdictPorts<Q extends Question> {
  /** Milliseconds of a clock that never goes back. */
  readonly monotonic: () => number;
  readonly now: () => Date;
  /** Asks the registry. It must end at some time, and never fails. */
  readonly decide: (question: Q, policy: Policy) => Promise<Verdict>;
}

/** How long answers are remembered, and how much goes on at a time; spec/gate.md, "Memory". */
export interface VerdictLimits {
  /** Milliseconds for which a digest stays verified. */
  readonly digestMs: number;
  /** Milliseconds for which a tag stays what it was. */
  readonly tagMs: number;
  readonly refusedMs: number;
  readonly unknownMs: number;
  readonly answers: number;
  /** Verifications at a time that ask one registry, and that wait for one. */
  readonly perRegistry: number;
  readonly waitingPerRegistry: number;
  /** Verifications in all that are under way or wait. */
  readonly open: number;
}

export const GATE_LIMITS: VerdictLimits = {
  digestMs: 600_000,
  tagMs: 30_000,
  refusedMs: 10_000,
  unknownMs: 2_000,
  answers: 10_000,
  perRegistry: 24,
  waitingPerRegistry: 500,
  open: 2_000,
};

interface Known {
  readonly verdict: Verdict;
  /** By the monotonic clock. */
  readonly until: number;
}

/** What belongs to one policy, and goes with it. */
interface Generation {
  readonly policy: Policy;
  readonly known: Map<string, Known>;
  readonly asked: Map<string, Promise<Verdict>>;
}

/** Numbers for the metrics. */
export interface VerdictCounts {
  hits: number;
  misses: number;
  joined: number;
}

/**
 * Answers questions about images: equal ones are asked once and remembered for a while, apart by credential, and
 * forgotten when the policy changes. A registry that stalls takes only its own places.
 */
export class Verdicts<Q extends Question> {
  readonly counts: VerdictCounts = { hits: 0, misses: 0, joined: 0 };
  private readonly ports: VerdictPorts<Q>;
  private readonly limits: VerdictLimits;
  private readonly registries = new Map<string, Queue>();
  private generation: Generation;
  private open = 0;

  constructor(policy: Policy, ports: VerdictPorts<Q>, limits: VerdictLimits = GATE_LIMITS) {
    this.ports = ports;
    this.limits = limits;
    this.generation = { policy, known: new Map(), asked: new Map() };
  }

  get policy(): Policy {
    return this.generation.policy;
  }

  get size(): number {
    return this.generation.known.size;
  }

  /** Verifications that are under way or wait. */
  get underWay(): number {
    return this.open;
  }

  /** Decides by another policy from now on. What is under way by the old one is neither remembered nor answered with. */
  use(policy: Policy): void {
    this.generation = { policy, known: new Map(), asked: new Map() };
  }

  /** Forgets what is remembered: keys or pins have changed. */
  forget(): void {
    this.use(this.policy);
  }

  /** Asks. If the caller stops waiting, the verification goes on and serves the next one. It never fails. */
  async ask(question: Q): Promise<Verdict> {
    for (;;) {
      const { generation } = this;
      const verdict = await this.askBy(generation, question);
      if (generation === this.generation) return verdict;
    }
  }

  private async askBy(generation: Generation, question: Q): Promise<Verdict> {
    const known = withoutAsking(question.image, generation.policy);
    if (known !== undefined) return known;
    const key = keyOf(question);
    const remembered = this.remembered(generation, key);
    if (remembered !== undefined) {
      this.counts.hits++;
      return remembered;
    }
    const asked = generation.asked.get(key);
    if (asked !== undefined) {
      this.counts.joined++;
      return await asked;
    }
    this.counts.misses++;
    const work = this.decide(generation, question, key).finally(() => generation.asked.delete(key));
    generation.asked.set(key, work);
    return await work;
  }

  private remembered({ known }: Generation, key: string): Verdict | undefined {
    const found = known.get(key);
    if (found === undefined) return undefined;
    known.delete(key);
    const { verdict, until } = found;
    if (until <= this.ports.monotonic()) return undefined;
    // The clock on the wall may have been put forward.
    if (verdict.until !== undefined && verdict.until <= this.ports.now().getTime()) return undefined;
    known.set(key, found);
    return verdict;
  }

  private async decide(generation: Generation, question: Q, key: string): Promise<Verdict> {
    const { registry } = question.image.reference;
    const leave = await this.enter(registry);
    if (leave === undefined) return undecided(question.image, generation.policy, tooMany(registry));
    let verdict: Verdict;
    try {
      verdict = await this.ports.decide(question, generation.policy);
    } finally {
      leave();
    }
    this.remember(generation, question, key, verdict);
    return verdict;
  }

  private remember(generation: Generation, question: Q, key: string, verdict: Verdict): void {
    const { digestMs, tagMs, refusedMs, unknownMs, answers } = this.limits;
    const { digest, outcome } = verdict;
    const { image } = question;
    const asked = image.reference.digest;
    const ms =
      outcome === 'unknown'
        ? unknownMs
        : outcome === 'refused'
          ? refusedMs
          : asked === undefined
            ? tagMs
            : digestMs;
    const now = this.ports.monotonic();
    const put = (at: string, until: number): void => {
      generation.known.delete(at);
      generation.known.set(at, { verdict, until });
    };
    put(key, now + ms);
    // The image with its digest written behind it will be asked about next, by the validating webhook.
    if (outcome === 'verified' && asked === undefined && digest !== undefined) {
      const reference = { ...image.reference, digest };
      put(keyOf({ ...question, image: { text: `${image.text}@${digest}`, reference } }), now + digestMs);
    }
    for (const oldest of generation.known.keys()) {
      if (generation.known.size <= answers) break;
      generation.known.delete(oldest);
    }
  }

  /** A place among those that ask this registry. @returns what gives it back; undefined where too many wait */
  private async enter(registry: string): Promise<(() => void) | undefined> {
    const queue = this.registries.get(registry) ?? new Queue(this.limits.perRegistry);
    if (this.open >= this.limits.open || queue.waiting.length >= this.limits.waitingPerRegistry)
      return undefined;
    this.registries.set(registry, queue);
    this.open++;
    await queue.take();
    return () => {
      this.open--;
      if (queue.give()) this.registries.delete(registry);
    };
  }
}

/** Places of one registry. */
class Queue {
  readonly waiting: (() => void)[] = [];
  private free: number;
  private readonly all: number;

  constructor(all: number) {
    this.all = all;
    this.free = all;
  }

  async take(): Promise<void> {
    if (this.free > 0) this.free--;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /** @returns whether nothing is under way any more */
  give(): boolean {
    const next = this.waiting.shift();
    if (next !== undefined) next();
    else this.free++;
    return this.free === this.all;
  }
}

function keyOf({ image: { reference }, credential }: Question): string {
  const { registry, repository, tag = '', digest = '' } = reference;
  // Bounded, whatever the parts are.
  return createHash('sha256')
    .update(JSON.stringify([registry, repository, tag, digest, credential]))
    .digest('base64');
}

function tooMany(registry: string): BullaError {
  return new BullaError('registry-throttled', `too many images of ${registry} are being verified`, {
    hint: 'try again in some seconds',
  });
}
