import { BullaError, isBullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import { resolveIfThere } from '../../oci/if-there.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions, Source } from '../../oci/target.ts';
import { HEAD_TAG, TRUST_TYPES } from '../../trust/format/vocabulary.ts';
import type { Collection, ReadOptions } from '../../trust/read/collection.ts';
import { createdOf } from '../../trust/read/freshness.ts';
import { findName, type NameQuestion, type SignedName } from '../../trust/read/names.ts';
import { namesProven, openProof } from '../../trust/transfer/proof.ts';

/** Most proofs of one image that are looked at. */
const MAX_PROOFS = 64;

/** The image that proofs are looked for beside. */
export interface ProvenImage {
  /** The reference as it was written, for messages. */
  readonly text: string;
  readonly source: Source;
  readonly tag: Tag | undefined;
  readonly digest: Digest | undefined;
}

/** Proofs that lie beside an image, and its digest. */
export interface FoundProofs {
  readonly digest: Digest;
  readonly proofs: readonly Digest[];
}

/**
 * Looks for proofs beside an image in a layout or an archive that has no head (spec/trust-copying.md, "Proofs").
 * @returns undefined where there is a head, or no proof, and a tag to be looked up otherwise
 * @throws BullaError usage where only a proof could say the name and there is none; image-missing; what the source throws
 */
export async function findProofs(
  { text, source, tag, digest: given }: ProvenImage,
  options: CallOptions,
): Promise<FoundProofs | undefined> {
  const hasHead = (await resolveIfThere(source, HEAD_TAG, options)) !== undefined;
  const digest = hasHead ? undefined : (given ?? (tag && (await source.resolve(tag, options)).digest));
  const listed =
    digest === undefined
      ? []
      : await source.listReferrers(digest, { ...options, artifactType: TRUST_TYPES.proof });
  if (digest === undefined || listed.length === 0) {
    if (tag !== undefined) return undefined;
    throw noName(text);
  }
  if ((await resolveIfThere(source, digest, options)) === undefined)
    throw new BullaError('image-missing', `${text}: a proof of ${digest} is here, and the image is not`, {
      hint: 'it was copied only partly: copy it again from its origin: bulla copy',
      details: { expected: digest, missing: digest },
    });
  return { digest, proofs: listed.slice(0, MAX_PROOFS).map(({ digest: proof }) => proof) };
}

/** Without a head and a tag, only a proof could say what the image is called. */
export function noName(text: string): BullaError {
  return new BullaError('usage', `${text} has no tag, and no proof beside it names it`, {
    hint: 'give the tag as well; or leave out --max-staleness and the flags about names to verify signatures alone',
  });
}

/**
 * Verifies a name by the newest of the proofs that were found.
 * @throws BullaError as openProof and findName; digest-mismatch where the name is signed for another image
 */
export async function verifyProofs(
  { text, source, tag }: ProvenImage,
  { digest, proofs }: FoundProofs,
  question: NameQuestion,
  read: ReadOptions,
): Promise<{ readonly collection: Collection; readonly named: SignedName }> {
  const collection = await newestOf(source, proofs, digest, read);
  return { collection, named: await nameIn(collection, tag, digest, question, text) };
}

/** The proof of the latest state; one that does not verify does not keep others from counting. */
async function newestOf(
  source: Source,
  proofs: readonly Digest[],
  subject: Digest,
  read: ReadOptions,
): Promise<Collection> {
  let newest: Collection | undefined;
  let failure: unknown;
  for (const proof of proofs) {
    try {
      const collection = await openProof(source, await source.fetchManifest(proof, read), subject, read);
      if (newest === undefined || createdOf(collection.client) > createdOf(newest.client))
        newest = collection;
    } catch (error) {
      if (!isBullaError(error) || isBullaError(error, 'interrupted', 'timeout')) throw error;
      failure ??= error;
    }
  }
  if (newest === undefined) throw failure;
  return newest;
}

/** The signed name: the tag that was asked for, or whatever the proof names the image. */
async function nameIn(
  collection: Collection,
  tag: Tag | undefined,
  digest: Digest,
  question: NameQuestion,
  text: string,
): Promise<SignedName> {
  const asked = tag === undefined ? await namesProven(collection, digest) : [tag];
  let mismatch: SignedName | undefined;
  for (const name of asked) {
    const named = await findName(collection, name, question);
    if (named.digest === digest) return named;
    mismatch ??= named;
  }
  throw new BullaError(
    'digest-mismatch',
    mismatch === undefined
      ? `${text}: the proof names no image of this digest`
      : `${text}: ${mismatch.tag} is signed for ${mismatch.digest}, and ${digest} is here`,
    {
      hint: 'the tag was given to another image when this was copied, or the proof was put beside the wrong image',
      details: { expected: digest, found: mismatch?.digest ?? null },
    },
  );
}
