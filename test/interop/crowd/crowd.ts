import { Random } from '../../support/fuzz/mutate.ts';
import { type StallProxy, startStallProxy } from '../../support/stall-proxy.ts';
import { type RegistryKind, startRegistry } from '../registries.ts';
import { resignMember, signMember, verifyMember } from './commands.ts';
import { Ground } from './ground.ts';
import { type StoredMetadata, storedMetadata } from './storage.ts';
import { type Ended, keepRunning, type Loop, type Member, runAll } from './swarm.ts';

export interface CrowdOptions {
  readonly kind: RegistryKind;
  /** Processes that sign a name each, all at once. */
  readonly size: number;
  readonly seed: number;
  /** How many read meanwhile, each with a memory of its own. */
  readonly readers: number;
  /** Nobody of the crowd has the online key: a re-signer takes up what they stage. */
  readonly isStaged?: boolean;
}

/** What must not be. */
export interface Broken {
  /** Names whose signing was reported as done and that the head lacks even after one more fold. */
  readonly lost: readonly string[];
  /** Names in the head with another digest than was signed. */
  readonly wrong: readonly string[];
  /** Signers that ended otherwise than they may. */
  readonly misfits: readonly Ended[];
  /** Runs of readers that ended with an error. */
  readonly failedReads: readonly Ended[];
  /** Files with one role and version and different bytes. */
  readonly twins: readonly string[];
}

export const NOTHING_BROKEN: Broken = { lost: [], wrong: [], misfits: [], failedReads: [], twins: [] };

/** What a crowd left. */
export interface CrowdReport {
  readonly broken: Broken;
  /** How many processes ended with which status, or were killed. */
  readonly statuses: ReadonlyMap<number | 'killed', number>;
  /** Names whose signing was reported as done and that the head lacked when everybody had ended. */
  readonly buried: readonly string[];
  readonly reads: number;
  readonly stored: StoredMetadata;
  /** PUTs that were held up. */
  readonly stalled: number;
  /** From the first start to the last end. */
  readonly seconds: number;
}

/** Done, in conflict with somebody else's change, staged, killed. */
const ALLOWED: ReadonlySet<number | undefined> = new Set([0, 30, 31, undefined]);
/** About as many requests as signing takes where many do it. */
const LONG_RUN = 60;
/** The name that readers look at, and names for those who come after the crowd. */
const [FIRST, FOLD, LAST] = ['first', 'fold', 'last'] as const;

/**
 * Lets a crowd of processes sign names of one repository at the same time: PUTs of `_trust` and its
 * candidates are held up at random, a third of the processes is killed at random moments, and readers
 * look at a name all the while.
 * @throws Error where a process does not end
 */
