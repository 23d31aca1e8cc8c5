import { type Digest, digestOf } from '../../../../src/oci/digest.ts';
import { type Collection, readCollection } from '../../../../src/trust/read/collection.ts';
import { ProcessMemory } from '../../../../src/trust/read/memory.ts';
import { WorkingCopy } from '../../../../src/trust/read/working-copy.ts';
import { Connection } from './connection.ts';
import { readOptions } from './foundation.ts';
import { describe } from './publisher.ts';
import type { World } from './world.ts';

const MAX_READS = 40;
const MAX_PAUSE_MS = 20 * 60_000;
const ROLES = ['names', 'ci'] as const;

/** Somebody who keeps what was verified, and reads over and over. */
export class Reader {
  private readonly world: World;
  private readonly name: string;
  lastError = '';
  private readonly memory = new ProcessMemory();
  /** By role and name, the contents that this reader has seen revoked, and by which change. */
  private readonly revoked = new Map<string, Map<string, string>>();

  constructor(world: World, name: string) {
    this.world = world;
    this.name = name;
  }

  async loop(): Promise<void> {
    const { world } = this;
    let pause = 10_000;
    let before: Digest | undefined;
    for (let reads = 0; reads < MAX_READS && !world.isOver; reads++) {
      // Reading what was read before shows little, and takes as long.
      const isNew = world.registry.head !== before;
      if (isNew || world.dice.happens(0.2)) await this.read();
      pause = isNew ? 10_000 : Math.min(pause * 2, MAX_PAUSE_MS);
      before = world.registry.head;
      await world.sleep(world.dice.magnitude(200, pause));
      await world.untilBusy();
    }
  }

  /** @returns whether it could read. */
  async read(): Promise<boolean> {
    const { world } = this;
    const { statistics } = world;
    const process = world.start(this.name);
    const connection = new Connection(world.registry, process);
    statistics.reads++;
    try {
      const options = readOptions(this.memory, process.clock.now(), () => statistics.racing++);
      const collection = await readCollection(connection, options);
      if (collection === undefined) throw new Error('there was no collection any more');
      await this.look(collection);
      return true;
    } catch (error) {
      statistics.readErrors++;
      this.lastError = describe(error);
      if (!world.mayBeRolledBack() && !world.isAttacked)
        world.record.violate(`${this.name} got an error: ${describe(error)}`);
      return false;
    }
  }

  private async look(collection: Collection): Promise<void> {
    const copy = await WorkingCopy.open(collection);
    for (const role of ROLES) {
      const file = copy.files.roles.get(role);
      if (file === undefined) continue;
      const digest = digestOf(file.bytes);
      this.world.record.accepted(this.name, role, digest);
      this.noteRevokes(role, digest);
    }
  }

  /** Counts names that are back although this reader saw them revoked: only a head that buried the revoke has them. */
  private noteRevokes(role: string, digest: Digest): void {
    const { record, statistics } = this.world;
    const history = record.history(digest);
    const ids = new Set(history.map(({ id }) => id));
    for (const [name, sha256] of record.file(digest)?.targets ?? []) {
      const by = this.revoked.get(`${role} ${name}`)?.get(sha256);
      if (by !== undefined && !ids.has(by)) statistics.revokesBuried++;
    }
    const present = new Map<string, string>();
    for (const { id, set, unset } of history) {
      for (const [name, sha256] of set ?? []) present.set(name, sha256);
      for (const name of unset ?? []) {
        const sha256 = present.get(name);
        if (sha256 === undefined) continue;
        const key = `${role} ${name}`;
        this.revoked.set(key, (this.revoked.get(key) ?? new Map()).set(sha256, id));
        present.delete(name);
      }
    }
  }
}
