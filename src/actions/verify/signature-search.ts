import type { Certificate } from '../../crypto/certificate.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { type BullaError, throwIfAborted } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { fetchIfThere } from '../../oci/if-there.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import { cosignTags } from '../../oci/reference.ts';
import type { CallOptions, Source } from '../../oci/target.ts';
import type { SignatureFindings } from '../../policy/decision.ts';
import { guessArtifact } from '../../signatures/artifact.ts';
import { type Evidence, examineEnvelope, type Finding, refusalOf } from '../../signatures/evidence.ts';
import { RELEASE_PURPOSE, SIGNATURE_ANNOTATIONS } from '../../signatures/formats.ts';
import { type MeteredSource, meteredSource } from '../copy/metered-source.ts';
import {
  LargeEnvelopes,
  type OpenedSignature,
  type OpenOptions,
  openLegacySignatures,
  openSignature,
} from './signature-reading.ts';

/** Most signatures of one list that are looked at for one image; notation's default. */
export const MAX_EXAMINED = 100;

/**
 * Most bytes of manifests and envelopes that are read in one search, and the last batch. Signatures have some
 * kilobytes; what is larger than {@link SMALL_BYTES} is looked at last.
 */
export const MAX_SEARCH_BYTES: number = 64 * 1024 * 1024;
export const SMALL_BYTES: number = 64 * 1024;

/** Signatures that are fetched at the same time; a normal image has fewer, so they take one round trip. */
const BATCH = 8;
/** Most bytes of manifests in a batch, by what the list says. */
const BATCH_BYTES = 4 * 1024 * 1024;

/** Descriptors of an image's referrers, and why these are not all, where they are not. */
export interface ListedReferrers {
  readonly entries: readonly Descriptor[];
  readonly cut: BullaError | undefined;
}

/** Evidence with what others say about it, and why they did not say it, if that is needed. */
export interface Completed {
  readonly evidence: Evidence;
  readonly failure?: BullaError | undefined;
}

export interface SignatureSearchOptions extends CallOptions {
  /** Trusted keys and certificates, and the purposes asked for: what is likely to match is fetched first. */
  readonly keys: readonly PublicKey[];
  readonly roots: readonly Certificate[];
  /** Keyless signatures may count. */
  readonly isKeyless?: boolean;
  readonly purposes: readonly string[];
  /** Descriptors of the image's referrers, where they were asked for already. */
  readonly listed?: ListedReferrers;
  /** Completes what was found with what others say about it. */
  readonly complete?: ((evidence: Evidence) => Promise<Completed>) | undefined;
  /** Asked after each batch: the search ends when it says yes. */
  readonly enough: (found: SignatureFindings) => boolean;
}

/**
 * Looks for an image's signatures in as few requests as will do: the list of referrers, then the likely
 * ones all at once; only where those don't suffice, the others, the fallback index that notation writes
 * even beside the referrers API, and cosign's `.sig` tag.
 * @param image descriptor computed from the image's own bytes
 * @throws BullaError what keeps signatures from being read, where those that were read don't suffice:
 *   a registry out of reach is never "unsigned"
 */
export async function searchSignatures(
  source: Source,
  image: Descriptor,
  options: SignatureSearchOptions,
): Promise<SignatureFindings> {
  const search = new Search(source, image, options);
  const { signal } = options;
  const onCut = (reason: BullaError): void => search.cut(reason);
  const listing = { signal, keep: isCandidate, onCut };
  if (options.listed?.cut !== undefined) onCut(options.listed.cut);
  const listed = options.listed?.entries ?? (await source.listReferrers(image.digest, listing));
  if (await search.examineListed(listed)) return search.found;
  const isAttestation = isAboutAttestations(options);
  const [all, signatures, attestations] = await Promise.all([
    source.listReferrers(image.digest, { ...listing, fallbackToo: true }),
    fetchLegacyManifest(source, image.digest, options),
    isAttestation ? fetchLegacyManifest(source, image.digest, options, 'att') : undefined,
  ]);
  if (await search.examineListed(all)) return search.found;
  for (const legacy of [signatures, attestations])
    if (legacy !== undefined && (await search.examineLegacy(legacy))) return search.found;
  if (search.failure !== undefined) throw search.failure;
  return search.found;
}

function isAboutAttestations({ purposes }: SignatureSearchOptions): boolean {
  return purposes.some((purpose) => purpose !== RELEASE_PURPOSE);
}

/** The manifest at cosign's `.sig` or `.att` tag, where there is one. */
export async function fetchLegacyManifest(
  source: Source,
  image: Digest,
  options: CallOptions,
  kind: 'sig' | 'att' = 'sig',
): Promise<ManifestContent | undefined> {
  // A sha512 digest is too long for such a tag.
  const tag = cosignTags(image).find((one) => one.endsWith(`.${kind}`));
  if (tag === undefined) return undefined;
  return await fetchIfThere(source, tag, { signal: options.signal });
}

class Search {
  /** The first thing that kept a signature from being read and is not about the signature. */
  failure: unknown;
  private readonly findings: Finding[] = [];
  private readonly seen = new Set<Digest>();
  private unexamined = 0;
  private readonly source: Source;
  private readonly image: Descriptor;
  private readonly options: SignatureSearchOptions;
  private readonly opening: OpenOptions;

