import type { StateChange } from '../../tuf/ports.ts';
import type { CollectionId } from '../format/binding.ts';
import { type CollectionMemory, type KnownHead, ProcessMemory, type TrustMemory } from './memory.ts';

/**
 * A memory that reads what another one holds and keeps every change to itself. It is for verifying files that may
 * never become a head: they must not bound what is accepted later. It returns no known head, so that nothing is
 * answered without verifying it again.
 */
export class ScratchMemory implements TrustMemory {
  readonly isLasting: boolean = false;
  private readonly behind: TrustMemory;
  private readonly roles: ReadonlySet<string> | undefined;
  private readonly own = new ProcessMemory();

  /** @param roles whose files are read from `behind`; all roles if left out */
  constructor(behind: TrustMemory, roles?: ReadonlySet<string>) {
    this.behind = behind;
    this.roles = roles;
  }

  async seen(place: string): Promise<CollectionId | undefined> {
    return (await this.own.seen(place)) ?? (await this.behind.seen(place));
  }

  note(place: string, id: CollectionId): Promise<void> {
    return this.own.note(place, id);
  }

  forget(place: string): Promise<void> {
    return this.own.forget(place);
  }

  async open(id: CollectionId): Promise<CollectionMemory> {
    return new ScratchCollection(await this.behind.open(id), this.roles);
  }
}

class ScratchCollection implements CollectionMemory {
  private readonly behind: CollectionMemory;
  private readonly roles: ReadonlySet<string> | undefined;
  private readonly own = new Map<string, Uint8Array | undefined>();

  constructor(behind: CollectionMemory, roles: ReadonlySet<string> | undefined) {
    this.behind = behind;
    this.roles = roles;
  }

  async load(role: string): Promise<Uint8Array | undefined> {
    if (this.own.has(role) || this.roles?.has(role) === false) return this.own.get(role);
    return await this.behind.load(role);
  }

  async replace(changes: readonly StateChange[]): Promise<boolean> {
    for (const { role, bytes } of changes) this.own.set(role, bytes);
    return true;
  }

  async keep(role: string, bytes: Uint8Array): Promise<void> {
    this.own.set(role, bytes);
  }

  async loadHead(): Promise<KnownHead | undefined> {
    return undefined;
  }

  async keepHead(): Promise<void> {}
}
