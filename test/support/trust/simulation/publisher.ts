import { isBullaError } from '../../../../src/errors.ts';
import { Connection } from './connection.ts';
import { readOptions } from './foundation.ts';
import { KEYS, signerOf } from './keys.ts';
import { durable, Machine } from './machine.ts';
import { meaningOf } from './role-file.ts';
import type { PlannedChange, PublisherPlan } from './scenario.ts';
import type { World } from './world.ts';

/** How a change ended for the person who asked for it. */
export interface EndedChange {
  readonly plan: PublisherPlan;
  readonly change: PlannedChange;
  readonly outcome: 'done' | 'staged' | 'conflict' | 'failed' | 'abandoned';
  /** Of a finished change. */
  readonly ids: readonly string[];
}

/** A publish that takes longer than this, standstills left out, has not ended in time. */
const MAX_PUBLISH_MS = 15 * 60_000;
const MAX_ROUNDS = 60;
const TRANSIENT = ['timeout', 'registry-error', 'registry-unreachable', 'registry-throttled'] as const;

/** Makes the changes of a plan one after the other, as a person who tries again would. */
export async function publishAll(world: World, plan: PublisherPlan): Promise<EndedChange[]> {
  const machine = new Machine();
  world.machines.push(machine);
  const ended: EndedChange[] = [];
  for (const change of plan.changes) {
    world.statistics.changes++;
    await world.sleep(change.afterMs);
    ended.push(await publishOne(world, machine, plan, change));
  }
  return ended;
}

async function publishOne(
  world: World,
  machine: Machine,
  plan: PublisherPlan,
  change: PlannedChange,
): Promise<EndedChange> {
  const { dice, statistics } = world;
  for (let attempts = 1; ; attempts++) {
    const { outcome, ids } = await runOnce(world, machine, plan, change);
    if (outcome === 'died') {
      statistics.deaths++;
      if (dice.happens(0.3) || attempts === 4) {
        statistics.abandoned++;
        return { plan, change, outcome: 'abandoned', ids };
      }
    } else if (outcome !== 'unknown' || attempts === 4) {
      const final = outcome === 'unknown' ? 'failed' : outcome;
      countOutcome(world, final);
      return { plan, change, outcome: final, ids };
    }
    await world.sleep(dice.magnitude(100, 600_000));
  }
}

function countOutcome({ statistics }: World, outcome: 'done' | 'staged' | 'conflict' | 'failed'): void {
  if (outcome === 'conflict') statistics.conflicts++;
  else statistics[outcome]++;
}

interface RunOutcome {
  readonly outcome: 'done' | 'staged' | 'conflict' | 'failed' | 'unknown' | 'died';
  readonly ids: readonly string[];
}

async function runOnce(
  world: World,
  machine: Machine,
  plan: PublisherPlan,
  { set, unset }: PlannedChange,
): Promise<RunOutcome> {
  const { code, registry, scheduler, scenario } = world;
  const { faults, deathRate } = scenario;
  const process = world.start(plan.name, { faults, deathRate, skewMs: plan.skewMs });
  const keys = [KEYS[plan.role], ...(plan.hasOnlineKey ? [KEYS.online] : [])];
  world.record.request(meaningOf(plan.role, { set, unset }));
  world.begin();
  try {
    const publishing = code.publishNames(
      new Connection(registry, process),
      readOptions(machine.memory, process.clock.now()),
      [{ role: plan.role, ...(set !== undefined && { set }), ...(unset !== undefined && { unset }) }],
      {
        clock: process.clock,
        chance: process.chance,
        signers: keys.map((key) => signerOf(key, world.signedTexts)),
        state: durable(machine.state, process),
      },
    );
    const result = await Promise.race([publishing, process.died]);
    if (result === 'died') return { outcome: 'died', ids: [] };
    assertDone(world, plan, result);
    return { outcome: 'done', ids: result.ids };
  } catch (error) {
    process.isAbsent = true;
    return { outcome: judgeError(world, plan, error), ids: [] };
  } finally {
    world.end();
    const took = scheduler.now - process.startedAt - process.stoodStillMs;
    if (took > MAX_PUBLISH_MS)
      world.record.violate(`${plan.name} took ${Math.round(took / 1000)} s for one publish`);
  }
}

function assertDone(
  { record, registry, statistics, scenario }: World,
  plan: PublisherPlan,
  { head, ids, rounds }: Awaited<ReturnType<World['code']['publishNames']>>,
): void {
  statistics.rounds += rounds;
  statistics.maxRounds = Math.max(statistics.maxRounds, rounds);
  if (rounds > MAX_ROUNDS) record.violate(`${plan.name} took ${rounds} rounds`);
  const isAttacked = scenario.attacks > 0;
  const content = registry.everPushed.find(({ descriptor }) => descriptor.digest === head);
  // Who verified a file before does not look at what an attacker has put in its place.
  const isHeld = (id: string) =>
    content !== undefined && (isAttacked ? record.isKnown(id) : record.holds(content, plan.role, id));
  if (ids.length === 0 || !ids.every(isHeld))
    record.violate(`${plan.name} was told that its change is in a head that does not hold it`);
}

function judgeError(world: World, plan: PublisherPlan, error: unknown): RunOutcome['outcome'] {
  if (isBullaError(error, 'conflict')) return 'conflict';
  if (isBullaError(error, 'staged')) return 'staged';
  if (isBullaError(error, ...TRANSIENT)) return 'unknown';
  const { isAttacked } = world;
  const mayFail = isAttacked || world.mayBeRolledBack();
  if (mayFail && isBullaError(error) && error.code.startsWith('trust-')) return 'failed';
  if (isAttacked && isBullaError(error, 'not-found', 'content-invalid')) return 'failed';
  world.record.violate(`${plan.name} ended with ${describe(error)}`);
  return 'failed';
}

export function describe(error: unknown): string {
  if (isBullaError(error)) return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