export async function runCrowd(options: CrowdOptions): Promise<CrowdReport> {
  const { kind, size, seed } = options;
  const random = new Random(seed);
  const ends: (() => Promise<void> | void)[] = [];
  try {
    const registry = await startRegistry(kind);
    ends.push(() => registry.stop());
    const proxy = await startStallProxy(registry.host, { put: (path) => stallOf(path, random) });
    ends.push(() => proxy.stop());
    const tags = Array.from({ length: size }, (_, at) => `v${at}`);
    const ground = await Ground.make(`${proxy.host}/crowd`, [FIRST, FOLD, LAST, ...tags]);
    ends.push(() => ground.remove());
    const run = new CrowdRun(options, ground, proxy, random);
    ends.push(() => run.stop());
    return await run.run(tags, registry.directory);
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

class CrowdRun {
  private readonly options: CrowdOptions;
  private readonly ground: Ground;
  /** The one that all use, then those of single processes, which lead to it. */
  private readonly proxies: StallProxy[];
  private readonly upstream: string;
  private readonly random: Random;
  /** Milliseconds after which a process is taken for one that never ends. */
  private readonly patience: number;
  /** Whether all use one home, and so one memory and one state, or each its own. */
  private readonly isShared: boolean;

  constructor(options: CrowdOptions, ground: Ground, proxy: StallProxy, random: Random) {
    this.options = options;
    this.ground = ground;
    this.proxies = [proxy];
    this.upstream = proxy.host;
    this.random = random;
    this.patience = 60_000 + options.size * 5_000;
    this.isShared = options.seed % 2 === 0;
  }

  async run(tags: readonly string[], directory: string): Promise<CrowdReport> {
    const { ground } = this;
    await this.sign(FIRST);
    const watchers = Array.from({ length: this.options.readers }, (_, at) => this.watch(at));
    const resigner = this.options.isStaged === true ? this.resign() : undefined;
    const begun = performance.now();
    const members = await Promise.all(tags.map((tag, at) => this.member(tag, at)));
    const ended = await runAll(members, this.patience);
    const resigned = await resigner?.stop();
    const seconds = (performance.now() - begun) / 1000;
    // Those of single processes lead to the first.
    for (const proxy of [...this.proxies].reverse()) await proxy.quiet();
    const done = ended.filter(({ status }) => status === 0).map(({ name }) => name);
    const buried = await this.lacking([FIRST, ...done]);
    if (buried.length > 0) await this.sign(FOLD);
    const lost = await this.lacking([FIRST, ...done]);
    // Whoever comes next folds what the killed ones left, and gets along with it.
    await this.sign(LAST);
    const later = await this.lacking([FIRST, LAST, ...done]);
    const read = await Promise.all(watchers.map((watcher) => watcher.stop()));
    const stored = await storedMetadata(directory);
    const names = await ground.signedNames();
    const broken = {
      lost: [...new Set([...lost, ...later])],
      wrong: [...names].flatMap(([name, digest]) => (ground.digests.get(name) === digest ? [] : [name])),
      misfits: [...ended, ...(resigned?.failures ?? [])].filter(({ status }) => !ALLOWED.has(status)),
      failedReads: read.flatMap(({ failures }) => failures),
      twins: stored.twins,
    };
    const reads = read.reduce((sum, { runs }) => sum + runs, 0);
    const stalled = this.proxies.reduce((sum, proxy) => sum + proxy.stalled, 0);
    return { broken, statuses: countStatuses(ended), buried, reads, stored, stalled, seconds };
  }

  /** Ends what was started for single processes. */
  async stop(): Promise<void> {
    for (const proxy of this.proxies.slice(1)) await proxy.stop();
  }

  /**
   * Every third is killed when it sends a certain request, which is carried out all the same: one that
   * chance has chosen, or the one that moves the head, which then arrives when others are done.
   */
  private async member(tag: string, at: number): Promise<Member> {
    const environment = this.ground.environment(this.isShared);
    const { isStaged = false } = this.options;
    if (at % 3 !== 2) return signMember(this.ground, tag, environment, { isStaged });
    const last = 1 + this.random.below(LONG_RUN);
    const moves = this.random.below(2) === 0;
    const late = 500 + this.random.below(10_000);
    let kill = (): void => {};
    const doom = new Promise<void>((resolve) => {
      kill = resolve;
    });
    const onRequest = (count: number, method: string, path: string): void => {
      if (count === last || (moves && method === 'PUT' && isHead(path))) kill();
    };
    const put = (path: string): number => (isHead(path) ? late : 0);
    const proxy = await startStallProxy(this.upstream, { onRequest, put });
    this.proxies.push(proxy);
    return { ...signMember(this.ground, tag, environment, { host: proxy.host, isStaged }), doom };
  }

  private resign(): Loop {
    const member = resignMember(this.ground, this.ground.environment(false));
    return keepRunning(member, () => 100, this.patience);
  }

  private watch(at: number): Loop {
    const member = verifyMember(this.ground, FIRST, this.ground.environment(false), `reader ${at}`);
    return keepRunning(member, () => 200 + this.random.below(400), this.patience);
  }

  /** Signs a name by itself. @throws Error where that fails */
  private async sign(tag: string): Promise<void> {
    const environment = this.ground.environment(this.isShared);
    const [ended] = await runAll([signMember(this.ground, tag, environment)], this.patience);
    if (ended?.status !== 0) throw new Error(`signing ${tag}: status ${ended?.status}\n${ended?.output}`);
  }

  private async lacking(tags: readonly string[]): Promise<readonly string[]> {
    const names = await this.ground.signedNames();
    return tags.filter((tag) => names.get(tag) !== this.ground.digests.get(tag));
  }
}

/** One line about a run. */
export function describeCrowd({ kind, size, seed, isStaged }: CrowdOptions, report: CrowdReport): string {
  const { statuses, buried, reads, stored, stalled, seconds } = report;
  const ends = [...statuses].map(([status, count]) => `${count}× ${status}`).join(', ');
  const fold = buried.length === 0 ? 'no fold needed' : `${buried.length} came back with a fold`;
  return (
    `${kind}: ${size} processes${isStaged === true ? ' that stage' : ''}, seed ${seed}: ${seconds.toFixed(1)} s; ${ends}; ${stalled} PUTs held up; ` +
    `${fold}; ${stored.files.get('timestamp') ?? 0} heads signed, at most ${stored.crowding} beside each ` +
    `other; ${reads} reads\n`
  );
}

/** One in four of the heads, and one in eight of the candidates, is held for up to six seconds: mostly shortly. */
function stallOf(path: string, random: Random): number {
  const fraction = (): number => random.below(1_000_000) / 1_000_000;
  if (!isHead(path) && !path.includes('/manifests/_trust.')) return 0;
  return fraction() > (isHead(path) ? 0.25 : 0.125) ? 0 : 100 + 6_000 * fraction() ** 3;
}

function isHead(path: string): boolean {
  return path.endsWith('/manifests/_trust');
}

function countStatuses(ended: readonly Ended[]): ReadonlyMap<number | 'killed', number> {
  const counts = new Map<number | 'killed', number>();
  for (const { status = 'killed' } of ended) counts.set(status, (counts.get(status) ?? 0) + 1);
  return counts;
}
