import { rotationOf } from '../../../actions/change/rotation.ts';
import type { KeysAtHand } from '../../../actions/sign/keys-at-hand.ts';
import { BullaError } from '../../../errors.ts';
import type { StructureChange } from '../../../trust/change/role-changes.ts';
import type { ChangeFlags } from '../../flags/change-flags.ts';
import { countOf, lifetimeOf } from '../../flags/values.ts';
import type { Context } from '../../shell/context.ts';
import { runChange } from '../change/run.ts';

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
  await runChange(context, repository, flags, {
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
  const threshold = countOf('--threshold', flags.threshold);
  const lifetime = lifetimeOf('--expires', flags.expires);
  if (role === undefined)
    throw new BullaError('usage', 'the role is missing', {
      hint: 'bulla rotate REPOSITORY ROLE; it is left out only with --import-signed',
    });
  const change = rotationOf(role, {
    add: await Promise.all((flags.key ?? []).map((spec) => keys.publicKey(spec))),
    drop: flags.drop ?? [],
    keep: flags.keep === true,
    renew: flags.renew === true,
    restart: flags.restart === true,
    dropUnknown: flags.dropUnknown === true,
    repair: flags.repair === true,
    certificates: role === 'root' ? await keys.certificates() : undefined,
    threshold,
    lifetime,
  });
  if (change !== undefined) return change;
  throw new BullaError('usage', `nothing is to change about ${role}`, {
    hint: 'give a new key (--key), or sign the same for another term: --renew',
  });
}
