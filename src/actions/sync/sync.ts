import { BullaError, isBullaError, throwIfAborted } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import {
  formatReference,
  formatRepository,
  isRepositoryName,
  type Reference,
  type Tag,
} from '../../oci/reference.ts';
import type { CallOptions, Target } from '../../oci/target.ts';
import type { CopiedCollection } from '../copy/collection.ts';
import { Limiter, mapConcurrently } from '../copy/concurrency.ts';
import { copyImage } from '../copy/image.ts';
import { type CopiedRepository, copyRepository, type RepositoryTag } from '../copy/repository.ts';
import { countsOf, failuresOf, type RepositoryCounts, worstOf } from '../copy/repository-outcome.ts';
import { SharedTransfers } from '../copy/transfer.ts';
import type { SyncEntry, SyncPlan } from './plan.ts';

/** What a run opens, and ends when it is over. */
export interface SyncPlaces {
  open(reference: Reference, side: 'from' | 'to'): Promise<Target>;
  listRepositories(registry: string): AsyncIterable<string>;
}

/** Runs `work` with places of its own. */
export type WithPlaces = <T>(work: (places: SyncPlaces) => Promise<T>) => Promise<T>;

export interface SyncOptions extends CallOptions {
  /** Requests at once, over everything. */
  readonly concurrency: number;
  readonly dryRun?: boolean | undefined;
  /** Called as soon as a repository is done with. */
  readonly onRepository?: ((repository: SyncedRepository) => void) | undefined;
  readonly onTag?: ((tag: RepositoryTag, target: Reference) => void) | undefined;
  /**
   * Verifies an image, for entries that copy only what is verified.
   * @param image with the digest that will be copied, and with its tag where it has one
   * @throws BullaError why it is not copied
   */
  readonly verify?: ((image: Reference, source: Target) => Promise<void>) | undefined;
}

/** Something that failed, and what it is about. */
export interface SyncFailure {
  readonly reference: string;
  readonly error: BullaError;
}

/** A repository, or an image, after one run. */
export interface SyncedRepository {
  /** The entry of the file: `source => target`. */
  readonly entry: string;
  readonly source: string;
  readonly target: string;
  readonly counts: RepositoryCounts;
  readonly collection: CopiedCollection | undefined;
  readonly failures: readonly SyncFailure[];
  readonly warnings: readonly string[];
}

export interface SyncReport {
  /** In the order of the file; those of a registry in that of its catalogue. */
  readonly repositories: readonly SyncedRepository[];
  /** Undefined where all is there. */
  readonly worst: BullaError | undefined;
}

/** Repositories of one entry at the same time. */
const REPOSITORIES_AT_ONCE = 2;
/** Repositories of one registry that are copied. */
const MAX_REPOSITORIES = 100_000;
const NOTHING: RepositoryCounts = { total: 0, copied: 0, present: 0, failed: 0, removed: 0, bytes: 0 };

/**
 * Runs every entry of a plan once, a few at the same time (spec/sync.md). One that fails does not keep the others
 * from being copied: the report says what became of each.
 * @throws BullaError interrupted
 */
export async function syncAll(plan: SyncPlan, places: WithPlaces, options: SyncOptions): Promise<SyncReport> {
  const shared = new SyncShared(options.concurrency);
  const runs = await mapConcurrently(plan.entries, plan.parallel, (entry) =>
    syncEntry(entry, places, options, shared),
  );
  const repositories = runs.flat();
  const errors = repositories.flatMap(({ failures }) => failures.map(({ error }) => error));
  return { repositories, worst: worstOf(errors) };
}

/** What runs of several entries share: places for requests, and where blobs are in each registry. */
export class SyncShared {
  private readonly limiter: Limiter;
  private readonly places = new Map<string, Map<Digest, string>>();

  constructor(concurrency: number) {
    this.limiter = new Limiter(concurrency);
  }

  transfers({ mount }: Target): SharedTransfers {
    const registry = mount?.registry ?? '';
    const places = this.places.get(registry) ?? new Map<Digest, string>();
    this.places.set(registry, places);
    return new SharedTransfers(this.limiter, places);
  }
}

/**
 * Runs one entry: an image, a repository, or the repositories of a registry.
 * @throws BullaError interrupted
 */
export async function syncEntry(
  entry: SyncEntry,
  places: WithPlaces,
  options: SyncOptions,
  shared: SyncShared = new SyncShared(options.concurrency),
): Promise<readonly SyncedRepository[]> {
  const { onRepository, signal } = options;
  throwIfAborted(signal);
  try {
    const pairs = await places((opened) => pairsOf(entry, opened));
    return await mapConcurrently(pairs, REPOSITORIES_AT_ONCE, async ([from, to]) => {
      throwIfAborted(signal);
      const done = await attempt(entry, formatReference(from), formatReference(to), signal, () =>
        places((opened) => syncOne(entry, from, to, opened, options, shared)),
      );
      onRepository?.(done);
      return done;
    });
  } catch (error) {
    const [source = '', target = ''] = entry.title.split(' => ');
    const failed = await attempt(entry, source, target, signal, () => Promise.reject(error));
    onRepository?.(failed);
    return [failed];
  }
}

/** What `work` gives, or a report of why it failed. @throws BullaError interrupted; what is a defect */
async function attempt(
  entry: SyncEntry,
  source: string,
  target: string,
  signal: AbortSignal | undefined,
  work: () => Promise<Omit<SyncedRepository, 'entry' | 'source' | 'target'>>,
): Promise<SyncedRepository> {
  const named = { entry: entry.title, source, target };
  try {
    return { ...named, ...(await work()) };
  } catch (error) {
    throwIfAborted(signal);
    if (!isBullaError(error)) throw error;
    const failures = [{ reference: source, error }];
    return { ...named, counts: NOTHING, collection: undefined, failures, warnings: [] };
  }
}

