import type { StatusPort } from '../../crypto/certificate-status.ts';
import { BullaError, throwIfAborted } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { type IndexManifest, type ManifestContent, parseCarried } from '../../oci/manifest.ts';
import {
  formatPlatform,
  type PlatformSelector,
  platformEntries,
  runnableEntries,
  selectPlatform,
} from '../../oci/platform.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions, ManifestFetcher, Source } from '../../oci/target.ts';
import { type AcceptedEvidence, type Decision, decider } from '../../policy/decision.ts';
import { revocableChains } from '../../policy/judgement.ts';
import { everyRequirement, type Requirements } from '../../policy/requirements.ts';
import type { Evidence, Refusal } from '../../signatures/evidence.ts';
import { entryName, fetchEntries } from './missing-images.ts';
import { type Completed, isCandidate, type ListedReferrers, searchSignatures } from './signature-search.ts';

/** An image given by tag, by digest, or by both, which must agree then. */
export interface ImageName {
  readonly tag?: Tag | undefined;
  readonly digest?: Digest | undefined;
}

export interface VerifyOptions extends CallOptions {
  /** The reference as the user wrote it, for messages. */
  readonly name: string;
  readonly required: Requirements;
  /** Asks about the revocation of certificates, where that is demanded. */
  readonly status?: StatusPort | undefined;
  /** Of an index: verify what it has for this platform. A signed index covers all its entries. */
  readonly platform?: PlatformSelector | undefined;
  /** Also accept an index that is not signed itself where every platform's image is. */
  readonly eachPlatform?: boolean | undefined;
}

/** An image whose signatures satisfy the requirements. */
export interface VerifiedImage {
  /** What may be run: the image, or the platform's image that was asked for. */
  readonly image: Descriptor;
  /** What the signatures that count are on: the image itself, its index, or each platform's image. */
  readonly signed: 'image' | 'index' | 'platforms';
  readonly evidence: readonly AcceptedEvidence[];
  /** Signatures that were looked at and do not count. */
  readonly refusals: readonly Refusal[];
}

/**
 * Verifies an image's detached signatures (spec/signatures.md, "Verification"). The tag is resolved
 * once, by the one GET that also brings the manifest.
 * @throws BullaError not-found, digest-mismatch (tag and digest disagree); the code of the decision;
 *   registry-… where something could not be read that would have been needed
 */
export async function verifyImage(
  source: Source,
  reference: ImageName,
  options: VerifyOptions,
): Promise<VerifiedImage> {
  const { content, listed } = await fetchImage(source, reference, options);
  const manifest = parseCarried(content);
  const decision = await decideOn(source, content.descriptor, options.name, options, listed);
  if (options.platform === undefined && options.eachPlatform !== true) {
    if (!decision.accepted && decision.error.code === 'unsigned' && manifest.kind === 'index')
      throw await pointToPlatforms(source, manifest, decision.error, options);
    return accepted(content.descriptor, 'image', decision);
  }
  if (manifest.kind !== 'index') return accepted(content.descriptor, 'image', decision);
  return options.platform === undefined
    ? verifyEachPlatform(source, content.descriptor, manifest, decision, options)
    : verifyPlatform(source, content.descriptor, manifest, decision, options.platform, options);
}

interface FetchedImage {
  readonly content: ManifestContent;
  readonly listed?: ListedReferrers;
}

/** With a digest, the referrers are asked for at once; a tag must be resolved first. */
async function fetchImage(
  source: Source,
  { tag, digest }: ImageName,
  { name, signal }: VerifyOptions,
): Promise<FetchedImage> {
  if (tag === undefined && digest !== undefined) {
    let cut: BullaError | undefined;
    const [content, listed] = await Promise.all([
      source.fetchManifest(digest, { signal }),
      source.listReferrers(digest, { signal, keep: isCandidate, onCut: (reason) => (cut ??= reason) }),
    ]);
    return { content, listed: { entries: listed, cut } };
  }
  return { content: await fetchByTag(source, tag, digest, name, { signal }) };
}

/**
 * The manifest at a tag.
 * @param expected digest that must be found there
 * @throws BullaError usage without a tag; not-found; digest-mismatch
 */
export async function fetchByTag(
  source: ManifestFetcher,
  tag: Tag | undefined,
  expected: Digest | undefined,
  name: string,
  options: CallOptions,
): Promise<ManifestContent> {
  if (tag === undefined) {
    throw new BullaError('usage', `${name} names no image`, {
      hint: 'add :tag or @sha256:… to the reference',
    });
  }
  const content = await source.fetchManifest(tag, options);
  const found = content.descriptor.digest;
  if (expected === undefined || found === expected) return content;
  throw new BullaError(
    'digest-mismatch',
    `${name}: expected ${expected} at the tag ${tag} and found ${found}`,
    {
      hint: 'the tag was moved; leave it out to use the digest, or find out who moved it',
      details: { expected, found },
    },
  );
}

async function decideOn(
  source: Source,
  image: Descriptor,
  name: string,
  options: VerifyOptions,
  listed?: ListedReferrers,
): Promise<Decision> {
  const { required, signal, status } = options;
  const decide = decider(name, required);
  const every = everyRequirement(required);
  const found = await searchSignatures(source, image, {
    signal,
    keys: every.flatMap(({ keys }) => keys),
    roots: every.flatMap(({ roots }) => roots),
    isKeyless: every.some(({ keyless }) => keyless !== undefined),
    purposes: every.flatMap(({ purposes }) => purposes),
    ...(listed !== undefined && { listed }),
    ...(every.some(({ revocation }) => revocation !== undefined) &&
      status !== undefined && { complete: (evidence) => withStatus(evidence, every, status, signal) }),
    enough: (findings) => decide(findings).accepted,
  });
  return decide(found);
}

