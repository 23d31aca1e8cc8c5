import type { Certificate } from '../../crypto/certificate.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { isBullaError, throwIfAborted } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import type { CallOptions, Source } from '../../oci/target.ts';
import { type ArtifactKind, guessArtifact } from '../../signatures/artifact.ts';
import { type Evidence, examineEnvelope } from '../../signatures/evidence.ts';
import { EXPIRY_ANNOTATION, SIGNATURE_ANNOTATIONS } from '../../signatures/formats.ts';
import { LargeEnvelopes, openSignature } from '../verify/signature-reading.ts';
import { MAX_EXAMINED, SMALL_BYTES } from '../verify/signature-search.ts';

/** What a new signature would be. */
export interface IntendedSignature {
  readonly kind: ArtifactKind;
  readonly key: PublicKey;
  /** Its certificates, leaf first; none for a bare key. */
  readonly chain: readonly Certificate[];
  readonly purpose: string;
  readonly annotations: ReadonlyMap<string, string>;
  readonly expiry: Date | undefined;
  /** A time-stamp authority countersigns it; an existing one must have such a stamp as well. */
  readonly isStamped: boolean;
}

/** Signatures that are looked at, at the same time. */
const BATCH = 8;

/**
 * Signatures that images have already, so that the same one is not made again. What is listed is asked for while keys
 * are opened, and each signature is verified with the signer's own key before it counts.
 */
export class ExistingSignatures {
  private readonly target: Source;
  private readonly options: CallOptions;
  private readonly listed = new Map<Digest, Promise<readonly Descriptor[]>>();

  /** How many large attestations are still looked at; beyond them, a new one is made. */
  private largeLeft = 8;
  private readonly large = new LargeEnvelopes(() => this.largeLeft-- <= 0);

  constructor(target: Source, options: CallOptions) {
    this.target = target;
    this.options = options;
  }

  /** Asks for the list of an image's signatures, for {@link find}. */
  expect(image: Digest): void {
    this.list(image).catch(() => undefined);
  }

  /**
   * The signature of an image that makes a new one needless: by the same key and certificates, of the same kind and
   * purpose, with the same annotations, and with at least a third of the life that a new one would have.
   * @returns its manifest; undefined where there is none, or the list cannot be read: then a new one is made
   */
  async find(image: Descriptor, intended: IntendedSignature, now: Date): Promise<Digest | undefined> {
    const { signal } = this.options;
    try {
      const likely = (await this.list(image.digest)).filter((one) => mayBe(one, intended));
      // The newest are the likeliest, and registries list them last.
      const candidates = likely.reverse().slice(0, MAX_EXAMINED);
      for (let at = 0; at < candidates.length; at += BATCH) {
        const found = await Promise.all(
          candidates.slice(at, at + BATCH).map((one) => this.matches(one.digest, image, intended, now)),
        );
        const equal = found.find((digest) => digest !== undefined);
        if (equal !== undefined) return equal;
      }
      return undefined;
    } catch (error) {
      throwIfAborted(signal);
      // Signing goes on: if this is about the registry, pushing the signature reports it.
      if (isBullaError(error)) return undefined;
      throw error;
    }
  }

  private list(image: Digest): Promise<readonly Descriptor[]> {
    const listed =
      this.listed.get(image) ??
      this.target.listReferrers(image, { ...this.options, keep: (one) => guessArtifact(one) !== 'other' });
    this.listed.set(image, listed);
    return listed;
  }

  private async matches(
    manifest: Digest,
    image: Descriptor,
    intended: IntendedSignature,
    now: Date,
  ): Promise<Digest | undefined> {
    for (const { envelope } of await openSignature(this.target, manifest, image.digest, {
      ...this.options,
      large: this.large,
    })) {
      if (envelope === undefined) continue;
      const finding = await examineEnvelope(envelope, manifest, image, [intended.key]);
      if (finding.outcome === 'verified' && isEqual(finding.evidence, intended, now)) return manifest;
    }
    return undefined;
  }
}

/** Hearsay, which spares requests: whether a listed manifest can be such a signature. */
function mayBe(
  { size, annotations = {}, ...listed }: Descriptor,
  { kind, purpose }: IntendedSignature,
): boolean {
  if (size > SMALL_BYTES) return false;
  const guess = guessArtifact({ size, annotations, ...listed });
  if (kind !== 'sigstore-bundle') return guess === 'notation' || guess === 'unknown';
  const said = annotations[SIGNATURE_ANNOTATIONS.bundlePurpose];
  return (guess === 'bundle' || guess === 'unknown') && (said === undefined || said === purpose);
}

function isEqual(evidence: Evidence, intended: IntendedSignature, now: Date): boolean {
  const { kind, key, certificates, bundle, predicate, purpose, annotations } = evidence;
  const signed = [...annotations].filter(([name]) => name !== EXPIRY_ANNOTATION);
  return (
    kind === intended.kind &&
    key.fingerprint === intended.key.fingerprint &&
    bundle === undefined &&
    predicate === undefined &&
    purpose === intended.purpose &&
    certificates.map(({ thumbprint }) => thumbprint).join() ===
      intended.chain.map(({ thumbprint }) => thumbprint).join() &&
    (!intended.isStamped || evidence.timeStamp !== undefined) &&
    signed.length === intended.annotations.size &&
    signed.every(([name, value]) => intended.annotations.get(name) === value) &&
    livesLongEnough(evidence.expiry, intended.expiry, now)
  );
}

/** Part of a life of which less is left when it is renewed. */
const RENEWED_BELOW = 1 / 3;

/**
 * Whether what expires then need not be made again yet: it has at least a third of the life that a new one would have.
 * What never expires is not the same as what does.
 */
export function livesLongEnough(expiry: Date | undefined, intended: Date | undefined, now: Date): boolean {
  if (expiry === undefined || intended === undefined) return expiry === intended;
  const life = intended.getTime() - now.getTime();
  return expiry > now && expiry.getTime() - now.getTime() >= life * RENEWED_BELOW;
}
