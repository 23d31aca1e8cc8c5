import { BullaError, type ErrorCode, isBullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { fetchIfThere, resolveIfThere } from '../../oci/if-there.ts';
import { type CarriedManifest, type ManifestContent, parseCarried } from '../../oci/manifest.ts';
import { isCarriedType } from '../../oci/media-types.ts';
import { cosignTags, type Tag } from '../../oci/reference.ts';
import { slimReferrer } from '../../oci/referrers.ts';
import type { CallOptions, Source } from '../../oci/target.ts';
import { SIGNATURE_ANNOTATIONS } from '../../signatures/formats.ts';
import { Limiter } from '../copy/concurrency.ts';

/** What is drawn of a manifest; a parsed one takes many times its bytes, and thousands of them are in a tree. */
export interface TreeManifest {
  readonly kind: CarriedManifest['kind'];
  readonly artifactType: string | undefined;
  /** Media type of its config, if it has one. */
  readonly configType: string | undefined;
  readonly subject: Digest | undefined;
  /** Predicate type that it says it attests. */
  readonly predicateType: string | undefined;
}

/** A manifest and what hangs from it. */
export interface TreeNode {
  readonly descriptor: Descriptor;
  /** Undefined where it is listed and not there, or cannot be read. */
  readonly manifest: TreeManifest | undefined;
  /** Why it, or the list of what refers to it, cannot be read. */
  readonly unreadable?: string | undefined;
  /** Manifests of an index, in its order. */
  readonly platforms: readonly TreeNode[];
  /** What claims this manifest as its subject, nested. */
  readonly referrers: readonly TreeNode[];
  /** What older releases of cosign keep at tags made of the digest. */
  readonly cosign: readonly { readonly tag: Tag; readonly descriptor: Descriptor }[];
}

export interface TreeOptions extends CallOptions {
  readonly concurrency: number;
}

/** What was pushed beside an image and makes no sense; what could not be asked for is not among it. */
const UNREADABLE: readonly ErrorCode[] = ['content-invalid', 'digest-mismatch'];

/** Most manifests that are drawn, and deepest nesting of what refers to what refers to it. */
export const MAX_TREE_NODES = 10_000;
const MAX_DEPTH = 16;
/** Bytes of all manifests that are drawn. */
export const MAX_TREE_BYTES: number = 256 * 1024 * 1024;

/**
 * Everything that hangs from an image: its platforms, and what refers to any of them. Any account with push permission can
 * push nonsense beside an image: that is a node that cannot be read, and hides nothing else.
 * @throws BullaError not-found, content-invalid where there is no end to it, and what `source` throws
 */
export async function readTree(
  source: Source,
  reference: Tag | Digest,
  options: TreeOptions,
): Promise<TreeNode> {
  const content = await source.fetchManifest(reference, options);
  const reader = new TreeReader(source, options, await cosignTagsAt(source, options));
  return reader.node(content.descriptor, content, 0);
}

/** All tags, or none where the other side does not list them: cosign's are then looked for in vain. */
async function cosignTagsAt(source: Source, options: CallOptions): Promise<ReadonlySet<Tag>> {
  try {
    return new Set(await source.listTags(options));
  } catch (error) {
    if (isBullaError(error, 'not-found', 'forbidden', 'unauthorized')) return new Set();
    throw error;
  }
}

interface Drawn {
  readonly manifest: TreeManifest;
  readonly children: readonly Descriptor[];
}

function drawn(content: ManifestContent): Drawn {
  const manifest = parseCarried(content);
  const listed = manifest.kind === 'index' ? manifest.manifests : [];
  return {
    manifest: {
      kind: manifest.kind,
      artifactType: manifest.artifactType,
      configType: manifest.kind === 'manifest' ? manifest.config.mediaType : undefined,
      subject: manifest.subject?.digest,
      predicateType: manifest.annotations?.[SIGNATURE_ANNOTATIONS.bundlePurpose],
    },
    children: listed.filter((child) => isCarriedType(child.mediaType)).map(slimReferrer),
  };
}

class TreeReader {
  private readonly source: Source;
  private readonly options: TreeOptions;
  private readonly tags: ReadonlySet<Tag>;
  private readonly limiter: Limiter;
  private nodes = 0;
  private bytes = 0;

  constructor(source: Source, options: TreeOptions, tags: ReadonlySet<Tag>) {
    this.source = source;
    this.options = options;
    this.tags = tags;
    this.limiter = new Limiter(options.concurrency);
  }

  async node(listed: Descriptor, known: ManifestContent | undefined, depth: number): Promise<TreeNode> {
    if (++this.nodes > MAX_TREE_NODES) throw this.endless();
    const leaf = { descriptor: listed, manifest: undefined, platforms: [], referrers: [], cosign: [] };
    if (depth > MAX_DEPTH) return { ...leaf, unreadable: `it is nested more than ${MAX_DEPTH} levels deep` };
    const read = await readable(async () => {
      const content = known ?? (await this.fetch(listed));
      if (content !== undefined) this.bytes += content.bytes.byteLength;
      return content === undefined ? undefined : { content, ...drawn(content) };
    }, known === undefined);
    if (this.bytes > MAX_TREE_BYTES) throw this.endless();
    if (read.value === undefined) return { ...leaf, unreadable: read.unreadable };
    const { content, manifest, children } = read.value;
    const [platforms, referrers, cosign] = await Promise.all([
      Promise.all(children.map((child) => this.node(child, undefined, depth + 1))),
      readable(() => this.referrers(listed.digest, depth)),
      this.cosign(listed.digest),
    ]);
    return {
      descriptor: { ...listed, ...content.descriptor },
      manifest,
      unreadable: referrers.unreadable,
      platforms,
      referrers: referrers.value ?? [],
      cosign,
    };
  }

  private endless(): BullaError {
    return new BullaError(
      'content-invalid',
      `${this.source.name}: more than ${MAX_TREE_NODES} manifests or ${MAX_TREE_BYTES} bytes of manifests hang together`,
      {
        hint: 'the list of referrers may have been flooded; look at one digest at a time with bulla signature ls',
      },
    );
  }

  private async referrers(subject: Digest, depth: number): Promise<TreeNode[]> {
    const listed = await this.limiter.run(() =>
      this.source.listReferrers(subject, { ...this.options, fallbackToo: true }),
    );
    const nodes = await Promise.all(listed.map((referrer) => this.node(referrer, undefined, depth + 1)));
    // Any account with push permission can list anything here: only the manifest's own subject is used.
    return nodes.filter((node) => node.manifest === undefined || node.manifest.subject === subject);
  }

  private async cosign(subject: Digest): Promise<TreeNode['cosign']> {
    const found = cosignTags(subject).filter((tag) => this.tags.has(tag));
    const there = await Promise.all(
      found.map(async (tag) => ({
        tag,
        // A tag can be removed between the list and this.
        descriptor: await this.limiter.run(() => resolveIfThere(this.source, tag, this.options)),
      })),
    );
    return there.flatMap(({ tag, descriptor }) => (descriptor === undefined ? [] : [{ tag, descriptor }]));
  }

  /** Undefined where the manifest is not there; some platforms of a copied index may be missing. */
  private async fetch(descriptor: Descriptor): Promise<ManifestContent | undefined> {
    return await this.limiter.run(() => fetchIfThere(this.source, descriptor.digest, this.options));
  }
}

/** What was read, or why it makes no sense. @param isBeside what fails otherwise is the image itself */
async function readable<T>(
  read: () => Promise<T>,
  isBeside = true,
): Promise<{ readonly value?: T; readonly unreadable?: string }> {
  try {
    return { value: await read() };
  } catch (error) {
    if (!isBeside || !isBullaError(error, ...UNREADABLE)) throw error;
    return { unreadable: error.message };
  }
}