/** Asks about the certificates of a signature that counts otherwise. */
async function withStatus(
  evidence: Evidence,
  every: readonly Requirements[],
  status: StatusPort,
  signal: AbortSignal | undefined,
): Promise<Completed> {
  const demanding = every
    .map((one) => ({ one, chains: revocableChains(evidence, one) }))
    .filter(({ chains }) => chains.length > 0);
  const privateHosts = demanding.flatMap(({ one }) => one.revocation?.privateHosts ?? []);
  const chains = new Set(demanding.flatMap(({ chains }) => chains));
  if (chains.size === 0) return { evidence };
  const asked = await Promise.all([...chains].map((chain) => status.statusOf(chain, privateHosts, signal)));
  const revocation = asked.flat();
  const isEnforced = demanding.some(({ one }) => one.revocation?.mode === 'enforce');
  const silent = revocation.flatMap(({ outcome }) => (outcome.kind === 'unavailable' ? [outcome.error] : []));
  // Where a status is missing, nothing is known: that is not the same as a signature that does not count.
  const failure = silent.find(({ code }) => code !== 'certificate-invalid');
  return { evidence: { ...evidence, revocation }, failure: isEnforced ? failure : undefined };
}

function accepted(image: Descriptor, signed: VerifiedImage['signed'], decision: Decision): VerifiedImage {
  if (!decision.accepted) throw decision.error;
  return { image, signed, evidence: decision.evidence, refusals: decision.refusals };
}

/** The image of one platform: by the index, which binds it, or by signatures of its own. */
async function verifyPlatform(
  source: Source,
  image: Descriptor,
  index: IndexManifest,
  decision: Decision,
  platform: PlatformSelector,
  options: VerifyOptions,
): Promise<VerifiedImage> {
  const entry = selectPlatform(platform, platformEntries(index), options.name);
  const { content, decision: own } = await decideOnEntry(
    source,
    image.digest,
    entry,
    formatPlatform(platform),
    decision,
    options,
  );
  return accepted(content, decision.accepted ? 'index' : 'image', own);
}

/** An index that is signed, or each of its platforms' images. */
async function verifyEachPlatform(
  source: Source,
  image: Descriptor,
  index: IndexManifest,
  decision: Decision,
  options: VerifyOptions,
): Promise<VerifiedImage> {
  const entries = runnableEntries(index);
  if (decision.accepted || entries.length === 0) return accepted(image, 'image', decision);
  const evidence: AcceptedEvidence[] = [];
  const refusals: Refusal[] = [...decision.refusals];
  for (const entry of entries) {
    const platform = entryName(entry);
    const { decision: own } = await decideOnEntry(source, image.digest, entry, platform, decision, options);
    if (!own.accepted) throw own.error;
    evidence.push(...own.evidence);
    refusals.push(...own.refusals);
  }
  return { image, signed: 'platforms', evidence, refusals };
}

/** How many platforms are looked at for the sake of a hint. */
const MAX_HINTED = 8;

/**
 * What to say of an index without a signature: tools that build each platform on its own sign only those. Then the
 * hint names them, and the flag. The outcome stays what it is, whatever is found or cannot be asked.
 */
async function pointToPlatforms(
  source: Source,
  index: IndexManifest,
  error: BullaError,
  options: VerifyOptions,
): Promise<BullaError> {
  const entries = runnableEntries(index)
    .filter(({ platform }) => platform !== undefined)
    .slice(0, MAX_HINTED);
  const looked = await Promise.allSettled(
    entries.map(async (entry) => {
      const { accepted } = await decideOn(source, entry, options.name, options);
      return accepted && entry.platform !== undefined ? formatPlatform(entry.platform) : undefined;
    }),
  );
  throwIfAborted(options.signal);
  const signed = looked.flatMap((each) => (each.status === 'fulfilled' ? (each.value ?? []) : []));
  const [first] = signed;
  if (first === undefined) return error;
  return new BullaError(error.code, error.message, {
    hint: `the index is not signed, and images in it are: ${signed.join(', ')}; verify one with --platform ${first}, or all with --each-platform`,
    details: { ...error.details, signedPlatforms: signed },
  });
}

const copyTheRest = (): string =>
  'only a part of the index was copied here: copy it from its origin: bulla copy ORIGIN:TAG HERE:TAG';

/** Decides on an entry of an index; what is said against it also says what was found on the index. */
async function decideOnEntry(
  source: Source,
  index: Digest,
  entry: Descriptor,
  platform: string,
  ofIndex: Decision,
  options: VerifyOptions,
): Promise<{ readonly content: Descriptor; readonly decision: Decision }> {
  const [fetched] = await fetchEntries(source, index, [entry], copyTheRest, options);
  const { descriptor } = fetched as ManifestContent;
  if (ofIndex.accepted) return { content: descriptor, decision: ofIndex };
  const own = await decideOn(source, descriptor, `${options.name} (${platform})`, options);
  if (own.accepted) return { content: descriptor, decision: own };
  const { code, message, hint, details } = own.error;
  const error = new BullaError(code, `${message}. Of the index: ${ofIndex.error.message}`, {
    ...(hint !== undefined && { hint }),
    cause: ofIndex.error,
    details: { ...details, index: ofIndex.error.details },
  });
  return { content: descriptor, decision: { ...own, error } };
}