  private readonly meter: MeteredSource;

  constructor(source: Source, image: Descriptor, options: SignatureSearchOptions) {
    this.meter = meteredSource(source);
    this.source = this.meter.source;
    this.image = image;
    this.options = options;
    this.opening = {
      signal: options.signal,
      ...(isAboutAttestations(options) && {
        large: new LargeEnvelopes(() => this.meter.bytes >= MAX_SEARCH_BYTES),
      }),
    };
  }

  get found(): SignatureFindings {
    return { findings: this.findings, unexamined: this.unexamined };
  }

  /** That a list was not read to its end. Others may be missing: such a search never says that there are none. */
  cut(reason: BullaError): void {
    this.failure ??= reason;
  }

  /** @returns whether enough was found */
  async examineListed(listed: readonly Descriptor[]): Promise<boolean> {
    const candidates = rank(
      listed.filter(({ digest }) => !this.seen.has(digest)),
      this.options,
    );
    for (const { digest } of candidates.flat()) this.seen.add(digest);
    const examined = limit(candidates, MAX_EXAMINED);
    this.unexamined += candidates.flat().length - examined.flat().length;
    for (const group of examined) {
      for (const batch of batchesOf(group)) {
        if (this.meter.bytes >= MAX_SEARCH_BYTES) {
          this.unexamined += batch.length;
          continue;
        }
        await this.collect(batch.map((descriptor) => this.open(descriptor.digest)));
        if (this.options.enough(this.found)) return true;
      }
    }
    return false;
  }

  async examineLegacy(content: ManifestContent): Promise<boolean> {
    const opened = openLegacySignatures(this.source, content, this.opening);
    for (let at = 0; at < opened.length; at += BATCH) {
      await this.collect(opened.slice(at, at + BATCH).map(async (open) => [await open()]));
      if (this.options.enough(this.found)) return true;
    }
    return false;
  }

  private open(digest: Digest): Promise<readonly OpenedSignature[]> {
    return openSignature(this.source, digest, this.image.digest, this.opening);
  }

  private async collect(batch: readonly Promise<readonly OpenedSignature[]>[]): Promise<void> {
    for (const settled of await Promise.allSettled(batch)) {
      if (settled.status === 'rejected') this.failure ??= settled.reason;
      else for (const opened of settled.value) this.findings.push(await this.examine(opened));
    }
    throwIfAborted(this.options.signal);
  }

  private async examine(opened: OpenedSignature): Promise<Finding> {
    if (opened.envelope === undefined) return refusalOf(opened.manifest, opened.problem);
    const finding = await examineEnvelope(opened.envelope, opened.manifest, this.image, this.options.keys);
    if (finding.outcome !== 'verified' || this.options.complete === undefined) return finding;
    const { evidence, failure } = await this.options.complete(finding.evidence);
    this.failure ??= failure;
    return { outcome: 'verified', evidence };
  }
}

/**
 * Groups of descriptors, the likeliest first; what calls itself something else is left out. It is all
 * hearsay, so it decides on the order alone.
 */
function rank(listed: readonly Descriptor[], options: SignatureSearchOptions): Descriptor[][] {
  const groups: Descriptor[][] = [[], [], [], [], [], []];
  for (const descriptor of listed) {
    const guess = guessArtifact(descriptor);
    if (guess === 'other') continue;
    const likelihood = guess === 'unknown' ? 2 : isLikely(descriptor, guess, options) ? 0 : 1;
    groups[descriptor.size <= SMALL_BYTES ? likelihood : likelihood + 3]?.push(descriptor);
  }
  return groups;
}

/** Whether a listed manifest may be a signature. */
export function isCandidate(listed: Descriptor): boolean {
  return guessArtifact(listed) !== 'other';
}

/** As many at a time as are fetched together. */
function* batchesOf(listed: readonly Descriptor[]): Generator<readonly Descriptor[]> {
  let batch: Descriptor[] = [];
  let bytes = 0;
  for (const descriptor of listed) {
    if (batch.length >= BATCH || (batch.length > 0 && bytes + descriptor.size > BATCH_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(descriptor);
    bytes += descriptor.size;
  }
  if (batch.length > 0) yield batch;
}

function isLikely(
  descriptor: Descriptor,
  guess: 'notation' | 'bundle' | 'cosign',
  options: SignatureSearchOptions,
): boolean {
  const { annotations = {} } = descriptor;
  if (guess === 'cosign') return options.keys.length > 0;
  if (guess === 'bundle') {
    const purpose = annotations[SIGNATURE_ANNOTATIONS.bundlePurpose];
    const mayCount = options.keys.length > 0 || options.isKeyless === true;
    return mayCount && (purpose === undefined || options.purposes.includes(purpose));
  }
  const thumbprints = annotations[SIGNATURE_ANNOTATIONS.thumbprints];
  return (
    options.roots.length > 0 &&
    (thumbprints === undefined || options.roots.some(({ thumbprint }) => thumbprints.includes(thumbprint)))
  );
}

/** The first `most` elements of groups, the groups kept. */
function limit<T>(groups: readonly (readonly T[])[], most: number): T[][] {
  let left = most;
  return groups.map((group) => {
    const taken = group.slice(0, left);
    left -= taken.length;
    return taken;
  });
}