type Pair = readonly [from: Reference, to: Reference];

/** What an entry means by now. @throws BullaError what listing the repositories throws; not-found where there are none */
async function pairsOf(
  { source, target, repositories, title }: SyncEntry,
  places: SyncPlaces,
): Promise<readonly Pair[]> {
  if (source.kind === 'reference' && target.kind === 'reference')
    return [[source.reference, target.reference]];
  if (source.kind === 'reference' || target.kind === 'reference')
    throw new BullaError('internal', `${title} has a registry on one side only`, {
      hint: 'please report this',
    });
  const below = source.prefix === '' ? '' : `${source.prefix}/`;
  const names: string[] = [];
  for await (const name of places.listRepositories(source.registry)) {
    if (!name.startsWith(below)) continue;
    if (names.length >= MAX_REPOSITORIES)
      throw new BullaError(
        'content-invalid',
        `${source.registry} lists more than ${MAX_REPOSITORIES} repositories`,
        {
          hint: 'name the repositories, or the beginning of their names: HOST/PREFIX',
        },
      );
    names.push(name);
  }
  const selected = repositories.select(names);
  if (selected.length === 0)
    throw new BullaError(
      'not-found',
      `no repository of ${title} is selected (of ${names.length} in the catalogue)`,
      {
        hint: 'correct source and repos in the file; a registry may list only what the account may read',
      },
    );
  const prefix = target.prefix === '' ? '' : `${target.prefix}/`;
  return selected.map((name): Pair => {
    const repository = prefix + name.slice(below.length);
    if (!isRepositoryName(repository))
      throw new BullaError('content-invalid', `${repository} is not the name of a repository`, {
        hint: 'shorten the name of the target',
      });
    return [
      { kind: 'registry', registry: source.registry, repository: name },
      { kind: 'registry', registry: target.registry, repository },
    ];
  });
}

type Synced = Omit<SyncedRepository, 'entry' | 'source' | 'target'>;

async function syncOne(
  entry: SyncEntry,
  from: Reference,
  to: Reference,
  places: SyncPlaces,
  options: SyncOptions,
  shared: SyncShared,
): Promise<Synced> {
  const { platform, referrers, fast, prune, backup, selection, type } = entry;
  const { dryRun, signal, concurrency, onTag } = options;
  if (formatRepository(from) === formatRepository(to) && from.tag === to.tag)
    throw new BullaError('usage', `${formatReference(from)} is source and target`, {
      hint: 'correct the file',
    });
  const [source, destination] = [await places.open(from, 'from'), await places.open(to, 'to')];
  const check = checkOf(entry, from, source, options);
  const transfers = shared.transfers(destination);
  const common = { platform, referrers, dryRun, signal, concurrency, shared: transfers };
  if (from.digest !== undefined) {
    await check?.(from.tag, from.digest);
    const copied = await copyImage({
      ...common,
      from: { reference: from, source, version: from.digest },
      to,
      openTarget: async () => destination,
    });
    return syncedImage(
      copied.pushed.bytes,
      copied.pushed.content + copied.mounted.content > 0 || copied.tagMoved,
      {
        collection: copied.collection,
        warnings: copied.warnings,
        failures: copied.left.map((message) => ({
          reference: formatReference(to),
          error: new BullaError('content-invalid', message, {
            hint: 'remove what cannot be copied from the source',
          }),
        })),
      },
    );
  }
  const { tag } = to;
  try {
    const copied = await copyRepository({
      ...common,
      source,
      destination,
      fast,
      backup,
      check,
      selection: from.tag === undefined ? selection : { tags: [from.tag] },
      ...(tag !== undefined && { rename: () => tag }),
      ...(prune && { prune: () => true }),
      onTag: (one) => onTag?.(one, to),
    });
    return syncedRepository(copied, to);
  } catch (error) {
    // A registry has repositories without tags, and those without any that is wanted.
    if (type !== 'registry' || !isBullaError(error, 'not-found') || error.details['reason'] !== 'no-tags')
      throw error;
    return { counts: NOTHING, collection: undefined, failures: [], warnings: [] };
  }
}

/** What is asked before anything of an image is copied. @throws BullaError usage where nothing can answer */
function checkOf(
  { isVerified, title }: SyncEntry,
  { tag: _, digest: __, ...repository }: Reference,
  source: Target,
  { verify }: SyncOptions,
): ((tag: Tag | undefined, digest: Digest) => Promise<void>) | undefined {
  if (!isVerified) return undefined;
  if (verify === undefined)
    throw new BullaError('usage', `${title} is to be verified, and the option verify is missing`, {
      hint: 'pass verify: (image) => …, which throws where the image must not be copied',
    });
  return (tag, digest) => verify({ ...repository, tag, digest } as Reference, source);
}

function syncedImage(
  bytes: number,
  isNew: boolean,
  rest: Pick<Synced, 'collection' | 'failures' | 'warnings'>,
): Synced {
  const counts = { ...NOTHING, total: 1, bytes, [isNew ? 'copied' : 'present']: 1 };
  return { ...rest, counts };
}

function syncedRepository(copied: CopiedRepository, to: Reference): Synced {
  return {
    counts: countsOf(copied),
    collection: copied.collection,
    warnings: copied.warnings,
    failures: failuresOf(copied).map(({ tag, error }) => ({
      reference: tag === undefined ? formatRepository(to) : `${formatRepository(to)}:${tag}`,
      error,
    })),
  };
}
