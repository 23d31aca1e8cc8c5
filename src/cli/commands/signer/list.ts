import { dockerKeysIn } from '../../../actions/docker-trust/docker-keys.ts';
import { formatTime } from '../../../encoding/time.ts';
import { overviewOf } from '../../../trust/report/overview.ts';
import { repositoryIn } from '../../flags/change-flags.ts';
import type { CollectionFlags } from '../../flags/collection-flags.ts';
import { demandShown } from '../../flags/shown-collection.ts';
import { keysAtHand } from '../../flags/trust-keys.ts';
import type { Context } from '../../shell/context.ts';

/** `bulla signer ls` */
export async function list(context: Context, repository: string, flags: CollectionFlags): Promise<void> {
  const { copy } = await demandShown(context, repositoryIn(repository), flags);
  const keys = keysAtHand(context, {});
  const roles = overviewOf(copy).roles.filter(({ kind }) => kind === 'names' || kind === 'signer');
  const { place, name, id } = copy.collection;
  const lines: string[] = [];
  const signers: Record<string, unknown>[] = [];
  const { starters } = dockerKeysIn(copy);
  for (const { role, threshold, keys: listed, paths, expires, count } of roles) {
    const described = await Promise.all(
      listed.map(async (key) => ({ keyid: key.keyid, name: (await keys.nameOf(key)) ?? null })),
    );
    signers.push({
      role,
      threshold,
      keys: described,
      paths: paths ?? ['*'],
      expires: formatTime(expires),
      names: count ?? 0,
    });
    lines.push(
      `${role}  ${threshold} of ${listed.length}  ${(paths ?? ['*']).join(' ')}  ${count ?? 0} ${count === 1 ? 'name' : 'names'}  until ${formatTime(expires)}`,
      ...described.map(({ keyid, name: called }) =>
        [
          '',
          keyid,
          called ?? '',
          starters.has(keyid) ? 'signed the first file; its private key was not kept' : '',
        ]
          .filter((part, at) => at === 0 || part !== '')
          .join('  '),
      ),
    );
  }
  context.output.result(lines, { collection: name, place, id, signers });
}
