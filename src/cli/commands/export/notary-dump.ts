import { join } from 'node:path';
import { Limiter } from '../../../actions/copy/concurrency.ts';
import { type DumpedRepository, dumpRepository } from '../../../actions/export/notary-dump.ts';
import { makeDirectory } from '../../../disk/atomic.ts';
import { withLock } from '../../../disk/lock.ts';
import { BullaError } from '../../../errors.ts';
import { NotaryDumpDirectory } from '../../../notary-client/dump-directory.ts';
import type { NotaryServer } from '../../../notary-client/server.ts';
import { gunOf, openNotaryServer, parseGun, serverFor } from '../../flags/notary-flags.ts';
import { readList } from '../../flags/reference-list.ts';
import type { Context } from '../../shell/context.ts';
import { failureJson } from '../../shell/output.ts';

/** Flags of `bulla export notary-dump`. */
export interface DumpFlags {
  readonly from?: string;
  readonly server?: string;
}

/** Repositories that are worked on at the same time: requests are bounded by --concurrency anyway. */
const REPOSITORIES_AT_ONCE = 8;

/** Saves the trust data of repositories. @throws BullaError the failure of the first that failed, after all were tried */
export async function dumpNotary(
  context: Context,
  directory: string,
  texts: readonly string[],
  { from, server }: DumpFlags,
): Promise<void> {
  const listed = from === undefined ? [] : await readList(context, from);
  const repositories = new Map([...texts, ...listed].map(parseGun).map((one) => [gunOf(one), one]));
  if (repositories.size === 0)
    throw new BullaError('usage', 'no repository was given', {
      hint: 'give repositories as arguments, or one a line with --from FILE (- for stdin)',
    });
  const servers = new Map<string, Promise<NotaryServer>>();
  const { settings, output, io } = context;
  const limiter = new Limiter(REPOSITORIES_AT_ONCE);
  const path = context.path(directory);
  const one = async (gun: string, registry: string): Promise<DumpedRepository> => {
    const url = serverFor(context, registry, server);
    const opened = servers.get(url.href) ?? openNotaryServer(context, url);
    servers.set(url.href, opened);
    const source = (await opened).repository(gun);
    const options = { now: io.now, concurrency: settings.concurrency };
    const dumped = await dumpRepository(source, new NotaryDumpDirectory(path, gun), options);
    output.info(describe(dumped));
    return dumped;
  };
  await makeDirectory(path);
  // Two at once would take each other's half for what a kill has left.
  const dumped = await withLock(
    join(path, '.lock'),
    () => Promise.all([...repositories].map(([gun, { registry }]) => limiter.run(() => one(gun, registry)))),
    { signal: context.signal },
  );
  report(context, directory, path, dumped);
}

function report(
  { output, settings }: Context,
  directory: string,
  path: string,
  dumped: readonly DumpedRepository[],
): void {
  const failures = dumped.flatMap((one) => failureOf(one) ?? []);
  const [first] = failures;
  if (first === undefined) {
    output.result(directory, { directory: path, repositories: dumped.map(dumpJson) });
    return;
  }
  if (!settings.json) for (const failure of failures) output.partFailed(failure);
  const kept = dumped.filter(({ outcome }) => outcome === 'saved' || outcome === 'unchanged').length;
  throw new BullaError(
    first.code,
    `${failures.length} of ${dumped.length} repositories have problems; the trust data of ${kept} is in ${directory}`,
    {
      cause: first,
      hint: 'what was saved stays: run it again to try the others once more',
      details: { directory: path, repositories: dumped.map(dumpJson) },
    },
  );
}

/** Why a repository makes the command fail. */
function failureOf({ gun, server, outcome, problem }: DumpedRepository): BullaError | undefined {
  if (outcome === 'absent' || outcome === 'gone')
    return new BullaError(
      'not-found',
      outcome === 'gone'
        ? `${server} has no trust data of ${gun} any more; what was saved before is kept`
        : `${server} has no trust data of ${gun}`,
      { hint: 'check the server and the name' },
    );
  if (problem === undefined) return undefined;
  return new BullaError(problem.code, `${gun}: ${problem.message}`, {
    cause: problem,
    ...(problem.hint !== undefined && { hint: problem.hint }),
    details: problem.details,
  });
}

function describe({
  gun,
  outcome,
  files,
  bytes,
  names,
  rootVersion,
  expired = [],
  problem,
}: DumpedRepository): string {
  if (outcome === 'failed' || outcome === 'absent') return `${gun}  ${outcome}`;
  const what = [`${files} files`, `${bytes} bytes`];
  if (rootVersion !== undefined) what.push(`root version ${rootVersion}`);
  if (names !== undefined) what.push(`${names} names`);
  if (expired.length > 0) what.push(`expired: ${expired.join(', ')}`);
  if (problem !== undefined) what.push(`does not verify: ${problem.code}`);
  return `${gun}  ${outcome}  ${what.join(', ')}`;
}

function dumpJson(dumped: DumpedRepository): Record<string, unknown> {
  const { problem, rootVersion, rootKeyIds, names, expired, ...rest } = dumped;
  const { ok: _, ...failure } = problem === undefined ? { ok: false } : failureJson(problem);
  return {
    ...rest,
    rootVersion: rootVersion ?? null,
    rootKeyIds: rootKeyIds ?? [],
    names: names ?? null,
    expired: expired ?? [],
    problem: problem === undefined ? null : failure,
  };
}
