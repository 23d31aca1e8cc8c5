import type { Command } from 'commander';
import { type AlarmPolicy, DEFAULT_ALARMS } from '../../../actions/renew/alarms.ts';
import { failureOf, worstOf } from '../../../actions/renew/failure.ts';
import { type PassReport, type PassResult, resignAll } from '../../../actions/renew/pass.ts';
import { parseShard, type Shard } from '../../../actions/renew/shard.ts';
import { type StepPorts, Steps } from '../../../actions/renew/step.ts';
import { DEFAULT_TIMING } from '../../../actions/renew/timing.ts';
import { BullaError, EXIT_CODES } from '../../../errors.ts';
import type { Pin } from '../../../trust/read/pin.ts';
import type { CollectionFlags } from '../../flags/collection-flags.ts';
import type { TrustKeyFlags } from '../../flags/key-flags.ts';
import { servedHeadOf } from '../../flags/publish-flags.ts';
import type { Context } from '../../shell/context.ts';

export interface ResignFlags extends CollectionFlags, TrustKeyFlags {
  readonly config?: string;
  readonly all?: true;
  readonly shard?: string;
  readonly renew?: true;
  readonly trustServedHead?: string;
}

/** What a pass is made over, and how. */
interface Task {
  readonly places: readonly string[];
  /** Prefixes that could not be looked up. */
  readonly unlisted?: readonly PassResult[];
  readonly ports: StepPorts;
  readonly concurrency: number;
  readonly policy: AlarmPolicy;
  readonly budgetMs: number;
}

/** @returns the exit status: 0 where all are fresh, else that of the worst outcome */
export async function resign(
  context: Context,
  command: Command,
  repositories: readonly string[],
  flags: ResignFlags,
): Promise<number> {
  checkFlags(repositories, flags);
  const task =
    flags.config === undefined
      ? await ownTask(context, repositories, flags)
      : await configuredTask(context, command, repositories, flags, flags.config);
  const ports = flags.renew === true ? alwaysRenewing(task.ports) : task.ports;
  const steps = new Steps(ports, {
    timing: { ...DEFAULT_TIMING, jitter: 0, budgetMs: task.budgetMs },
    listEveryMs: 0,
  });
  const { output } = context;
  const pass = await resignAll(task.places, steps, {
    concurrency: task.concurrency,
    policy: task.policy,
    now: () => context.io.now(),
    signal: context.signal,
    onResult: (result) => {
      for (const line of complaintsOf(result)) output.warn(line);
    },
  });
  const report = withUnlisted(pass, task.unlisted ?? []);
  for (const result of task.unlisted ?? []) for (const line of complaintsOf(result)) output.warn(line);
  output.result(report.results.map(lineOf), jsonOf(report));
  return report.worst === undefined ? 0 : EXIT_CODES[report.worst];
}

function checkFlags(repositories: readonly string[], flags: ResignFlags): void {
  const { config, all, shard, key, trustServedHead } = flags;
  const refuse = (message: string, hint: string): never => {
    throw new BullaError('usage', message, { hint });
  };
  if (all === true && config === undefined)
    refuse('--all takes in what a configuration lists', 'give --config FILE, or name the repositories');
  if (all === true && repositories.length > 0)
    refuse('--all and single repositories exclude each other', 'leave one of them out');
  if (all !== true && repositories.length === 0)
    refuse('no repository is named', 'name HOST/REPOSITORY, or give --config FILE --all');
  if (shard !== undefined && all !== true) refuse('--shard is a part of --all', 'add --config FILE --all');
  if (trustServedHead !== undefined && repositories.length !== 1)
    refuse('--trust-served-head is about one collection', 'name that repository alone');
  const ignored = config === undefined ? undefined : OWN_FLAGS.find((name) => flags[name] !== undefined);
  if (ignored !== undefined)
    refuse('with --config, the file says where collections lie and whom to believe', 'leave those flags out');
  if (config !== undefined && key !== undefined && key.length > 1)
    refuse('with --config one --key can be given', 'list several in the file: keys');
}

/** Flags that are about the collections of the person who runs it. */
const OWN_FLAGS = ['at', 'collection', 'root', 'rootKeyId', 'rootCa', 'tofu', 'maxStaleness'] as const;

/** Collections of this person: by pins and memory of the command line, with the keys that the roots name. */
async function ownTask(context: Context, repositories: readonly string[], flags: ResignFlags): Promise<Task> {
  const { ownPorts } = await import('./own.ts');
  const { placeOf } = await import('../../resigner.ts');
  return {
    places: [...new Set(repositories.map(placeOf))],
    ports: ownPorts(context, flags),
    concurrency: context.settings.concurrency,
    policy: DEFAULT_ALARMS,
    budgetMs: PATIENT_MS,
  };
}

/** Somebody waits for it, so that it may take its time. */
const PATIENT_MS = 10 * 60_000;

