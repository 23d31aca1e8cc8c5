import type { Certificate } from '../../crypto/certificate.ts';
import type { CollectionEdit } from '../../trust/change/collection-edit.ts';
import {
  dropUnknown,
  rekey,
  renewFor,
  repairLog,
  type StructureChange,
} from '../../trust/change/role-changes.ts';
import type { WorkingCopy } from '../../trust/read/working-copy.ts';
import type { TufKey } from '../../tuf/keys.ts';

/** What is to change about one role. */
export interface Rotation {
  /** New keys; none to leave the keys as they are. */
  readonly add: readonly TufKey[];
  /** Ids of keys that leave while the other present ones stay. */
  readonly drop: readonly string[];
  /** Keep the present keys beside the new ones. */
  readonly keep: boolean;
  readonly threshold: number | undefined;
  /** Sign the same for another term. */
  readonly renew: boolean;
  /** For how long its files are signed from now on, in milliseconds. */
  readonly lifetime: number | undefined;
  /** With `online`: begin versions again. */
  readonly restart: boolean;
  /** Take out of its files what bulla does not know, and therefore does not sign. */
  readonly dropUnknown: boolean;
  /** Give it a new log where its log cannot be read. */
  readonly repair: boolean;
  /** For `root`: certificates of its keys, by key id. */
  readonly certificates: ReadonlyMap<string, readonly Certificate[]> | undefined;
}

/** Whether anything about the keys of the role changes. */
function isRekeyed({ add, drop, threshold }: Rotation): boolean {
  return add.length > 0 || drop.length > 0 || threshold !== undefined;
}

/** The change that gives a role new keys, or renews it; undefined where nothing is to change. */
export function rotationOf(role: string, rotation: Rotation): StructureChange | undefined {
  const { add, drop, keep, threshold, renew, lifetime, restart, repair, certificates } = rotation;
  const hasKeys = isRekeyed(rotation);
  const renews = renew || rotation.dropUnknown || lifetime !== undefined;
  if (!hasKeys && !renews && !repair) return undefined;
  // A threshold alone is about the keys that are there.
  const wish = { add, drop, keep: keep || add.length === 0, threshold, restart };
  const change = async (edit: CollectionEdit, copy: WorkingCopy): Promise<void> => {
    if (rotation.dropUnknown) await dropUnknown(role)(edit, copy);
    if (renews) await renewFor(role, lifetime)(edit, copy);
    if (hasKeys) await rekey(role, wish)(edit, copy);
    if (repair) await repairLog(role)(edit, copy);
    if (certificates !== undefined) edit.setRootCertificates(certificates);
  };
  return Object.assign(change, { isRepair: rotation.dropUnknown && !hasKeys });
}
