import { BullaError, throwIfAborted } from '../errors.ts';
import { bareDescriptor, type Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { type CarriedManifest, type ManifestContent, parseCarried } from '../oci/manifest.ts';
import { isCarriedType, isIndexType } from '../oci/media-types.ts';
import { referrerDescriptor } from '../oci/referrers.ts';
import type { LayoutIndex } from './index-file.ts';

/** Most manifests that are looked at for referrers before a layout is refused. */
export const MAX_MANIFESTS = 100_000;
/** Most bytes of them. */
export const MAX_SCAN_BYTES: number = 512 * 1024 * 1024;

/** What one manifest says that matters here; by digest, so it never goes out of date. */
interface Known {
  readonly subject: Digest | undefined;
  /** As it is listed among its subject's referrers. */
  readonly listed: Descriptor;
  /** Whether it is part of a trust collection. */
  readonly isTrust: boolean;
  /** Manifests that it lists, if it is an index. */
  readonly children: readonly Descriptor[];
}

/**
 * Finds referrers in a layout, which has no list of them: all manifests that can be reached from
 * index.json are looked at, those inside indexes too (regctl keeps referrers in a fallback index).
 */
export class ReferrerScan {
  private readonly read: (entry: Descriptor) => Promise<ManifestContent | undefined>;
  private readonly known = new Map<Digest, Known>();
  private bytes = 0;

  /** @param read gives a manifest, verified; undefined where it is not there */
  constructor(read: (entry: Descriptor) => Promise<ManifestContent | undefined>) {
    this.read = read;
  }

  /** @throws BullaError content-invalid where a manifest is damaged */
  async referrersOf(
    subject: Digest,
    index: LayoutIndex,
    signal?: AbortSignal | undefined,
  ): Promise<readonly Descriptor[]> {
    const found = new Map<Digest, Descriptor>();
    const seen = new Set<Digest>();
    const waiting = [...index.entries];
    for (let entry = waiting.pop(); entry !== undefined; entry = waiting.pop()) {
      if (seen.has(entry.digest) || !isCarriedType(entry.mediaType)) continue;
      seen.add(entry.digest);
      if (seen.size > MAX_MANIFESTS) throw tooMany();
      throwIfAborted(signal);
      const known = await this.look(entry);
      if (known === undefined) continue;
      if (known.subject === subject) found.set(entry.digest, known.listed);
      waiting.push(...known.children);
    }
    return [...found.values()];
  }

  /** Digest of what a manifest refers to; undefined where it refers to nothing, or is not there. */
  async subjectOf(entry: Descriptor): Promise<Digest | undefined> {
    return isCarriedType(entry.mediaType) ? (await this.look(entry))?.subject : undefined;
  }

  /** Whether a manifest is an image, or anything else that refers to nothing and is not part of a collection. */
  async standsAlone(entry: Descriptor): Promise<boolean> {
    if (!isCarriedType(entry.mediaType)) return false;
    const known = await this.look(entry);
    return known?.subject === undefined && known?.isTrust !== true;
  }

  private async look(entry: Descriptor): Promise<Known | undefined> {
    const before = this.known.get(entry.digest);
    if (before !== undefined) return before;
    const content = await this.read(entry);
    if (content === undefined) return undefined;
    this.bytes += content.bytes.byteLength;
    if (this.bytes > MAX_SCAN_BYTES) throw tooMany();
    const manifest = parseCarried(content);
    const known: Known = {
      subject: manifest.subject?.digest,
      // What refers to nothing is never listed, and its annotations need not be kept.
      listed: manifest.subject === undefined ? content.descriptor : referrerDescriptor(content, manifest),
      isTrust: isTrustManifest(manifest),
      children:
        manifest.kind === 'index' && isIndexType(entry.mediaType)
          ? manifest.manifests.filter((child) => isCarriedType(child.mediaType)).map(bareDescriptor)
          : [],
    };
    this.known.set(entry.digest, known);
    return known;
  }
}

/** By the types of spec/trust.md; a large head is an index with an annotation of its own. */
function isTrustManifest({ artifactType, annotations }: CarriedManifest): boolean {
  return (
    artifactType?.startsWith('application/vnd.bulla.trust.') === true ||
    Object.keys(annotations ?? {}).some((name) => name.startsWith('vnd.bulla.trust.'))
  );
}

function tooMany(): BullaError {
  return new BullaError(
    'content-invalid',
    `a layout has more than ${MAX_MANIFESTS} manifests, or ${MAX_SCAN_BYTES} bytes of them`,
    {
      hint: 'no honest layout is that large; nothing was used',
    },
  );
}