async function configuredTask(
  context: Context,
  command: Command,
  repositories: readonly string[],
  flags: ResignFlags,
  path: string,
): Promise<Task> {
  const [{ readResignerConfig }, { coreOf, placeOf, wireResigner }, { STATELESS }] = await Promise.all([
    import('../../../servers/resigner/config.ts'),
    import('../../resigner.ts'),
    import('../../../servers/resigner/serve.ts'),
  ]);
  const { workerPorts } = await import('../../../servers/resigner/worker.ts');
  const { SYSTEM_CHANCE, SYSTEM_CLOCK } = await import('../../../servers/resigner/system.ts');
  const config = await readResignerConfig(context.path(path));
  const { key, ...rest } = flags;
  const wiring = wireResigner(context, command, { ...rest, ...(key?.[0] !== undefined && { key: key[0] }) });
  const signers = await wiring.openSigners(key ?? config.keys);
  const { state, memory } = await wiring.openState(config);
  if (!state.isLasting) context.output.warn(STATELESS);
  const shard = flags.shard === undefined ? undefined : parseShard(flags.shard);
  const found =
    flags.all === true
      ? await allPlaces(config.pins, shard, wiring.list)
      : { places: [...new Set(repositories.map(placeOf))], unlisted: [] };
  return {
    ...found,
    concurrency: config.concurrency,
    policy: config.alarms,
    budgetMs: Math.max(config.timing.budgetMs, DEFAULT_TIMING.budgetMs),
    ports: workerPorts({
      clock: SYSTEM_CLOCK,
      fraction: SYSTEM_CHANCE.fraction,
      means: () => ({ pins: config.pins, signers, state, memory }),
      core: coreOf(config.timing.renewAt, servedHeadOf(flags.trustServedHead)),
      target: wiring.target,
      warn: (place, message) => context.output.warn(`${place}: ${message}`),
    }),
  };
}

async function allPlaces(
  pins: readonly Pin[],
  shard: Shard | undefined,
  list: (registry: string) => AsyncIterable<string>,
): Promise<Required<Pick<Task, 'places' | 'unlisted'>>> {
  const { exactPlaces, placesIn, registriesToList } = await import('../../../servers/resigner/catalogue.ts');
  const places = new Set(exactPlaces(pins, shard));
  const unlisted: PassResult[] = [];
  for (const registry of registriesToList(pins)) {
    try {
      for (const place of await placesIn(registry, pins, shard, list)) places.add(place);
    } catch (error) {
      // Others are served all the same.
      const outcome = { kind: 'failed', failure: failureOf(error) } as const;
      unlisted.push({ place: `${registry}/*`, outcome, alarms: [] });
    }
  }
  return { places: [...places].sort(), unlisted };
}

function withUnlisted({ results, worst }: PassReport, unlisted: readonly PassResult[]): PassReport {
  const codes = unlisted.flatMap(({ outcome }) => (outcome.kind === 'failed' ? [outcome.failure.code] : []));
  return {
    results: [...results, ...unlisted],
    worst: worstOf([...(worst === undefined ? [] : [worst]), ...codes]),
  };
}

function alwaysRenewing(ports: StepPorts): StepPorts {
  return { ...ports, resign: (place, options) => ports.resign(place, { ...options, renew: true }) };
}

function complaintsOf({ place, outcome, alarms }: PassResult): readonly string[] {
  const lines = alarms.map(({ message, hint }) => (hint === undefined ? message : `${message}; ${hint}`));
  if (outcome.kind !== 'failed' || alarms.length > 0) return lines;
  const { message, hint } = outcome.failure;
  return [
    `${message.includes(place) ? message : `${place}: ${message}`}${hint === undefined ? '' : `; ${hint}`}`,
  ];
}

function lineOf({ place, outcome }: PassResult): string {
  if (outcome.kind === 'failed') return `${place}: ${outcome.failure.code}`;
  if (outcome.kind !== 'passed') return `${place}: no collection`;
  const { work, folded, expiries } = outcome.freshness;
  const until = expiries.get('timestamp')?.toISOString().slice(0, 16).replace('T', ' ');
  const what = {
    none: 'fresh',
    renewed: 'signed anew',
    // A change of roles is none of names, which are counted.
    folded: folded > 1 ? `took in ${folded} changes` : 'took in a change',
    healed: 'put its head back',
  };
  return `${place}: ${what[work]}, until ${until} UTC`;
}

function jsonOf({ results, worst }: PassReport): Record<string, unknown> {
  return {
    fresh: worst === undefined,
    ...(worst !== undefined && { worst }),
    collections: results.map(({ place, outcome, alarms }) => ({
      place,
      ...outcomeJson(outcome),
      ...(alarms.length > 0 && {
        alarms: alarms.map(({ kind, code, message, role }) => ({
          kind,
          code,
          message,
          ...(role !== undefined && { role }),
        })),
      }),
    })),
  };
}

function outcomeJson(outcome: PassResult['outcome']): Record<string, unknown> {
  if (outcome.kind === 'failed') {
    const { code, message } = outcome.failure;
    return { outcome: 'failed', code, message };
  }
  if (outcome.kind !== 'passed') return { outcome: 'absent' };
  const { work, head, folded, conflicts, expiries, renewAt } = outcome.freshness;
  return {
    outcome: work === 'none' ? 'fresh' : work,
    head,
    folded,
    conflicts: conflicts.length,
    renewAt: renewAt.toISOString(),
    expires: Object.fromEntries([...expiries].map(([role, date]) => [role, date.toISOString()])),
  };
}
