import type { KeysAtHand } from '../../../actions/sign/keys-at-hand.ts';
import { BullaError } from '../../../errors.ts';
import type { CollectionEdit } from '../../../trust/change/collection-edit.ts';
import {
  dropUnknown,
  rekey,
  renewFor,
  repairLog,
  type StructureChange,
} from '../../../trust/change/role-changes.ts';
import type { WorkingCopy } from '../../../trust/read/working-copy.ts';
import { type ChangeFlags, changeCollection } from '../../changing.ts';
import type { Context } from '../../shell/context.ts';
import { countOf, durationOf } from '../signer/change.ts';

export interface RotateFlags extends ChangeFlags {
  readonly key?: readonly string[];
  readonly keep?: true;
  readonly drop?: readonly string[];
  readonly threshold?: string;
  readonly renew?: true;
  readonly expires?: string;
  readonly restart?: true;
  readonly dropUnknown?: true;
  readonly repair?: true;
}

/** `bulla rotate` */
export async function rotate(
  context: Context,
  repository: string,
  role: string | undefined,
  flags: RotateFlags,
): Promise<void> {
  await changeCollection(context, repository, flags, {
    keys: flags.key ?? [],
    isCarried: flags.repair !== true,
    make: async (keys) => await changeOf(role, flags, keys),
  });
}

async function changeOf(
  role: string | undefined,
  flags: RotateFlags,
  keys: KeysAtHand,
): Promise<StructureChange> {
  const { key = [], drop = [], keep = false, dropUnknown: isRepair = false } = flags;
  const renew = flags.renew === true || isRepair;
  const threshold = countOf('--threshold', flags.threshold);
  const lifetime = durationOf('--expires', flags.expires);
  if (role === undefined)
    throw new BullaError('usage', 'the role is missing', {
      hint: 'bulla rotate REPOSITORY ROLE; only with --import-signed there is none to give',
    });
  const isRekeyed = key.length > 0 || drop.length > 0 || threshold !== undefined;
  const isBroken = flags.repair === true;
  if (!isRekeyed && !renew && !isBroken && lifetime === undefined)
    throw new BullaError('usage', `nothing is to change about ${role}`, {
      hint: 'give a new key (--key), or sign the same for another term: --renew',
    });
  const add = await Promise.all(key.map((spec) => keys.publicKey(spec)));
  // A threshold alone is about the keys that are there.
  const wish = { add, drop, keep: keep || key.length === 0, threshold, restart: flags.restart };
  const certificates = role === 'root' ? await keys.certificates() : undefined;
  const change = async (edit: CollectionEdit, copy: WorkingCopy): Promise<void> => {
    if (isRepair) await dropUnknown(role)(edit, copy);
    if (renew || lifetime !== undefined) await renewFor(role, lifetime)(edit, copy);
    if (isRekeyed) await rekey(role, wish)(edit, copy);
    if (isBroken) await repairLog(role)(edit, copy);
    if (certificates !== undefined) edit.setRootCertificates(certificates);
  };
  return Object.assign(change, { isRepair: isRepair && !isRekeyed });
}
