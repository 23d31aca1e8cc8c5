import { basename } from 'node:path';
import { BullaError } from '../../../errors.ts';
import type { Digest } from '../../../oci/digest.ts';
import { parsePlatform } from '../../../oci/platform.ts';
import { formatReference, formatRepository, type Reference } from '../../../oci/reference.ts';
import { readCollection } from '../../../trust/read/collection.ts';
import { findName } from '../../../trust/read/names.ts';
import { copyNamed, tagAt } from '../../copying.ts';
import { openCollection } from '../../flags/collection-flags.ts';
import { nameWishOf } from '../../flags/sign-flags.ts';
import { signOnArrival } from '../../flags/sign-ports.ts';
import { namedJson } from '../../render/sign-text.ts';
import type { Context, Image } from '../../shell/context.ts';
import type { CopyCommandFlags } from '../copy.ts';

/**
 * What `bulla copy --as` does (spec/trust-copying.md, "Signing what was copied"): the image is copied, and
 * its name is signed in the destination's own collection.
 * @throws BullaError usage, not-found where the destination has no collection; those of copying and of signing names
 */
export async function copyAs(
  context: Context,
  text: string,
  image: Image,
  destination: Reference,
  flags: CopyCommandFlags,
): Promise<void> {
  const tag = tagAt(destination, image.reference);
  if (tag === undefined) {
    throw new BullaError('usage', `${formatReference(destination)} has no tag, and --as signs a name`, {
      hint: 'add the tag that is to be signed there',
    });
  }
  const wish = { name: { ...nameWishOf(flags), isRequired: true } };
  const signing = await signOnArrival(context, { ...destination, tag }, wish, flags, 'to');
  const signed = await signedAt(context, text, image);
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  await copyNamed(context, signed === undefined ? image : { ...image, version: signed }, destination, {
    side: 'to',
    platform,
    referrers: flags.referrers,
    dryRun: flags.dryRun,
    collection: false,
    alsoJson: () => ({ named: namedJson(signing.signed?.named) }),
    beforeTag: (content) =>
      signing.sign({ tag, content }, originOf(image.reference, content.descriptor.digest)),
  });
}

/** Nothing else but --as signs anything. @throws BullaError usage */
export function refuseNaming(flags: CopyCommandFlags): void {
  const { key, signer, at, collection, root, rootKeyId, rootCa, tofu, wait, trustServedHead } = flags;
  const given = [key, signer, at, collection, root, rootKeyId, rootCa, tofu, wait, trustServedHead];
  if (given.every((flag) => flag === undefined) && flags.proof) return;
  throw new BullaError('usage', 'flags for signing a name are given, and none is signed', {
    hint: 'bulla copy signs a name only with --as',
  });
}

/**
 * What the source's own collection says, where one is pinned or was seen: a name is not signed anew for
 * whatever its tag points to by now.
 */
async function signedAt(context: Context, text: string, { reference }: Image): Promise<Digest | undefined> {
  const { tag, digest } = reference;
  if (tag === undefined) return undefined;
  const { place, target, read, pin } = await openCollection(context, reference, {}, { side: 'from' });
  const isKnown = pin !== undefined || (await read.memory.seen(place)) !== undefined;
  const collection = isKnown ? await readCollection(target, { ...read, isDemanded: true }) : undefined;
  if (collection === undefined) {
    context.output.warn(`${text} was not verified: nothing is pinned or known of a collection there`);
    return undefined;
  }
  const found = await findName(collection, tag);
  if (digest !== undefined && digest !== found.digest) {
    throw new BullaError('digest-mismatch', `${text}: ${tag} is signed there for ${found.digest}`, {
      hint: 'leave the digest out to take what is signed now',
      details: { expected: digest, found: found.digest },
    });
  }
  return found.digest;
}

/** As evidence for people. The log is public: of a layout it tells the name, and not where it lies. */
function originOf(reference: Reference, digest: Digest): string {
  const where =
    reference.kind === 'registry'
      ? formatRepository(reference)
      : formatRepository({ ...reference, path: basename(reference.path) });
  return `${where}${reference.tag === undefined ? '' : `:${reference.tag}`}@${digest}`;
}
