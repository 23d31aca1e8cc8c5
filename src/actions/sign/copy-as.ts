import { BullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import { formatReference, formatRepository, type Reference } from '../../oci/reference.ts';
import { readCollection } from '../../trust/read/collection.ts';
import { findName } from '../../trust/read/names.ts';
import { type CopiedImage, type CopyImageOptions, copyImage, tagAt } from '../copy/image.ts';
import type { OpenedCollection } from '../verify/collection.ts';
import { type NameWish, prepareToSign, type Signed, type SignPorts, signSubjects } from './sign.ts';

export interface CopyAsOptions extends CopyImageOptions {
  /** The collection of the source. */
  readonly openFrom: () => Promise<OpenedCollection>;
  /** What names are signed with, in the repository that the image is copied to. */
  readonly signing: SignPorts;
  readonly name: NameWish;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** An image that was copied, and its name, signed in the destination's own collection. */
export interface CopiedAs extends CopiedImage {
  /** Undefined on a dry run. */
  readonly named: Signed['named'];
}

/**
 * Copies an image and signs its name in the destination's own collection, with the origin as evidence
 * (spec/trust-copying.md, "Signing what was copied"). Where a collection of the source is pinned or known, the digest
 * that it signs is copied, whatever its tag points to by now.
 * @throws BullaError usage without a tag; not-found where the destination has no collection; those of copying and of
 *   signing names
 */
export async function copyAs(options: CopyAsOptions): Promise<CopiedAs> {
  const { from, to, signing, onWarning } = options;
  const tag = tagAt(to, from.reference);
  if (tag === undefined)
    throw new BullaError('usage', `${formatReference(to)} has no tag, and --as signs a name`, {
      hint: 'add the tag that is to be signed there',
    });
  const wish = { name: { ...options.name, isRequired: true } };
  const prepared = await prepareToSign([{ ...to, tag }], wish, signing);
  const signed = await signedAt(from.reference, options.openFrom, onWarning);
  let named: Signed['named'];
  const copied = await copyImage({
    ...options,
    from: signed === undefined ? from : { ...from, version: signed },
    collection: false,
    beforeTag: async (content) => {
      await options.beforeTag?.(content);
      const origin = originOf(from.reference, content.descriptor.digest);
      const name = { ...wish.name, origin };
      ({ named } = await signSubjects([{ tag, content }], prepared, { name }, signing));
    },
  });
  return { ...copied, named };
}

/** The digest that the source's own collection signs, where one is pinned or was seen. */
async function signedAt(
  reference: Reference,
  openFrom: CopyAsOptions['openFrom'],
  onWarning: CopyAsOptions['onWarning'],
): Promise<Digest | undefined> {
  const { tag, digest } = reference;
  if (tag === undefined) return undefined;
  const { place, target, read, pin } = await openFrom();
  const isKnown = pin !== undefined || (await read.memory.seen(place)) !== undefined;
  const collection = isKnown ? await readCollection(target, { ...read, isDemanded: true }) : undefined;
  const text = formatReference(reference);
  if (collection === undefined) {
    onWarning?.(`${text} was not verified: no collection is pinned or known there`);
    return undefined;
  }
  const found = await findName(collection, tag);
  if (digest !== undefined && digest !== found.digest)
    throw new BullaError('digest-mismatch', `${text}: ${tag} is signed there for ${found.digest}`, {
      hint: 'leave the digest out to take what is signed now',
      details: { expected: digest, found: found.digest },
    });
  return found.digest;
}

/** As evidence for people. The log is public: of a layout it tells the name, and not where it lies. */
function originOf(reference: Reference, digest: Digest): string {
  const where =
    reference.kind === 'registry'
      ? formatRepository(reference)
      : formatRepository({ ...reference, path: reference.path.split('/').filter(Boolean).at(-1) ?? '.' });
  return `${where}${reference.tag === undefined ? '' : `:${reference.tag}`}@${digest}`;
}
