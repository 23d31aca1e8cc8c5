import { equalBytes } from '../../encoding/bytes.ts';
import { parseTime } from '../../encoding/time.ts';
import type { RepositoryFiles } from '../../tuf/edit/repository.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';
import { TrustAfter } from '../candidates/trust-after.ts';
import { CollectionEdit } from '../change/collection-edit.ts';
import { trustVersions } from '../format/versions.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import type { Work } from './make-head.ts';
import type { Base } from './publish-base.ts';

/** A change of keys, delegations or expiry: made anew on whatever the head is by then. */
export interface StructuralChange {
  (edit: CollectionEdit, copy: WorkingCopy): Promise<void> | void;
  /** Whether what can be folded goes into the same head, because nothing can be signed before it. */
  readonly isRepair?: boolean;
}

/** Who may sign once a change is made on a state. @throws BullaError what `change` throws */
export async function trustAfterChange(
  change: StructuralChange,
  copy: WorkingCopy,
  now: Date,
): Promise<TrustAfter> {
  const edit = new CollectionEdit(copy, { now, policy: { versions: trustVersions(() => 0) } });
  await change(edit, copy);
  const made = edit.prepare().edit.pending();
  return new TrustAfter(
    copy.files,
    made.map(({ file }) => file),
  );
}

/** A structural change as a piece of work. */
export class EditWork implements Work {
  readonly ids: readonly string[] = [];
  readonly roles: ReadonlySet<string> = new Set();
  readonly isStructural: boolean;
  private readonly change: StructuralChange;
  /** What the last edit made, but for snapshot and timestamp. */
  private made: readonly MetadataFile[] | undefined;

  constructor(change: StructuralChange) {
    this.change = change;
    this.isStructural = change.isRepair !== true;
  }

  async isDone({ copy }: Base): Promise<boolean> {
    return this.made?.every((file) => isIn(copy.files, file)) ?? false;
  }

  async apply(edit: CollectionEdit, base: Base): Promise<void> {
    await this.change(edit, base.copy);
  }

  async trustAfter({ copy }: Base, now: Date): Promise<TrustAfter> {
    return await trustAfterChange(this.change, copy, now);
  }

  noteMade(files: RepositoryFiles, { copy }: Base): void {
    const before = copy.files;
    this.made = [
      ...files.roots.slice(before.roots.length),
      ...[...files.roles.values()].filter((file) => before.roles.get(file.role) !== file),
    ];
  }
}

/**
 * Whether a head holds a file that was made for it. Root and targets must say the very same: whatever is
 * signed by them follows from that, however somebody else has spelled the file. Of other roles a later file does as well, if it
 * lasts as long.
 */
function isIn({ roots, roles }: RepositoryFiles, file: MetadataFile): boolean {
  if (file.role === 'root') return roots.some(({ message }) => equalBytes(message, file.message));
  const present = roles.get(file.role);
  // Bins are in hand only where something was changed in them.
  if (present === undefined) return file.role !== 'targets';
  if (equalBytes(present.message, file.message)) return true;
  return file.role !== 'targets' && expiryOf(present) >= expiryOf(file);
}

function expiryOf({ signed }: MetadataFile): number {
  return parseTime(String(signed['expires']))?.getTime() ?? 0;
}
