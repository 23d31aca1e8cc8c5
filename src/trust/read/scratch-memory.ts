import type { StateChange } from '../../tuf/ports.ts';
import type { CollectionId } from '../format/binding.ts';
import { type CollectionMemory, type KnownHead, ProcessMemory, type TrustMemory } from './memory.ts';

/**
 * A memory that knows what another one knows, and keeps what it is told to itself: for verifying what may
 * never become a head, so that it does not bound what is believed later.
 */
export class ScratchMemory implements TrustMemory {
  readonly isLasting: boolean = false;
  private readonly behind: TrustMemory;
  private readonly own = new ProcessMemory();

  constructor(behind: TrustMemory) {
    this.behind = behind;
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
    return new ScratchCollection(await this.behind.open(id));
  }
}

class ScratchCollection implements CollectionMemory {
  private readonly behind: CollectionMemory;
  private readonly own = new Map<string, Uint8Array | undefined>();

  constructor(behind: CollectionMemory) {
    this.behind = behind;
  }

  async load(role: string): Promise<Uint8Array | undefined> {
    return this.own.has(role) ? this.own.get(role) : await this.behind.load(role);
  }

  async replace(changes: readonly StateChange[]): Promise<boolean> {
    for (const { role, bytes } of changes) this.own.set(role, bytes);
    return true;
  }

  async keep(role: string, bytes: Uint8Array): Promise<void> {
    this.own.set(role, bytes);
  }

  /** None: what is verified here is to be looked at as if for the first time. */
  async loadHead(): Promise<KnownHead | undefined> {
    return undefined;
  }

  async keepHead(): Promise<void> {}
}
