import { resolve } from 'node:path';
import {
  type CopiedRepository,
  type CopyRepositoryOptions,
  copyRepository,
} from '../actions/copy/repository.ts';
import { failuresOf, worstOf } from '../actions/copy/repository-outcome.ts';
import type { TagSelection } from '../actions/copy/selection.ts';
import { checkedPlan } from '../actions/sync/plan.ts';
import type { SyncDocument } from '../actions/sync/schema.ts';
import { type SyncReport, type SyncOptions as SyncRunOptions, syncAll } from '../actions/sync/sync.ts';
import { BullaError } from '../errors.ts';
import { canonicalHost } from '../oci/host.ts';
import { parsePlatform } from '../oci/platform.ts';
import { formatReference, formatRepository, parseReference, type Reference } from '../oci/reference.ts';
import { RegistryClient } from '../registry/client.ts';
import { storedCredentials } from '../registry/stored-credentials.ts';
import { accessOf, credentialsOf, Secrets } from '../servers/sync/config.ts';
import { isSchedule } from '../servers/sync/schedule.ts';
import { type Config, call } from './config.ts';
import { syncPlaces } from './sync-places.ts';

/** Which tags {@link copyAll} copies, how, and what it works with. */
export interface CopyAllOptions
  extends Config,
    Pick<TagSelection, 'tags' | 'exclude' | 'semver' | 'newest'>,
    Pick<
      CopyRepositoryOptions,
      'referrers' | 'dryRun' | 'concurrency' | 'fast' | 'prune' | 'backup' | 'onTag' | 'onEvent'
    > {
  /** Of each index, only the image for this platform, such as `linux/arm64`. */
  readonly platform?: string | undefined;
  /** Bring the trust collection along: true if left out, but not with one platform or without referrers. */
  readonly bringCollection?: boolean | undefined;
}

/** A repository that was copied, and what was not. */
export interface CopiedAll extends CopiedRepository {
  /** Empty where all is there. */
  readonly failures: readonly BullaError[];
  /** The failure with the greatest exit status. */
  readonly worst: BullaError | undefined;
}

/**
 * Copies the tags of a repository with their signatures, then its signed names, as `bulla copy --all-tags` does
 * (spec/copy.md, "Whole repositories"). One that fails does not keep the others from being copied: look at `failures`.
 * @param from repository in a registry, a layout (`oci:DIR`) or an archive (`oci-archive:FILE`), without a tag
 * @param to the same
 * @throws BullaError usage; not-found where no tag is selected; content-invalid where the list of tags has no end;
 *   registry-… where the tags cannot be listed; interrupted
 * @example
 * ```ts
 * import { copyAll } from 'bulla';
 *
 * const { tags, failures } = await copyAll('registry.example.com/team/app', 'registry.example.com/mirror/all', {
 *   tags: ['v1*'],
 *   exclude: ['v1-debug*'],
 * });
 * for (const one of tags) console.log(`${one.tag}: ${one.outcome}`);
 * console.log(`${failures.length} failures`);
 * ```
 */
export async function copyAll(
  from: string | Reference,
  to: string | Reference,
  options: CopyAllOptions = {},
): Promise<CopiedAll> {
  const { tags, exclude, semver, newest, platform, bringCollection, dryRun = false, ...rest } = options;
  const [source, target] = [repositoryIn(from), repositoryIn(to)];
  return await call(options, async (one) => {
    const imageName = source.kind === 'registry' ? formatRepository(source) : undefined;
    const { referrers, concurrency, fast, prune, backup, onTag, onEvent } = rest;
    const copied = await copyRepository({
      ...{ referrers, concurrency, fast, prune, backup, onTag, onEvent, dryRun, signal: one.signal },
      source: await one.places.openTarget(await one.places.namedInLayout(source)),
      destination: await one.places.openTarget(target, { write: !dryRun, create: !dryRun, imageName }),
      selection: { tags, exclude, semver, newest },
      platform: platform === undefined ? undefined : parsePlatform(platform),
      collection: bringCollection,
    });
    const failures = failuresOf(copied).map(({ error }) => error);
    return { ...copied, failures, worst: worstOf(failures) };
  });
}

/** How {@link sync} runs, and what it works with. */
export interface SyncOptions
  extends Config,
    Partial<Pick<SyncRunOptions, 'concurrency' | 'dryRun' | 'onRepository' | 'onTag' | 'verify'>> {}

/**
 * Copies the images, repositories and registries of a document once, as `bulla sync --once` does (spec/sync.md). One that
 * fails does not keep the others from being copied: the report says what became of each, and `worst` is the failure
 * with the greatest exit status.
 * @param document what a file of `bulla sync` holds; paths in it are relative to the working directory
 * @throws BullaError config-invalid; interrupted
 * @example
 * ```ts
 * import { sync } from 'bulla';
 *
 * const { repositories, worst } = await sync({
 *   sync: [
 *     { source: 'registry.example.com/team/app', target: 'registry.example.com/mirror/synced', type: 'repository' },
 *   ],
 * });
 * for (const { target, counts } of repositories) console.log(`${target}: ${counts.copied} of ${counts.total} copied`);
 * console.log(worst?.code ?? 'complete');
 * ```
 */
export async function sync(document: SyncDocument, options: SyncOptions = {}): Promise<SyncReport> {
  const plan = checkedPlan(document, isSchedule);
  const { concurrency = 8, dryRun, onRepository, onTag, verify } = options;
  const access = await accessOf(plan, new Secrets('the document', process.env));
  return await call(options, async (one) => {
    const clients = new Map<string, RegistryClient>();
    const client = async (registry: string): Promise<RegistryClient> => {
      const host = canonicalHost(registry) ?? registry;
      if (!access.has(host)) return one.client();
      const known = clients.get(host) ?? (await clientOf(host, access, options));
      clients.set(host, known);
      return known;
    };
    const places = syncPlaces(
      { signal: one.signal, client, path: (path) => resolve(path), untimed: (work) => work() },
      dryRun === true,
    );
    try {
      return await syncAll(plan, places, {
        ...{ concurrency, dryRun, onRepository, onTag, verify, signal: one.signal },
      });
    } finally {
      for (const own of clients.values()) await own.close();
    }
  });
}

async function clientOf(
  host: string,
  access: Awaited<ReturnType<typeof accessOf>>,
  { registry = {}, agent, onWarning }: Config,
): Promise<RegistryClient> {
  const { plainHttp, insecure, caFile } = access.get(host) ?? {};
  const { readFile } = await import('node:fs/promises');
  const ca = caFile === undefined ? undefined : await readFile(caFile, 'utf8');
  return new RegistryClient({
    ...registry,
    warn: onWarning,
    credentials: credentialsOf(access, registry.credentials ?? storedCredentials()),
    plainHttp: plainHttp ?? registry.plainHttp,
    http: {
      userAgent: agent,
      ...registry.http,
      // Not for a server that the registry sends us to.
      tls: (_url, isOwn) => (isOwn ? { ca, insecure } : {}),
    },
  });
}

function repositoryIn(given: string | Reference): Reference {
  const reference = typeof given === 'string' ? parseReference(given) : given;
  if (reference.tag === undefined && reference.digest === undefined) return reference;
  throw new BullaError(
    'usage',
    `${formatReference(reference)} names an image, and copyAll copies repositories`,
    {
      hint: 'leave tag and digest out; the option tags selects tags',
    },
  );
}
