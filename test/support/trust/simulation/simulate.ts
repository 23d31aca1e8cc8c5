import type { FoldConflict } from '../../../../src/trust/change/fold.ts';
import { attack, deleteSiblings } from './attacker.ts';
import { borrow } from './borrower.ts';
import { KEYS } from './keys.ts';
import { Machine } from './machine.ts';
import { type EndedChange, publishAll } from './publisher.ts';
import { type PublishingCode, SHIPPED } from './publishing-code.ts';
import { Reader } from './reader.ts';
import { resignAll, resignOnce } from './resigner.ts';
import { meaningOf } from './role-file.ts';
import type { Scenario } from './scenario.ts';
import type { Statistics } from './statistics.ts';
import { World } from './world.ts';

/** What became of a schedule. */
export interface Verdict {
  readonly statistics: Statistics;
  /** What must never be, and was. */
  readonly violations: readonly string[];
}

const MAX_EVENTS = 200_000;

/** Plays one schedule to its end, and judges it. */
export async function simulate(scenario: Scenario, code: PublishingCode = SHIPPED): Promise<Verdict> {
  const world = await World.create(scenario, code);
  const readers = Array.from(
    { length: scenario.readers },
    (_, index) => new Reader(world, `reader ${index}`),
  );
  const play = playOut(world, readers);
  const isQuiet = await world.scheduler.run(MAX_EVENTS);
  if (!isQuiet) world.record.violate(`it did not end within ${MAX_EVENTS} events`);
  else if (!(await isSettled(play))) world.record.violate('somebody waits for something that never comes');
  world.statistics.events = world.scheduler.events;
  world.statistics.headsWritten = world.record.headsWritten;
  return { statistics: world.statistics, violations: world.record.violations };
}

async function playOut(world: World, readers: readonly Reader[]): Promise<void> {
  const { scenario } = world;
  if (scenario.deletedShare > 0) deleteSiblings(world, scenario.deletedShare);
  const loops = [
    ...readers.map((reader) => reader.loop()),
    ...Array.from({ length: scenario.resigners }, (_, index) => resignAll(world, `resigner ${index}`)),
    attack(world, scenario.attacks),
    borrow(world, scenario.borrowings),
  ];
  const ended = (await Promise.all(scenario.publishers.map((plan) => publishAll(world, plan)))).flat();
  world.finish();
  await Promise.all(loops);
  // What is still under way on the network arrives before anybody looks.
  await world.sleep(Math.max(1, scenario.faults.lateMs * 2));
  await assertHeld(world, ended);
  await assertReadable(world, readers);
}

/** Whoever reads with state can read the head in the end, or once somebody has published again. */
async function assertReadable(world: World, readers: readonly Reader[]): Promise<void> {
  const { record, statistics } = world;
  for (const reader of readers) {
    if (await reader.read()) continue;
    await foldOnceMore(world);
    if (await reader.read()) continue;
    statistics.stuckReaders++;
    if (!world.isRobbed) record.violate(`a reader cannot read the head in the end: ${reader.lastError}`);
  }
}

/** Every finished change is in the head, after at most one more fold. */
async function assertHeld(world: World, ended: readonly EndedChange[]): Promise<void> {
  const { statistics, record, scenario } = world;
  const finished = ended.filter(({ outcome }) => outcome === 'done' || outcome === 'staged');
  const buried = finished.filter((change) => change.outcome === 'done' && !isHeld(world, change));
  if (buried.length > 0) {
    statistics.schedulesFolded++;
    statistics.folded += buried.length;
  }
  const isOpen = (change: EndedChange) => !isHeld(world, change);
  if (!finished.some(isOpen)) return;
  const conflicts = await foldOnceMore(world);
  const reported = new Set((conflicts ?? []).map(({ entry }) => meaningOf('', entry)));
  for (const change of finished.filter(isOpen)) {
    if (reported.has(meaningOf('', change.change))) statistics.conflictsLater++;
    else if (change.outcome === 'done') statistics.lost++;
    else statistics.lostStaged++;
    const isLasting = scenario.attacks > 0 || scenario.deletedShare > 0;
    const mayBeLost = isLasting || scenario.dialect.listingLagMs > 0;
    if (!mayBeLost && !reported.has(meaningOf('', change.change)))
      record.violate(
        `${change.plan.name}: a ${change.outcome} change is in no head, even after one more fold`,
      );
  }
}

/** By somebody who knows nothing; where attackers are, by somebody who has published before. */
async function foldOnceMore(world: World): Promise<readonly FoldConflict[] | undefined> {
  const { attacks, borrowings } = world.scenario;
  const known = attacks + borrowings > 0 ? world.machines.at(-1) : undefined;
  return await resignOnce(world, 'last fold', known ?? new Machine(), Object.values(KEYS));
}

function isHeld({ registry, record }: World, { plan, change, ids }: EndedChange): boolean {
  const head = registry.head === undefined ? undefined : registry.manifests.get(registry.head);
  if (head === undefined) return false;
  const file = record.roleFiles(head).get(plan.role);
  const history = file === undefined ? [] : record.history(file);
  const meaning = meaningOf(plan.role, change);
  return ids.length > 0
    ? ids.every((id) => history.some((entry) => entry.id === id))
    : history.some((entry) => meaningOf(plan.role, entry) === meaning);
}

async function isSettled(play: Promise<void>): Promise<boolean> {
  return await Promise.race([
    play.then(() => true),
    new Promise<boolean>((resolve) => setTimeout(resolve, 50, false)),
  ]);
}
