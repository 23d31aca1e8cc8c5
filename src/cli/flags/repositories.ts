import type { Command } from 'commander';
import { mapConcurrently } from '../../actions/copy/concurrency.ts';
import { isExpected } from '../../actions/verify/collection.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { fetchIfThere } from '../../oci/if-there.ts';
import { parseReference } from '../../oci/reference.ts';
import { HEAD_TAG } from '../../trust/format/vocabulary.ts';
import type { Context } from '../shell/context.ts';
import { pinFile } from '../shell/trust-stores.ts';
import { openCollection } from './collection-flags.ts';
import type { KeyFlags } from './key-flags.ts';
import { readList } from './reference-list.ts';

/** Flags of commands that work on many repositories at once. */
export interface RepositoriesFlags {
  readonly from?: string;
  readonly all?: true;
}

/** Adds the flags of {@link RepositoriesFlags}. */
export function addRepositoriesOptions(command: Command): Command {
  return command
    .option('--from <file>', 'every repository of this list, one per line; - is standard input')
    .option('--all', 'every repository that is pinned on this machine by its whole name');
}

/** Most repositories of one command. */
const MAX_REPOSITORIES = 10_000;
/** What each of them adds to the time that a command may search. */
const TIME_PER_REPOSITORY_MS = 10_000;

/** Whether a command is to work on many repositories: those of a pattern, of a list, or all that are pinned. */
export function isManyRepositories(text: string | undefined, { from, all }: RepositoriesFlags): boolean {
  return from !== undefined || all === true || text?.endsWith('/*') === true;
}

/**
 * The repositories that a command works on, in order.
 * @param pattern `HOST/*` or `HOST/PREFIX/*`: those that the registry lists; left out with `--from` and `--all`
 * @throws BullaError usage where there are none, or several sources; not-found, unauthorized, forbidden where the registry
 *   does not list its repositories
 */
export async function repositoriesOf(
  context: Context,
  pattern: string | undefined,
  { from, all }: RepositoriesFlags,
  flags: Pick<KeyFlags, 'passphraseFd'> = {},
): Promise<readonly string[]> {
  const sources = [pattern, from, all].filter((source) => source !== undefined);
  if (sources.length > 1)
    throw new BullaError('usage', 'a repository, --from and --all exclude each other', {
      hint: 'give one of them',
    });
  const found =
    from !== undefined
      ? await readList(context, from, flags)
      : pattern !== undefined
        ? await listed(context, pattern)
        : await pinned(context);
  const repositories = [...new Set(found)];
  const where = from ?? pattern ?? 'the pins of this machine';
  if (repositories.length === 0)
    throw new BullaError('not-found', `no repository in ${where}`, { hint: 'name HOST/REPOSITORY' });
  if (repositories.length > MAX_REPOSITORIES)
    throw new BullaError(
      'usage',
      `${where} has ${repositories.length} repositories, and ${MAX_REPOSITORIES} are allowed`,
      { hint: 'split them: --from FILE' },
    );
  context.allow(repositories.length * TIME_PER_REPOSITORY_MS);
  return repositories;
}

/**
 * As {@link repositoriesOf}; of those that a registry lists, only the ones that have a collection, or should have one
 * because it was pinned or seen.
 */
export async function collectionsOf(
  context: Context,
  pattern: string | undefined,
  sources: RepositoriesFlags,
  flags: Pick<KeyFlags, 'passphraseFd'> = {},
): Promise<readonly string[]> {
  const all = await repositoriesOf(context, pattern, sources, flags);
  if (pattern === undefined) return all;
  const { signal, settings } = context;
  const have = await mapConcurrently(all, settings.concurrency, async (text) => {
    const opened = await openCollection(context, parseReference(text), {});
    if (await isExpected(opened)) return true;
    return (await fetchIfThere(opened.target, HEAD_TAG, { signal })) !== undefined;
  });
  const found = all.filter((_, at) => have[at]);
  if (found.length > 0) return found;
  throw new BullaError('not-found', `no repository in ${pattern} has a trust collection`, {
    hint: `create them: bulla init '${pattern}'`,
  });
}

/** Repositories of a registry below a prefix. */
async function listed(context: Context, pattern: string): Promise<readonly string[]> {
  // A host alone is a prefix too, and no reference.
  const [, host = '', prefix = ''] = /^(?:docker:\/\/)?([^/]+)\/(.*)\*$/.exec(pattern) ?? [];
  const example = parseReference(`${host}/${prefix}x`);
  if (example.kind !== 'registry' || example.tag !== undefined || example.digest !== undefined)
    throw new BullaError('usage', `${JSON.stringify(pattern)} is not a pattern of repositories`, {
      hint: 'write HOST/PREFIX/*, or name the repositories in a file: --from FILE',
    });
  const { registry } = example;
  const client = await (await context.connections()).client(registry, undefined);
  const repositories: string[] = [];
  try {
    for await (const repository of client.listRepositories(registry, { signal: context.signal }))
      if (repository.startsWith(prefix) && repositories.length <= MAX_REPOSITORIES)
        repositories.push(`${registry}/${repository}`);
  } catch (cause) {
    if (!isBullaError(cause, 'not-found', 'unauthorized', 'forbidden')) throw cause;
    throw new BullaError(cause.code, `${registry} does not list its repositories: ${cause.message}`, {
      cause,
      hint: 'name them in a file, one per line: --from FILE',
      details: cause.details,
    });
  }
  return repositories.sort();
}

/** Repositories that are pinned one by one. */
async function pinned(context: Context): Promise<readonly string[]> {
  const pins = [...(await (await pinFile(context)).list()).values()];
  return pins.map(({ scope }) => scope).filter((scope) => !scope.endsWith('/*'));
}
