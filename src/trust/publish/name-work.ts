import type { CollectionEdit } from '../change/collection-edit.ts';
import type { Work } from './make-head.ts';
import type { OwnChanges } from './own-changes.ts';
import type { Base } from './publish-base.ts';
import type { PublishOptions } from './publish-options.ts';

/** Own changes of names as a piece of work. */
export class NameWork implements Work {
  private readonly own: OwnChanges;
  private readonly options: Pick<PublishOptions, 'clock' | 'signers'>;

  constructor(own: OwnChanges, options: Pick<PublishOptions, 'clock' | 'signers'>) {
    this.own = own;
    this.options = options;
  }

  get ids(): readonly string[] {
    return this.own.ids;
  }

  get roles(): ReadonlySet<string> {
    return this.own.roles;
  }

  async isDone({ copy }: Base): Promise<boolean> {
    let isDone = true;
    for (const role of this.own.roles) {
      const log = await copy.log(role);
      this.own.begin(role, log);
      isDone &&= this.own.isIn(role, log);
    }
    return isDone;
  }

  async apply(edit: CollectionEdit, { copy }: Base): Promise<void> {
    const { clock, signers } = this.options;
    for (const role of this.own.roles) {
      const entries = this.own.entriesFor(role, await edit.log(role), clock.now(), copy, signers);
      if (entries.length > 0) await edit.apply(role, entries);
    }
  }
}
