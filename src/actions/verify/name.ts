import type { StatusPort } from '../../crypto/certificate-status.ts';
import { decorated } from '../../oci/decorated.ts';
import type { Digest } from '../../oci/digest.ts';
import { fetchIfThere } from '../../oci/if-there.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import type { PlatformSelector } from '../../oci/platform.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions, Source } from '../../oci/target.ts';
import type { AcceptedEvidence } from '../../policy/decision.ts';
import type { Requirements } from '../../policy/requirements.ts';
import type { Refusal } from '../../signatures/evidence.ts';
import type { ObjectSource } from '../../trust/format/object.ts';
import { type Collection, type ReadOptions, readCollection } from '../../trust/read/collection.ts';
import { findName, type NameQuestion, type SignedName } from '../../trust/read/names.ts';
import {
  type Drift,
  type DriftRule,
  driftFrom,
  isThereToRun,
  namedImage,
  otherDigest,
  type RunnableImage,
  whatIsThere,
} from './drift.ts';

/** Where and how the collection is read. */
export interface NameTrust {
  readonly source: ObjectSource;
  readonly read: ReadOptions;
  /** Reads it, where several names share one reading; {@link readCollection} if left out. */
  readonly open?: typeof readCollection | undefined;
}

export interface VerifyNameOptions extends CallOptions {
  /** The reference as the user wrote it, for messages. */
  readonly name: string;
  readonly tag: Tag;
  /** Digest that the name must have. */
  readonly digest?: Digest | undefined;
  readonly question: NameQuestion;
  readonly drift: DriftRule;
  /** What detached signatures there must be as well; none are looked for where it is left out. */
  readonly required?: Requirements | undefined;
  /** Asks about the revocation of certificates, where that is demanded. */
  readonly status?: StatusPort | undefined;
  readonly platform?: PlatformSelector | undefined;
  readonly eachPlatform?: boolean | undefined;
}

/** A name whose digest is signed, with the detached signatures that were demanded. */
export interface VerifiedName {
  readonly collection: Collection;
  readonly named: SignedName;
  /** What may be run. */
  readonly image: RunnableImage;
  /** What the detached signatures are on; `name` where none were demanded. */
  readonly signed: 'name' | 'image' | 'index' | 'platforms';
  readonly evidence: readonly AcceptedEvidence[];
  readonly refusals: readonly Refusal[];
  readonly drift?: Drift | undefined;
  /** Whether the registry has the image; undefined where it was not asked, or could not be. It never lacks it. */
  readonly isThere: true | undefined;
}

/**
 * Verifies a name: the collection is refreshed and the digest of the name is looked up, while the
 * registry is asked where its tag points (spec/trust-names.md, "Verification"). The answer is what was
 * signed, whatever the tag says, and that the registry has it: where the tag does not lead to it, it is asked for.
 * @returns undefined where there is no collection, and none was pinned, demanded or seen
 * @throws BullaError trust-…, name-not-signed, image-missing, digest-mismatch (another digest was given or signed, or with
 *   `reject` the tag was moved), those of verifyImage; what the sources throw
 */
export async function verifyName(
  source: Source,
  trust: NameTrust,
  options: VerifyNameOptions,
): Promise<VerifiedName | undefined> {
  const { signal, tag, digest, drift: rule } = options;
  const served = rule === 'ignore' ? undefined : fetchIfThere(source, tag, { signal });
  // Where the name is not signed, a failure here is of no interest.
  served?.catch(() => undefined);
  const { source: from, read, open = readCollection } = trust;
  const collection = await open(from, { ...read, signal });
  if (collection === undefined) return undefined;
  const named = await findName(collection, tag, options.question);
  if (digest !== undefined && digest !== named.digest) throw otherDigest(options, named);
  const drift = served && (await driftFrom(served, named, rule, options));
  const content = drift?.content;
  const images = content === undefined ? source : holding(source, content);
  const found = await signaturesOn(images, named, content, options);
  const isThere = await isThereToRun(images, { named, content, found, drift: drift?.drift }, options);
  return { collection, named, ...found, isThere, ...(drift?.drift !== undefined && { drift: drift.drift }) };
}

async function signaturesOn(
  source: Source,
  named: SignedName,
  content: ManifestContent | undefined,
  options: VerifyNameOptions,
): Promise<Pick<VerifiedName, 'image' | 'signed' | 'evidence' | 'refusals'>> {
  const { required, status, name, platform, eachPlatform, signal } = options;
  const { digest } = named;
  if (required !== undefined) {
    // Most of what is loaded by it is not needed for a name alone.
    const { verifyImage } = await import('./image.ts');
    return await whatIsThere(named, options, () =>
      verifyImage(source, { digest }, { name, required, status, platform, eachPlatform, signal }),
    );
  }
  const image = await namedImage(source, named, content, options);
  return { image, signed: 'name', evidence: [], refusals: [] };
}

/** The source, with a manifest that need not be fetched again. */
function holding(source: Source, content: ManifestContent): Source {
  const fetchManifest: Source['fetchManifest'] = async (reference, options) =>
    reference === content.descriptor.digest ? content : source.fetchManifest(reference, options);
  return decorated(source, { fetchManifest });
}
