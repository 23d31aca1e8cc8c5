import { verifyImage } from '../actions/verify/image.ts';
import type { VerifiedName } from '../actions/verify/name.ts';
import { BullaError, isBullaError } from '../errors.ts';
import type { Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';
import type { CallOptions, Source } from '../oci/target.ts';
import { HEAD_TAG, TRUST_TYPES } from '../trust/format/vocabulary.ts';
import { type Collection, createdOf, type ReadOptions } from '../trust/read/collection.ts';
import { findName, type NameQuestion, type SignedName } from '../trust/read/names.ts';
import { namesProven, openProof } from '../trust/transfer/proof.ts';
import { openCollection } from './flags/collection-flags.ts';
import type { NameFlags } from './flags/name-flags.ts';
import { asksForSignatures, requirementsOf, type TrustFlags } from './flags/signature-flags.ts';
import type { Context, Image } from './shell/context.ts';
import { tellName } from './verifying-name.ts';

/** Most proofs of one image that are looked at. */
const MAX_PROOFS = 64;

/**
 * Verifies an image by a proof that lies beside it (spec/trust-copying.md, "Proofs"): in a layout or an archive
 * that has no head, by somebody who opens no socket and has said how stale an answer may be.
 * @returns undefined where that is not so, or where no proof is there, and there is a tag to be looked up otherwise
 * @throws BullaError as openProof and findName; digest-mismatch where the name stands for another image
 */
export async function verifyByProof(
  context: Context,
  text: string,
  { reference, source }: Image,
  flags: TrustFlags & NameFlags,
): Promise<VerifiedName | undefined> {
  const { signal } = context;
  const { tag } = reference;
  const digest =
    reference.kind === 'registry' || (await isThere(source, HEAD_TAG, { signal }))
      ? undefined
      : (reference.digest ?? (tag && (await source.resolve(tag, { signal })).digest));
  const listed =
    digest === undefined
      ? []
      : await source.listReferrers(digest, { artifactType: TRUST_TYPES.proof, signal });
  if (digest === undefined || listed.length === 0) {
    if (tag !== undefined) return undefined;
    throw noName(text);
  }
  if (!(await isThere(source, digest, { signal })))
    throw new BullaError('image-missing', `${text}: a proof of ${digest} is here, and the image is not`, {
      hint: 'only a part of it was copied: copy it from where it was signed: bulla copy',
      details: { expected: digest, missing: digest },
    });
  const { read } = await openCollection(context, reference, flags);
  const proofs = listed.slice(0, MAX_PROOFS).map(({ digest: proof }) => proof);
  const collection = await newestOf(source, proofs, digest, read);
  const question = { signers: flags.signer, anySigner: flags.anySigner };
  const named = await nameIn(collection, tag, digest, question, text);
  const required = asksForSignatures(flags) ? await requirementsOf(context, flags) : undefined;
  const found =
    required === undefined
      ? { image: { digest, size: named.length }, signed: 'name' as const, evidence: [], refusals: [] }
      : await verifyImage(source, { digest }, { name: text, required, signal });
  const verified = { collection, named, ...found, isThere: true as const };
  context.output.info(`the head is not here: ${text} is verified by the proof that lies beside it`);
  tellName(context, verified);
  return verified;
}

/** Who asks for a name gets no answer about detached signatures alone. */
function noName(text: string): BullaError {
  return new BullaError('usage', `${text} has no tag, and no proof beside it says what it is called`, {
    hint: 'give the tag as well, or leave --max-staleness and what asks for a name out to look at signatures alone',
  });
}

/** The proof of the latest state; one that does not verify is no reason to do without another. */
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

/** What the image is called: by the tag that was asked for, or by whatever the proof names it. */
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

async function isThere(source: Source, tag: Tag | Digest, options: CallOptions): Promise<boolean> {
  try {
    await source.resolve(tag, options);
    return true;
  } catch (error) {
    if (isBullaError(error, 'not-found')) return false;
    throw error;
  }
}
