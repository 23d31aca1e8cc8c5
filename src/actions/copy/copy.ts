import { parseJsonObject } from '../../encoding/json.ts';
import { BullaError, throwIfAborted } from '../../errors.ts';
import { bareDescriptor, type Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { fetchIfThere, resolveIfThere } from '../../oci/if-there.ts';
import { childrenOf, MAX_MANIFEST_BYTES, type ManifestContent, parseCarried } from '../../oci/manifest.ts';
import {
  formatPlatform,
  matchesPlatform,
  type PlatformSelector,
  runnableEntries,
  selectPlatform,
} from '../../oci/platform.ts';
import type { Tag } from '../../oci/reference.ts';
import type { Source, Target } from '../../oci/target.ts';
import { saysWhatIsLeft } from '../../trust/publish/interrupted.ts';
import { Pool } from './concurrency.ts';
import { dryDestination } from './dry-run.ts';
import { type CopyGraph, type CopyNode, discover } from './graph.ts';
import type { CopyEvent, OnCopyEvent } from './progress.ts';
import { type CopyDestination, type SharedTransfers, Transfer } from './transfer.ts';

export interface CopyOptions {
  readonly source: Source;
  /** What to copy: resolved once, at the start. */
  readonly reference: Tag | Digest;
  readonly destination: Target;
  /** Name at the destination, moved last; without it, the image is there by its digest. */
  readonly tag?: Tag | undefined;
  /** What the tag names now, where that was asked a moment ago: null for nothing. */
  readonly before?: Digest | null | undefined;
  /** Tags of the source, where they were listed a moment ago. */
  readonly sourceTags?: ReadonlySet<Tag> | undefined;
  /** Of an index, only the manifest for this platform, which becomes the root. */
  readonly platform?: PlatformSelector | undefined;
  /** Also all that refers to the image: true if left out. */
  readonly referrers?: boolean | undefined;
  /** Look at everything and write nothing; events and result say what would happen. */
  readonly dryRun?: boolean | undefined;
  /** Requests at once, over everything: 8 if left out. */
  readonly concurrency?: number | undefined;
  /** What this copy shares with others to the same destination, in place of `concurrency`. */
  readonly shared?: SharedTransfers | undefined;
  readonly onEvent?: OnCopyEvent | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Runs when all is at the destination, before the tag moves: signing, on a push. Not on a dry run. */
  readonly beforeTag?: ((root: ManifestContent) => Promise<void>) | undefined;
}

/** Numbers of one kind of outcome. */
export interface CopyCount {
  /** Manifests and blobs. */
  readonly content: number;
  readonly bytes: number;
}

export interface CopyResult {
  /** What was copied. */
  readonly root: Descriptor;
  readonly tag?: Tag | undefined;
  /** Whether the tag at the destination named something else before, or nothing. */
  readonly tagMoved: boolean;
  /** Manifests that refer to the image, or to what does; cosign's tags counted. */
  readonly referrers: number;
  readonly pushed: CopyCount;
  readonly mounted: CopyCount;
  /** Was there already, or is a foreign layer. */
  readonly skipped: CopyCount;
  /** What could not be copied, though the image was. */
  readonly warnings: readonly string[];
  /** Those of the warnings that are about what belongs to the image and was left behind. */
  readonly left: readonly string[];
}

export const DEFAULT_CONCURRENCY = 8;

/**
 * Copies an image with all that belongs to it, bytes unchanged: parts before what is made of them, then
 * what refers to them, the tag last. What is there is not sent again, so an interrupted copy goes on
 * where it was (spec/copy.md).
 * @throws BullaError not-found, content-invalid, registry-*, storage-error, interrupted
 */
export async function copy(options: CopyOptions): Promise<CopyResult> {
  throwIfAborted(options.signal);
  const pool = new Pool(options.shared?.limiter ?? options.concurrency ?? DEFAULT_CONCURRENCY);
  const interrupt = (): void => pool.stop(options.signal?.reason);
  options.signal?.addEventListener('abort', interrupt, { once: true });
  try {
    return await new Copying(options, pool).run();
  } catch (error) {
    // What broke because of the interruption is not the reason.
    if (!saysWhatIsLeft(error)) throwIfAborted(options.signal);
    throw error;
  } finally {
    options.signal?.removeEventListener('abort', interrupt);
  }
}

class Copying {
  private readonly options: CopyOptions;
  private readonly pool: Pool;
  private readonly tally: Tally;
  private readonly destination: CopyDestination;

  constructor(options: CopyOptions, pool: Pool) {
    this.options = options;
    this.pool = pool;
    this.tally = new Tally(options.onEvent);
    this.destination = options.dryRun === true ? dryDestination(options.destination) : options.destination;
  }

  async run(): Promise<CopyResult> {
    const { source, tag, platform, reference, referrers = true, shared, sourceTags } = this.options;
    const { pool, tally, destination } = this;
    const { onEvent } = tally;
    const content = await rootOf({ source, reference, platform, onEvent, signal: pool.signal });
    const asked = tag === undefined ? Promise.resolve(undefined) : this.before(tag);
    const found = discover(source, content, { referrers, tags: sourceTags, pool, onEvent });
    await pool.all<unknown>([asked, found]);
    const [before, graph] = [await asked, await found];
    tally.planned(graph);
    const transfer = new Transfer({ source, destination, pool, onEvent, present: before, shared });
    await transfer.referrers(graph.root, await transfer.node(graph.root));
    await pool.all(graph.tagged.map((one) => this.copyTagged(transfer, one.tag, one.node)));
    if (this.options.dryRun !== true) await this.options.beforeTag?.(content);
    const tagMoved = tag !== undefined && before !== content.descriptor.digest;
    if (tagMoved) await transfer.tag(graph.root, tag);
    return { ...tally.result(graph), ...(tag !== undefined && { tag }), tagMoved };
  }

  private async before(tag: Tag): Promise<Digest | undefined> {
    const { before } = this.options;
    return before === undefined ? await this.digestAt(tag) : (before ?? undefined);
  }

  private async digestAt(tag: Tag): Promise<Digest | undefined> {
    const { signal } = this.pool;
    return (await this.pool.run(() => resolveIfThere(this.destination, tag, { signal })))?.digest;
  }

  /** A tag of cosign's moves only where nothing is lost by it: both sides may have added signatures. */
  private async copyTagged(transfer: Transfer, tag: Tag, node: CopyNode): Promise<void> {
    const before = await this.digestAt(tag);
    const { digest } = node.content.descriptor;
    if (before !== undefined && before !== digest && !(await this.covers(node, before))) {
      this.tally.onEvent({
        kind: 'warning',
        message: `${this.destination.name}: ${tag} has content that the source lacks, and was left unchanged`,
        isLeft: true,
      });
      return;
    }
    const wasThere = await transfer.node(node);
    await transfer.referrers(node, wasThere);
    if (before !== digest) await transfer.tag(node, tag);
  }

  private async covers(node: CopyNode, there: Digest): Promise<boolean> {
    const old = parseCarried(
      await this.pool.run(() => this.destination.fetchManifest(there, { signal: this.pool.signal })),
    );
    const layers = (manifest: typeof old): readonly Descriptor[] =>
      manifest.kind === 'manifest' ? manifest.layers : childrenOf(manifest);
    const ours = new Set(layers(parseCarried(node.content)).map(({ digest }) => digest));
    return layers(old).every(({ digest }) => ours.has(digest));
  }
}

type RootOptions = Pick<CopyOptions, 'source' | 'reference' | 'platform' | 'onEvent' | 'signal'>;

/**
 * The manifest that is copied: what the reference names, or of an index the manifest for the platform.
 * @throws BullaError not-found, also where nothing is for the platform; what the source throws
 */
export async function rootOf(options: RootOptions): Promise<ManifestContent> {
  const { source, reference, platform, signal } = options;
  const content = await source.fetchManifest(reference, { signal });
  if (platform === undefined)
    return source.mayLackImages === true ? await wholeOrOnly(content, options) : content;
  const manifest = parseCarried(content);
  if (manifest.kind === 'index') {
    const entry = selectPlatform(platform, manifest.manifests, `${source.name} ${reference}`);
    return await source.fetchManifest(entry.digest, { signal });
  }
  if (manifest.kind === 'manifest') await checkPlatform(options, platform, manifest.config);
  return content;
}

/**
 * An index; or, where only one of its images is there, that image: `docker save` of an image that was pulled for one
 * platform still writes the index of all.
 */
async function wholeOrOnly(
  index: ManifestContent,
  { source, onEvent, signal }: RootOptions,
): Promise<ManifestContent> {
  const manifest = parseCarried(index);
  if (manifest.kind !== 'index') return index;
  const entries = runnableEntries(manifest);
  const images = await Promise.all(entries.map(({ digest }) => fetchIfThere(source, digest, { signal })));
  const [only, ...others] = images.filter((image) => image !== undefined);
  if (only === undefined || others.length > 0 || entries.length === 1) return index;
  const platform = entries.find(({ digest }) => digest === only.descriptor.digest)?.platform;
  const which = platform === undefined ? only.descriptor.digest : formatPlatform(platform);
  onEvent?.({
    kind: 'warning',
    message: `${source.name} has only the image for ${which}, of ${entries.length} that its index lists: that image is copied`,
  });
  return only;
}

async function checkPlatform(
  { source, reference, signal }: RootOptions,
  wanted: PlatformSelector,
  config: Descriptor,
): Promise<void> {
  const bytes = await source.fetchBlob(config, MAX_MANIFEST_BYTES, { signal });
  const { os, architecture, variant } = parseJsonObject(bytes, {
    what: `config ${config.digest}`,
    floats: true,
  });
  const found = {
    os: String(os),
    architecture: String(architecture),
    ...(typeof variant === 'string' && { variant }),
  };
  if (matchesPlatform(wanted, found)) return;
  throw new BullaError(
    'not-found',
    `${source.name} ${reference} is for ${formatPlatform(found)}, not ${formatPlatform(wanted)}`,
    { hint: 'it is one image, not an index: leave --platform out' },
  );
}

/** Adds up what the events say. */
class Tally {
  readonly onEvent: OnCopyEvent;
  private readonly counts = {
    pushed: { content: 0, bytes: 0 },
    mounted: { content: 0, bytes: 0 },
    skipped: { content: 0, bytes: 0 },
  };
  private readonly warnings: string[] = [];
  private readonly left: string[] = [];

  constructor(onEvent: OnCopyEvent | undefined) {
    this.onEvent = (event) => {
      this.add(event);
      onEvent?.(event);
    };
  }

  private add(event: CopyEvent): void {
    if (event.kind === 'warning') this.warnings.push(event.message);
    if (event.kind === 'warning' && event.isLeft === true) this.left.push(event.message);
    if (event.kind !== 'done' && event.kind !== 'skip') return;
    const count = this.counts[event.kind === 'skip' ? 'skipped' : event.outcome];
    count.content++;
    count.bytes += event.descriptor.size;
  }

  planned(graph: CopyGraph): void {
    const content = new Map<Digest, number>();
    for (const { content: own, blobs, foreign } of graph.nodes.values()) {
      for (const { digest, size } of [own.descriptor, ...blobs, ...foreign]) content.set(digest, size);
    }
    const bytes = [...content.values()].reduce((sum, size) => sum + size, 0);
    this.onEvent({ kind: 'planned', content: content.size, bytes });
  }

  result(graph: CopyGraph): Omit<CopyResult, 'tag' | 'tagMoved'> {
    const referrers = [...graph.nodes.values()].filter(({ isReferrer }) => isReferrer);
    return {
      root: bareDescriptor(graph.root.content.descriptor),
      referrers: referrers.length + graph.tagged.length,
      ...this.counts,
      warnings: this.warnings,
      left: this.left,
    };
  }
}
