import { isBullaError } from '../../../../src/errors.ts';
import type { FoldConflict } from '../../../../src/trust/change/fold.ts';
import { Connection } from './connection.ts';
import { readOptions } from './foundation.ts';
import { KEYS, type SimulatedKey, signerOf } from './keys.ts';
import { durable, Machine } from './machine.ts';
import { describe } from './publisher.ts';
import type { Temper, World } from './world.ts';

const MAX_PASSES = 60;

/** Holds the online key, and folds, heals and cleans up every few seconds while somebody publishes. */
export async function resignAll(world: World, name: string): Promise<void> {
  const machine = new Machine();
  const { faults } = world.scenario;
  for (let passes = 0; passes < MAX_PASSES && !world.isOver; passes++) {
    await world.untilBusy();
    await resignOnce(world, name, machine, [KEYS.online], { faults });
    await world.sleep(world.dice.magnitude(1_000, 30_000));
  }
}

/** One pass. @returns what it could not fold; undefined where it failed */
export async function resignOnce(
  world: World,
  name: string,
  machine: Machine,
  keys: readonly SimulatedKey[],
  temper: Temper = {},
): Promise<readonly FoldConflict[] | undefined> {
  const process = world.start(name, temper);
  try {
    const { conflicts } = await world.code.resignCollection(
      new Connection(world.registry, process),
      readOptions(machine.memory, process.clock.now()),
      {
        clock: process.clock,
        chance: process.chance,
        signers: keys.map((key) => signerOf(key, world.signedTexts)),
        state: durable(machine.state, process),
      },
    );
    return conflicts;
  } catch (error) {
    process.isAbsent = true;
    const isAttacked = world.isAttacked || world.mayBeRolledBack();
    const isExpected =
      isBullaError(error, 'timeout', 'conflict', 'staged', 'registry-error') ||
      (isAttacked &&
        isBullaError(error) &&
        (error.code.startsWith('trust-') || isBullaError(error, 'not-found', 'content-invalid')));
    if (!isExpected) world.record.violate(`${name} ended with ${describe(error)}`);
    return undefined;
  }
}
