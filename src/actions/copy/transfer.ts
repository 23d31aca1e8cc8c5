import { BullaError, isBullaError, throwIfAborted } from '../../errors.ts';
import { observedStream, streamOf } from '../../oci/content.ts';
import { type Descriptor, inlineContent } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { resolveIfThere } from '../../oci/if-there.ts';
import { isArtifactType } from '../../oci/media-types.ts';
import type { Tag } from '../../oci/reference.ts';
import type { Source, Target } from '../../oci/target.ts';
import { Limiter, type Pool } from './concurrency.ts';
import type { CopyNode } from './graph.ts';
import type { OnCopyEvent } from './progress.ts';

/** What of a target a copy writes through; a dry run gives one that only looks. */
export type CopyDestination = Pick<
  Target,
  | 'name'
  | 'mount'
  | 'mayLackParts'
  | 'resolve'
  | 'fetchManifest'
  | 'listReferrers'
  | 'pushBlob'
  | 'pushManifest'
>;

/** Blobs that are remembered as brought; the oldest are looked for again. */
const MAX_BROUGHT = 50_000;
/** Referrers of one repository that are pushed at the same time. */
const WATCHED_AT_ONCE = 32;

/** What copies to one destination share: how much goes on at once, and that each blob is brought once. */
export class SharedTransfers {
  readonly limiter: Limiter;
  /** Whether blobs were at the destination so far. */
  readonly found = { absent: 0, present: 0 };
  /** A list that was changed is watched for a while: that takes time, and hardly any requests. */
  readonly watching: Limiter;
  private readonly blobs = new Map<Digest, Promise<void>>();
  private readonly places: Map<Digest, string>;

  /** @param places repositories of the destination's registry that have a blob: shared by copies to that registry */
  constructor(limiter: Limiter, places: Map<Digest, string> = new Map()) {
    this.limiter = limiter;
    this.watching = new Limiter(WATCHED_AT_ONCE);
    this.places = places;
  }

  /** A repository of the registry from which a blob can be mounted. */
  placeOf(digest: Digest): readonly string[] {
    const place = this.places.get(digest);
    return place === undefined ? [] : [place];
  }

  /** A blob is in a repository now. */
  notePlace(digest: Digest, repository: string | undefined): void {
    if (repository === undefined || this.places.has(digest)) return;
    this.places.set(digest, repository);
    trim(this.places);
  }

  /**
   * Brings a blob, unless another copy brings it or has brought it. Where that one fails, its reason need not be
   * ours: it is tried again.
   * @returns whether it was brought by this call
   * @throws what `bring` throws
   */
  async once(digest: Digest, bring: () => Promise<void>): Promise<boolean> {
    for (;;) {
      const other = this.blobs.get(digest);
      if (other === undefined) break;
      const isThere = await other.then(
        () => true,
        () => false,
      );
      if (isThere) return false;
    }
    const work = bring();
    this.blobs.set(digest, work);
    trim(this.blobs);
    try {
      await work;
      return true;
    } catch (error) {
      this.blobs.delete(digest);
      throw error;
    }
  }
}

function trim(remembered: Map<Digest, unknown>): void {
  for (const oldest of remembered.keys()) {
    if (remembered.size <= MAX_BROUGHT) return;
    remembered.delete(oldest);
  }
}

export interface TransferOptions {
  readonly source: Source;
  readonly destination: CopyDestination;
  readonly pool: Pool;
  readonly onEvent: OnCopyEvent;
  /** A manifest that is known to be at the destination. */
  readonly present?: Digest | undefined;
  readonly shared?: SharedTransfers | undefined;
}

/** A small blob is not worth the question whether it is there, once so many were not. */
const SMALL_BYTES = 64 * 1024;
const ENOUGH_ABSENT = 4;

/** How often a referrer that the destination does not list is pushed again. */
const MAX_ROUNDS = 4;

/** Brings nodes of one graph to one destination: parts before what is made of them, each once. */
export class Transfer {
  private readonly source: Source;
  private readonly destination: CopyDestination;
  private readonly pool: Pool;
  private readonly onEvent: OnCopyEvent;
  private readonly known: Digest | undefined;
  private readonly shared: SharedTransfers | undefined;
  private readonly mountFrom: readonly string[];
  private readonly nodes = new Map<Digest, Promise<boolean>>();
  private readonly blobs = new Map<Digest, Promise<void>>();
  private readonly surrounded = new Set<Digest>();
  /** Artifact manifests that the destination does not accept. */
  private readonly left = new Set<Digest>();
  private readonly found: { absent: number; present: number };

