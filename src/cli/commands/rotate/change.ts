import { rotationOf } from '../../../actions/change/rotation.ts';
import type { KeysAtHand } from '../../../actions/sign/keys-at-hand.ts';
import { BullaError } from '../../../errors.ts';
import type { StructureChange } from '../../../trust/change/role-changes.ts';
import type { ChangeFlags } from '../../flags/change-flags.ts';
import { collectionsOf, isManyRepositories, type RepositoriesFlags } from '../../flags/repositories.ts';
import { countOf, lifetimeOf } from '../../flags/values.ts';
import type { Context } from '../../shell/context.ts';
import { type ChangeMaker, runChange, runChanges } from '../change/run.ts';

export interface RotateFlags extends ChangeFlags, RepositoriesFlags {
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

/** `bulla rotate`: REPOSITORY ROLE; with --from and --all only ROLE */
export async function rotate(context: Context, words: readonly string[], flags: RotateFlags): Promise<void> {
  const isListed = flags.from !== undefined || flags.all === true;
  const [repository, role, extra] = isListed ? [undefined, ...words] : words;
  if (extra !== undefined || (repository === undefined && !isListed))
    throw new BullaError('usage', 'a repository and a role were expected', {
      hint: 'bulla rotate REPOSITORY ROLE; with --from FILE and --all there is only the role',
    });
  if (role === undefined && flags.importSigned === undefined) throw roleMissing();
  const maker: ChangeMaker = {
    keys: flags.key ?? [],
    isCarried: flags.repair !== true,
    make: async (keys) => await changeOf(role, flags, keys),
  };
  if (!isManyRepositories(repository, flags)) return await runChange(context, repository ?? '', flags, maker);
  await runChanges(context, () => collectionsOf(context, repository, flags, flags), flags, maker);
}

async function changeOf(
  role: string | undefined,
  flags: RotateFlags,
  keys: KeysAtHand,
): Promise<StructureChange> {
  const threshold = countOf('--threshold', flags.threshold);
  const lifetime = lifetimeOf('--expires', flags.expires);
  if (role === undefined) throw roleMissing();
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

function roleMissing(): BullaError {
  return new BullaError('usage', 'the role is missing', {
    hint: 'bulla rotate REPOSITORY ROLE; it is left out only with --import-signed',
  });
}
