import type { Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import { TrustAfter } from '../candidates/intake.ts';
import type { TrustObject } from '../format/object.ts';
import type { TrustTarget } from '../format/ports.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import { readStagedChanges } from './stage-change.ts';

/**
 * Who may sign after each staged change of roles whose root and targets have all of their signatures, whatever else it
 * waits for: its owner has decided, and nothing signed by the distrusted keys may enter in the meantime
 * (spec/trust-publishing.md, "Structural changes").
 * @param objects stages that change roles, as they were read
 * @throws BullaError what the target throws
 */
export async function trustAfterStaged(
  target: TrustTarget,
  copy: WorkingCopy,
  objects: ReadonlyMap<Tag, TrustObject>,
  now: Date,
  options: CallOptions,
): Promise<readonly TrustAfter[]> {
  if (objects.size === 0) return [];
  const staged = await readStagedChanges(target, copy, objects, now, options);
  return staged.flatMap(({ change }) => {
    const decided = change.roles.filter((role) => role === 'root' || role === 'targets');
    const isDecided = decided.length > 0 && decided.every((role) => change.missing(role).length === 0);
    return isDecided
      ? [
          new TrustAfter(
            copy.files,
            change.roles.map((role) => change.after(role)),
          ),
        ]
      : [];
  });
}