  constructor(options: TransferOptions) {
    this.source = options.source;
    this.destination = options.destination;
    this.pool = options.pool;
    this.onEvent = options.onEvent;
    this.known = options.present;
    this.shared = options.shared;
    this.found = options.shared?.found ?? { absent: 0, present: 0 };
    const [from, to] = [options.source.mount, options.destination.mount];
    const isNear = from !== undefined && to?.registry === from.registry && to.repository !== from.repository;
    this.mountFrom = isNear ? [from.repository] : [];
  }

  /**
   * Makes sure that a manifest and all that it is made of is at the destination. Where a registry has
   * the manifest, its parts are not asked for: it took them before it took the manifest (spec/decisions/0022).
   * @returns whether it was there already
   */
  node(node: CopyNode): Promise<boolean> {
    const { digest } = node.content.descriptor;
    let work = this.nodes.get(digest);
    if (work === undefined) {
      work = this.transferNode(node);
      this.nodes.set(digest, work);
    }
    return work;
  }

  private async transferNode(node: CopyNode): Promise<boolean> {
    const isThere = await this.has(node.content.descriptor.digest);
    if (isThere && this.destination.mayLackParts !== true) {
      this.skip(node);
      return true;
    }
    await this.parts(node);
    if (isThere) this.onEvent({ kind: 'skip', descriptor: node.content.descriptor });
    else await this.pushOrLeave(node);
    return isThere;
  }

  /**
   * Many registries do not accept artifact manifests from before OCI 1.1, and none has to. That must not keep the
   * image from being copied; it is said what stays behind.
   */
  private async pushOrLeave(node: CopyNode): Promise<void> {
    const { digest, mediaType } = node.content.descriptor;
    try {
      await this.push(node);
    } catch (error) {
      const mayBeLeft = node.isReferrer && isArtifactType(mediaType);
      if (!mayBeLeft || !isBullaError(error) || error.details['reason'] !== 'type-refused') throw error;
      this.left.add(digest);
      this.onEvent({
        kind: 'warning',
        message: `${digest} is not copied: ${this.destination.name} does not accept manifests of type ${mediaType}`,
        isLeft: true,
      });
    }
  }

  private async parts(node: CopyNode): Promise<void> {
    for (const descriptor of node.foreign) this.onEvent({ kind: 'skip', descriptor });
    await this.pool.all<unknown>([
      ...node.blobs.map((blob) => this.blob(blob)),
      ...node.children.map((child) => this.node(child)),
    ]);
  }

  private async has(digest: Digest): Promise<boolean> {
    if (digest === this.known) return true;
    const { signal } = this.pool;
    return (await this.pool.run(() => resolveIfThere(this.destination, digest, { signal }))) !== undefined;
  }

  /** Says of everything below a node that it is there. */
  private skip(node: CopyNode): void {
    for (const descriptor of [...node.blobs, ...node.foreign]) {
      if (this.blobs.has(descriptor.digest)) continue;
      this.blobs.set(descriptor.digest, Promise.resolve());
      this.onEvent({ kind: 'skip', descriptor });
    }
    for (const child of node.children) {
      const { digest } = child.content.descriptor;
      if (this.nodes.has(digest)) continue;
      this.nodes.set(digest, Promise.resolve(true));
      this.skip(child);
    }
    this.onEvent({ kind: 'skip', descriptor: node.content.descriptor });
  }

  private async push(node: CopyNode, tag?: Tag): Promise<void> {
    const { content } = node;
    const { descriptor } = content;
    await this.stored(node, async () => {
      if (tag === undefined) this.onEvent({ kind: 'start', descriptor });
      await this.destination.pushManifest(content, { tag, signal: this.pool.signal });
    });
    if (tag === undefined) {
      this.onEvent({ kind: 'done', descriptor, outcome: 'pushed', bytes: descriptor.size });
    }
  }

  /** Runs what pushes a manifest when there is a place for it. */
  private async stored(node: CopyNode, push: () => Promise<void>): Promise<void> {
    if (!node.isReferrer || this.shared === undefined) return await this.pool.run(push);
    await this.shared.watching.run(async () => {
      throwIfAborted(this.pool.signal);
      await push();
    });
  }

  /** Gives a manifest that is at the destination a name. */
  async tag(node: CopyNode, tag: Tag): Promise<void> {
    await this.push(node, tag);
  }

  private blob(descriptor: Descriptor): Promise<void> {
    let work = this.blobs.get(descriptor.digest);
    if (work === undefined) {
      work = this.blobOnce(descriptor);
      this.blobs.set(descriptor.digest, work);
    }
    return work;
  }

  private async blobOnce(descriptor: Descriptor): Promise<void> {
    const bring = (): Promise<void> => this.pool.run(() => this.transferBlob(descriptor));
    if (this.shared === undefined) await bring();
    else if (!(await this.shared.once(descriptor.digest, bring))) this.onEvent({ kind: 'skip', descriptor });
  }

