import { BullaError, isBullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { fetchIfThere } from '../../oci/if-there.ts';
import { type CarriedManifest, childrenOf, type ManifestContent, parseCarried } from '../../oci/manifest.ts';
import { isCarriedType, isForeignLayerType } from '../../oci/media-types.ts';
import { formatPlatform } from '../../oci/platform.ts';
import { cosignTags, type Tag } from '../../oci/reference.ts';
import type { Source } from '../../oci/target.ts';
import type { Pool } from './concurrency.ts';
import type { OnCopyEvent } from './progress.ts';

/** Most manifests of one copy, how deep they may hang on each other, and their bytes in all. */
export const MAX_MANIFESTS = 20_000;
const MAX_DEPTH = 16;
export const MAX_BYTES: number = 96 * 1024 * 1024;

/** Above so many tags to be asked for one by one, the list of all tags is asked for instead. */
const MAX_TAG_QUESTIONS = 12;

/** Images of an incomplete index that are looked for, to be named in a hint. */
const MAX_HINTED = 16;

/** A manifest at the source with what it is made of and what refers to it. */
export interface CopyNode {
  readonly content: ManifestContent;
  /** Whether it refers to another manifest. */
  readonly isReferrer: boolean;
  readonly children: CopyNode[];
  /** Blobs, each once; without foreign layers. */
  readonly blobs: readonly Descriptor[];
  readonly foreign: readonly Descriptor[];
  /** They can lead back here: an index that refers to one of its children. */
  readonly referrers: CopyNode[];
}

/** All that is to be copied. */
export interface CopyGraph {
  readonly root: CopyNode;
  /** Everything once, by digest. */
  readonly nodes: ReadonlyMap<Digest, CopyNode>;
  /** What cosign keeps beside the image under tags of its own. */
  readonly tagged: readonly { readonly tag: Tag; readonly node: CopyNode }[];
}

export interface DiscoverOptions {
  readonly referrers: boolean;
  /** Tags of the source, as they were listed a moment ago: what is not among them is not asked for. */
  readonly tags?: ReadonlySet<Tag> | undefined;
  readonly pool: Pool;
  readonly onEvent: OnCopyEvent;
}

/**
 * Finds all that belongs to a manifest at the source: its parts, what refers to any of it, what refers
 * to that, and cosign's tags.
 * @throws BullaError content-invalid where the source is incomplete or its graph has no sane bounds
 */
export async function discover(
  source: Source,
  root: ManifestContent,
  options: DiscoverOptions,
): Promise<CopyGraph> {
  const discovery = new Discovery(source, options);
  const node = discovery.add(root, 0);
  await discovery.finish();
  const tagged = options.referrers ? await discovery.addTagged() : [];
  return { root: node, nodes: discovery.nodes, tagged };
}

class Discovery {
  readonly nodes = new Map<Digest, CopyNode>();
  private readonly source: Source;
  private readonly options: DiscoverOptions;
  private readonly pool: Pool;
  private readonly looking: Promise<void>[] = [];
  private bytes = 0;
  private listed = 0;

  constructor(source: Source, options: DiscoverOptions) {
    this.source = source;
    this.options = options;
    this.pool = options.pool;
  }

  /** A node whose surroundings are found by and by; each manifest is looked at once. */
  add(content: ManifestContent, depth: number): CopyNode {
    const { digest } = content.descriptor;
    const before = this.nodes.get(digest);
    if (before !== undefined) return before;
    this.bytes += content.bytes.byteLength;
    if (depth > MAX_DEPTH || this.nodes.size >= MAX_MANIFESTS || this.bytes > MAX_BYTES) {
      throw tooMuch(this.source.name);
    }
    const manifest = parseCarried(content);
    const parts = [...new Map(childrenOf(manifest).map((part) => [part.digest, part])).values()];
    const isChild = (part: Descriptor): boolean => manifest.kind === 'index' && isCarriedType(part.mediaType);
    const blobs = parts.filter((part) => !isChild(part));
    const node: CopyNode = {
      content,
      isReferrer: manifest.subject !== undefined,
      children: [],
      blobs: blobs.filter((part) => !isForeignLayerType(part.mediaType)).map(needed),
      foreign: blobs.filter((part) => isForeignLayerType(part.mediaType)).map(needed),
      referrers: [],
    };
    this.nodes.set(digest, node);
    const looks = [
      ...parts.filter(isChild).map((part) => this.addChild(node, part, depth)),
      ...(this.options.referrers ? [this.addReferrers(node, depth)] : []),
    ];
    const look = this.pool.all(looks).then(() => undefined);
    // Its failure is met in finish(); it must not count as unhandled before.
    look.catch(() => undefined);
    this.looking.push(look);
    return node;
  }

  /** Waits until all that was begun is found. */
  async finish(): Promise<void> {
    for (let look = this.looking.pop(); look !== undefined; look = this.looking.pop()) {
      await this.pool.all([look]);
    }
  }

  private async addChild(parent: CopyNode, part: Descriptor, depth: number): Promise<void> {
    const content = await this.fetch(part.digest);
    if (content === undefined) {
      throw new BullaError(
        'content-invalid',
        `${this.source.name}: ${parent.content.descriptor.digest} names ${part.digest}${ofPlatform(part)}, which is not there`,
        { hint: await this.whatIsThere(parent), details: { missing: part.digest } },
      );
    }
    parent.children.push(this.add(content, depth + 1));
  }

  /** What to do about an index that lacks images, as `docker save` writes it of an image that was pulled for one platform. */
  private async whatIsThere(parent: CopyNode): Promise<string> {
    const there: string[] = [];
    for (const entry of childrenOf(parseCarried(parent.content)).slice(0, MAX_HINTED)) {
      if (entry.platform === undefined || !isCarriedType(entry.mediaType)) continue;
      if ((await this.fetch(entry.digest)) !== undefined) there.push(formatPlatform(entry.platform));
    }
    const [first] = there;
    if (first === undefined) return 'the source is incomplete: copy from where the image was built or pushed';
    return `the source is incomplete, and has ${there.join(', ')}: copy that with --platform ${first}`;
  }

  private async addReferrers(node: CopyNode, depth: number): Promise<void> {
    const { digest } = node.content.descriptor;
    const listed = await this.pool.run(() =>
      this.source.listReferrers(digest, {
        fallbackToo: true,
        tags: this.options.tags,
        signal: this.pool.signal,
      }),
    );
    // Counted before anything is fetched: each list may name the same thousands of manifests.
    this.listed += listed.length;
    if (this.listed > MAX_MANIFESTS) throw tooMuch(this.source.name);
    const found = await this.pool.all(listed.map((entry) => this.referrer(digest, entry, depth)));
    node.referrers.push(...found.filter((one) => one !== undefined));
  }

  /** A listed referrer, if it is one: lists are not trusted. */
  private async referrer(subject: Digest, entry: Descriptor, depth: number): Promise<CopyNode | undefined> {
    if (!isCarriedType(entry.mediaType)) {
      this.leave(
        `${entry.digest}, which refers to ${subject}, is not copied: manifests of type ${entry.mediaType} are not supported`,
      );
      return undefined;
    }
    const content = await this.fetch(entry.digest);
    if (content === undefined) {
      this.warn(`${entry.digest} is listed as referring to ${subject} and is not there`);
      return undefined;
    }
    const manifest = readable(content);
    if (manifest === undefined) {
      this.leave(`${entry.digest} is listed as referring to ${subject} and cannot be read: not copied`);
      return undefined;
    }
    if (manifest.subject?.digest !== subject) {
      this.warn(`${entry.digest} is listed as referring to ${subject} and does not: not copied`);
      return undefined;
    }
    return this.add(content, depth + 1);
  }

  /** Manifest by digest or tag; undefined where the source says that it has none. */
  private async fetch(reference: Digest | Tag): Promise<ManifestContent | undefined> {
    const { signal } = this.pool;
    return await this.pool.run(() => fetchIfThere(this.source, reference, { signal }));
  }

  /** Finds what cosign's older releases keep under tags made of a digest. */
  async addTagged(): Promise<CopyGraph['tagged']> {
    const tags = [...this.nodes.values()]
      .filter(({ isReferrer }) => !isReferrer)
      .flatMap(({ content }) => cosignTags(content.descriptor.digest));
    const likely = await this.likely(tags);
    const found = await this.pool.all(likely.map((tag) => this.taggedNode(tag)));
    await this.finish();
    return found.filter((one) => one !== undefined);
  }

  private async taggedNode(tag: Tag): Promise<{ tag: Tag; node: CopyNode } | undefined> {
    const content = await this.fetch(tag);
    if (content === undefined) return undefined;
    if (readable(content) !== undefined) return { tag, node: this.add(content, 1) };
    this.leave(`${tag} holds no manifest that can be read: not copied`);
    return undefined;
  }

  private async likely(tags: readonly Tag[]): Promise<readonly Tag[]> {
    const { tags: known } = this.options;
    if (known !== undefined) return tags.filter((tag) => known.has(tag));
    if (tags.length <= MAX_TAG_QUESTIONS) return tags;
    const { signal } = this.pool;
    try {
      const listed = new Set(await this.pool.run(() => this.source.listTags({ signal })));
      return tags.filter((tag) => listed.has(tag));
    } catch (error) {
      // A registry that does not list tags, or not to every account, is asked for each.
      if (isBullaError(error, 'not-found', 'registry-error', 'unauthorized', 'forbidden')) return tags;
      throw error;
    }
  }

  /** Says of something that may belong to the image that it stays behind. */
  private leave(message: string): void {
    this.options.onEvent({ kind: 'warning', message, isLeft: true });
  }

  private warn(message: string): void {
    this.options.onEvent({ kind: 'warning', message });
  }
}

function ofPlatform({ platform }: Descriptor): string {
  return platform === undefined ? '' : ` for ${formatPlatform(platform)}`;
}

/** What is needed to copy a blob. The rest is not kept: a manifest can become fifty times as large when parsed. */
function needed({ mediaType, digest, size, data }: Descriptor): Descriptor {
  return { mediaType, digest, size, ...(data !== undefined && { data }) };
}

/** A manifest beside the image, if it is one: pushed nonsense must not stop a copy. */
function readable(content: ManifestContent): CarriedManifest | undefined {
  try {
    return parseCarried(content);
  } catch (error) {
    if (isBullaError(error, 'content-invalid')) return undefined;
    throw error;
  }
}

function tooMuch(name: string): BullaError {
  return new BullaError(
    'content-invalid',
    `${name}: more than ${MAX_MANIFESTS} manifests, ${MAX_DEPTH} levels or ${MAX_BYTES} bytes of manifests belong to one image`,
    { hint: 'no honest image has that much; --no-referrers leaves out what refers to it' },
  );
}