  private async transferBlob(descriptor: Descriptor): Promise<void> {
    const { onEvent } = this;
    const { signal } = this.pool;
    const { absent, present } = this.found;
    const guessAbsent = present === 0 && absent >= ENOUGH_ABSENT && descriptor.size <= SMALL_BYTES;
    let hasStarted = false;
    const open = async (): Promise<AsyncIterable<Uint8Array>> => {
      if (!hasStarted) onEvent({ kind: 'start', descriptor });
      hasStarted = true;
      const stream = await this.openBlob(descriptor);
      return observedStream(stream, (bytes) => onEvent({ kind: 'progress', descriptor, bytes }));
    };
    const outcome = await this.destination.pushBlob(descriptor, open, {
      signal,
      mountFrom: this.mountable(descriptor.digest),
      known: guessAbsent ? 'absent' : undefined,
    });
    this.shared?.notePlace(descriptor.digest, this.destination.mount?.repository);
    if (outcome === 'exists') {
      this.found.present++;
      onEvent({ kind: 'skip', descriptor });
    } else {
      this.found.absent++;
      onEvent({ kind: 'done', descriptor, outcome, bytes: outcome === 'pushed' ? descriptor.size : 0 });
    }
  }

  private mountable(digest: Digest): readonly string[] {
    const here = this.destination.mount?.repository;
    const near = (this.shared?.placeOf(digest) ?? []).filter((repository) => repository !== here);
    return [...new Set([...this.mountFrom, ...near])];
  }

  private async openBlob(descriptor: Descriptor): Promise<AsyncIterable<Uint8Array>> {
    const inline = inlineContent(descriptor, this.source.name);
    if (inline !== undefined) return streamOf(inline);
    try {
      return await this.source.openBlob(descriptor, { signal: this.pool.signal });
    } catch (error) {
      if (!isBullaError(error, 'not-found')) throw error;
      throw new BullaError('content-invalid', `${this.source.name} lacks ${descriptor.digest}`, {
        cause: error,
        hint: 'the source is incomplete: a manifest names this blob, but it is missing',
      });
    }
  }

  /**
   * Brings what refers to a node that is at the destination, and what refers to that, and makes sure
   * that the destination lists it.
   * @param wasThere whether the node was at the destination before: else nothing is listed there
   */
  async referrers(node: CopyNode, wasThere: boolean): Promise<void> {
    const subject = node.content.descriptor.digest;
    // The first visit handles it; what refers to a node can lead back to it.
    if (this.surrounded.has(subject)) return;
    this.surrounded.add(subject);
    if (node.referrers.length > 0) {
      const listed = wasThere ? await this.listed(subject) : new Set<Digest>();
      await this.pool.all(node.referrers.map((one) => this.referrer(one, listed)));
      const taken = node.referrers.filter((one) => !this.left.has(one.content.descriptor.digest));
      if (taken.some((one) => !listed.has(one.content.descriptor.digest))) {
        await this.settle(subject, taken);
      }
    }
    const around = [...node.referrers, ...node.children];
    await this.pool.all(around.map(async (one) => this.referrers(one, await this.node(one))));
  }

  /** Pushed even where the manifest is stored: it is not listed, and a push is what makes it so. */
  private async referrer(node: CopyNode, listed: ReadonlySet<Digest>): Promise<void> {
    const wasThere = await this.node(node);
    if (!wasThere || listed.has(node.content.descriptor.digest)) return;
    await this.stored(node, () => this.destination.pushManifest(node.content, { signal: this.pool.signal }));
  }

  /** Some registries lose entries of their list when many are pushed at once; those are pushed again. */
  private async settle(subject: Digest, nodes: readonly CopyNode[]): Promise<void> {
    for (let round = 1; ; round++) {
      const listed = await this.listed(subject);
      const missing = nodes.filter((one) => !listed.has(one.content.descriptor.digest));
      if (missing.length === 0) return;
      if (round === MAX_ROUNDS) throw this.unlisted(subject, missing);
      for (const one of missing) {
        await this.stored(one, () =>
          this.destination.pushManifest(one.content, { signal: this.pool.signal }),
        );
      }
    }
  }

  private async listed(subject: Digest): Promise<ReadonlySet<Digest>> {
    const entries = await this.pool.run(() =>
      this.destination.listReferrers(subject, { signal: this.pool.signal }),
    );
    return new Set(entries.map(({ digest }) => digest));
  }

  private unlisted(subject: Digest, missing: readonly CopyNode[]): BullaError {
    const digests = missing.map(({ content }) => content.descriptor.digest);
    return new BullaError(
      'registry-error',
      `${this.destination.name} took ${digests.length} manifests that refer to ${subject}, and does not list them`,
      {
        hint: 'run the copy again; if it stays so, the registry loses referrers',
        details: { subject, missing: digests },
      },
    );
  }
}
