import type { Signer } from '../../crypto/signer.ts';
import { BullaError, isBullaError, messageOf, throwIfAborted } from '../../errors.ts';
import { bareDescriptor, type Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import { pushBlobs } from '../../oci/push-blobs.ts';
import { formatReference, formatRepository, type Reference, type Tag } from '../../oci/reference.ts';
import type { CallOptions, Target } from '../../oci/target.ts';
import type { NamedContent } from '../../trust/format/log.ts';
import { namedContentOf } from '../../trust/format/named-content.ts';
import { isReservedTag } from '../../trust/format/vocabulary.ts';
import type { Collection } from '../../trust/read/collection.ts';
import { ExistingSignatures } from './existing.ts';
import { inParallel } from './in-parallel.ts';
import { openEarly } from './keys-at-hand.ts';
import type { Naming, NamingPlace } from './names.ts';
import {
  checkSignature,
  fetchToSign,
  platformsToSign,
  type SignatureWish,
  type SignedImage,
  signManifest,
} from './signature.ts';

/** An image that is to be signed: all images of one call are of one repository. */
export interface ImageToSign {
  /** The reference as it was written, for messages. */
  readonly text: string;
  /** A tag is resolved once, and what is signed is the digest. With both they must agree. */
  readonly reference: Reference;
}

/** What is to be signed of the images. */
export interface SigningWish {
  /** The detached signature that each image gets; none if left out: then only names are signed. */
  readonly signature?: SignatureWish | undefined;
  /** How the tags are signed, where the repository has a collection; not at all with `false`. */
  readonly name?: NameWish | false | undefined;
  /** Sign also what is signed already in this way. */
  readonly again?: boolean | undefined;
}

/** How a tag is signed. */
export interface NameWish {
  /** Role of the collection that names it; `names` if left out. */
  readonly role?: string | undefined;
  /** Fail if the repository has no collection. If left out, the images are signed and {@link Signed.lacksCollection} is set. */
  readonly isRequired?: boolean | undefined;
  /** Attach a proof of the name to the image; true if left out. */
  readonly proof?: boolean | undefined;
  /** Reference that the image was copied from, for the log. */
  readonly origin?: string | undefined;
}

/** What images are signed with. A service hands over its own; nothing is kept between two calls. */
export interface SignPorts extends CallOptions {
  /** The repository or layout of the images. */
  readonly images: Target;
  /** The key for detached signatures. Asked for once. @throws BullaError usage, not-found, key-invalid */
  signer(): Promise<Signer>;
  /** The collection of the repository, with the keys for it. Asked for once, where there is a tag to sign. */
  collection(): Promise<NamingPlace>;
  readonly now: Date;
  /** Name and version of the program, for the signatures that say it. */
  readonly agent: string;
  /** How many images are read, or signed, at the same time. */
  readonly concurrency: number;
  /** Called for each listed signature, in the order of the images, also if something else fails later. */
  readonly onSigned?: ((signature: SignedImage, signer: Signer) => void) | undefined;
  /** Told when the names are published. */
  readonly onNamed?: ((names: SignedNames) => void) | undefined;
}

/** An image as it was at the moment of signing. */
export interface Subject {
  readonly tag: Tag | undefined;
  readonly content: ManifestContent;
}

/** Names that a collection has now. */
export interface SignedNames {
  /** Where the collection lies: `HOST/REPOSITORY`, or a layout. */
  readonly place: string;
  readonly role: string;
  readonly names: ReadonlyMap<Tag, NamedContent>;
  /** Digest of the head that holds them. */
  readonly head: Digest;
  /** The collection as it was read back. */
  readonly collection: Collection;
  /** Ids of the changes in its log. */
  readonly changes: readonly string[];
  /** Those of the names that were signed so before, and were not signed again. */
  readonly already: ReadonlySet<Tag>;
}

/** A proof of names that could not be attached. It is not a failure: the head of the collection has the names. */
export interface MissingProof {
  readonly image: Digest;
  readonly reason: string;
}

/** What was signed. */
export interface Signed {
  /** In the order of the references. */
  readonly images: readonly Subject[];
  /** Each image once, its platforms before it. */
  readonly signatures: readonly SignedImage[];
  /** The key of the signatures. */
  readonly signer: Signer | undefined;
  /** Undefined where no name was signed. */
  readonly named: (SignedNames & Proofs) | undefined;
  /** Tags were to be signed, but the repository has no collection. */
  readonly lacksCollection: boolean;
}

interface Proofs {
  readonly proofs: readonly Digest[];
  readonly missingProofs: readonly MissingProof[];
}

/**
 * Signs images of one repository, and their names: what `bulla sign` does (spec/signatures.md, "Signing";
 * spec/trust-publishing.md). Whether all of it can be done is found out first: keys, collection and images are read at
 * the same time. Then the images are signed, then all names in one change, then the proofs of the names are attached.
 * @throws BullaError usage, key-invalid, certificate-…, not-found, digest-mismatch, untrusted-identity, trust-… before
 *   anything is signed; staged, conflict where the names are not published; what the ports throw
 */
export async function sign(
  images: readonly ImageToSign[],
  wish: SigningWish,
  ports: SignPorts,
): Promise<Signed> {
  checkReferences(images, wish);
  const references = images.map(({ reference }) => reference);
  const existing = existingFor(wish, ports);
  const [prepared, subjects] = await inOrder(
    prepareToSign(references, wish, ports),
    fetchAll(images, ports, existing),
  );
  return await signSubjects(subjects, prepared, wish, ports, existing);
}

/** Where signatures that are there already are looked for, if they spare new ones. */
function existingFor(
  { signature, again }: SigningWish,
  { images, signal }: SignPorts,
): ExistingSignatures | undefined {
  const isUnique = signature?.witness !== undefined || signature?.predicate !== undefined;
  if (signature === undefined || isUnique || again === true) return undefined;
  return new ExistingSignatures(images, { signal });
}

/** What is known before anything is signed. */
export interface Prepared {
  readonly signer: Signer | undefined;
  /** Undefined if no name is to be signed, or the repository has no collection. */
  readonly naming: Naming | undefined;
  readonly lacksCollection: boolean;
}

/**
 * Finds keys and collection, and whether they go together with what is to be signed. Nothing is written.
 * @param references of images that need not be there yet
 * @throws BullaError as {@link sign}
 */
export async function prepareToSign(
  references: readonly Reference[],
  { signature, name = {} }: SigningWish,
  ports: SignPorts,
): Promise<Prepared> {
  const tagged = references.find(({ tag }) => tag !== undefined);
  const isNamed = name !== false && tagged !== undefined;
  const [signer, found] = await inOrder(
    signature === undefined ? NOTHING : signerFor(signature, ports),
    isNamed ? openNames(name, tagged, ports) : NOTHING,
  );
  if (signer !== undefined) checkSignature(signer, signature ?? {}, ports.now);
  if (found === undefined) return { signer, naming: undefined, lacksCollection: isNamed };
  const { signedBy } = await import('./names.ts');
  const naming = signer === undefined ? found : signedBy(found, signer);
  openEarly(naming.signers);
  return { signer, naming, lacksCollection: false };
}

const NOTHING: Promise<undefined> = Promise.resolve(undefined);

/** Of a keyless signature, the key that was certified: whether there is one is found out before anything is written. */
async function signerFor({ witness }: SignatureWish, ports: SignPorts): Promise<Signer> {
  if (witness?.identity === undefined) return await ports.signer();
  return (await witness.identity({ signal: ports.signal })).signer;
}

/** The collection, where there is one. @throws BullaError not-found where there must be one */
async function openNames(
  { role, isRequired = false }: NameWish,
  reference: Reference,
  ports: SignPorts,
): Promise<Naming | undefined> {
  const [{ noCollection, openNaming }, place] = await Promise.all([import('./names.ts'), ports.collection()]);
  const naming = await openNaming(place, role);
  if (naming === undefined && isRequired) throw noCollection(reference);
  return naming;
}

/** Signs images that were read, and their names. @throws BullaError as {@link sign} */
export async function signSubjects(
  subjects: readonly Subject[],
  { signer, naming, lacksCollection }: Prepared,
  wish: SigningWish,
  ports: SignPorts,
  existing: ExistingSignatures | undefined = existingFor(wish, ports),
): Promise<Signed> {
  // What can't be named is found out before anything is signed.
  const names = namesOf(subjects);
  const signatures =
    signer === undefined ? [] : await signImages(subjects, signer, wish.signature ?? {}, ports, existing);
  const done = { images: subjects, signatures, signer, lacksCollection };
  if (naming === undefined || wish.name === false || names.size === 0) return { ...done, named: undefined };
  if (wish.name?.proof !== false && names.size > 0)
    for (const [{ digest }] of byImage(subjects)) ports.images.expectReferrerOf?.(digest);
  const named = await publishNames(names, naming, wish, ports);
  const proofs = wish.name?.proof === false ? NO_PROOFS : await attachProofs(subjects, named, ports);
  return { ...done, named: { ...named, ...proofs } };
}

/** An image that was signed where it arrived. */
export interface SignedOnArrival {
  readonly signed: Signed;
  /** Why its name is not in effect yet; undefined if it is, or none was to be signed. */
  readonly waiting: BullaError | undefined;
}

/**
 * Signs an image before its tag is moved to it. A name that waits for another publisher keeps the tag from nothing: the
 * caller reports {@link SignedOnArrival.waiting} when the image is there.
 * @throws BullaError as {@link sign}, other than staged
 */
export async function signOnArrival(
  subject: Subject,
  prepared: Prepared,
  wish: SigningWish,
  ports: SignPorts,
): Promise<SignedOnArrival> {
  const signatures: SignedImage[] = [];
  const onSigned: SignPorts['onSigned'] = (signature, signer) => {
    signatures.push(signature);
    ports.onSigned?.(signature, signer);
  };
  try {
    const signed = await signSubjects([subject], prepared, wish, { ...ports, onSigned });
    return { signed, waiting: undefined };
  } catch (error) {
    if (!isBullaError(error, 'staged')) throw error;
    const { signer, lacksCollection } = prepared;
    const signed = { images: [subject], signatures, signer, named: undefined, lacksCollection };
    return { signed, waiting: error };
  }
}

/** That an image has its tag, and its name waits. */
export function nameWaits(destination: Reference, waiting: BullaError): BullaError {
  return new BullaError(
    'staged',
    `${formatReference(destination)} was pushed, and its name is not signed yet: ${waiting.message}`,
    {
      cause: waiting,
      ...(waiting.hint !== undefined && { hint: waiting.hint }),
      details: { ...waiting.details, pushed: true },
    },
  );
}

/** @throws BullaError usage */
function checkReferences(images: readonly ImageToSign[], { signature, name }: SigningWish): void {
  const [first] = images;
  for (const { text, reference } of images) {
    if (first !== undefined && formatRepository(reference) !== formatRepository(first.reference)) {
      throw new BullaError(
        'usage',
        `${text} is not in ${formatRepository(first.reference)}: all images that are signed together are of one repository`,
        { hint: 'sign those of each repository on their own' },
      );
    }
    if (reference.tag !== undefined && isReservedTag(reference.tag)) {
      throw new BullaError('usage', `${text} is part of the trust collection, not an image`, {
        hint: 'tags that begin with _trust are kept for it',
      });
    }
    if (signature === undefined && reference.tag === undefined && name !== false) {
      throw new BullaError('usage', `${text} has no tag, and --name-only signs nothing else`, {
        hint: 'add the tag that is to be signed: REPO:v1, or REPO:v1@sha256:…',
      });
    }
  }
}

/** Each reference is resolved once. @throws BullaError not-found, digest-mismatch, usage; what the source throws */
async function fetchAll(
  images: readonly ImageToSign[],
  { images: source, concurrency, signal }: SignPorts,
  existing: ExistingSignatures | undefined,
): Promise<readonly Subject[]> {
  return await inParallel(images, concurrency, async ({ text, reference: { tag, digest } }) => {
    if (digest !== undefined) existing?.expect(digest);
    const content = await fetchToSign(source, { tag, digest }, { name: text, signal });
    existing?.expect(content.descriptor.digest);
    return { tag, content };
  });
}

/** What is to be signed about the tags of images. @throws BullaError usage where one tag was given two digests; content-invalid */
function namesOf(subjects: readonly Subject[]): ReadonlyMap<Tag, NamedContent> {
  const names = new Map<Tag, NamedContent>();
  for (const { tag, content } of subjects) {
    if (tag === undefined) continue;
    const named = namedContentOf(content);
    const before = names.get(tag);
    if (before !== undefined && before.sha256 !== named.sha256) {
      throw new BullaError('usage', `${tag} was given with two different digests`, {
        hint: 'the tag moved meanwhile, or was given with two digests: run the command again',
      });
    }
    names.set(tag, named);
  }
  return names;
}

/**
 * Signs each image once, however many names it has. Different images have lists of signatures of their own, so several
 * are signed at the same time; of an index, the platforms come first.
 */
async function signImages(
  subjects: readonly Subject[],
  signer: Signer,
  wish: SignatureWish,
  { images, now, agent, concurrency, signal, onSigned }: SignPorts,
  existing: ExistingSignatures | undefined,
): Promise<readonly SignedImage[]> {
  const contents = [...new Map(subjects.map(({ content }) => [content.descriptor.digest, content])).values()];
  const options = { ...wish, ...{ signer, now, agent, concurrency, signal, existing } };
  const report = (signatures: readonly SignedImage[]): void => {
    for (const signature of signatures) onSigned?.(signature, signer);
  };
  // What is not there is found out before anything is signed.
  const platforms = await inParallel(contents, concurrency, (content) =>
    platformsToSign(images, content, options),
  );
  const toSign = contents.map((content, at) => ({ content, platforms: platforms[at] ?? [] }));
  return (
    await inParallel(
      toSign,
      concurrency,
      async (one) => (await signManifest(images, one.content, one.platforms, options)).signatures,
      report,
    )
  ).flat();
}

async function publishNames(
  names: ReadonlyMap<Tag, NamedContent>,
  naming: Naming,
  { name, again }: SigningWish,
  { onNamed }: SignPorts,
): Promise<SignedNames> {
  const { alreadyNamed, publishNaming } = await import('./names.ts');
  const { role, place, collection: before } = naming;
  const already = again === true ? new Set<Tag>() : await alreadyNamed(naming, names);
  const set = new Map([...names].filter(([tag]) => !already.has(tag)));
  const origin = name === false ? undefined : name?.origin;
  const { head, collection, ids } =
    set.size === 0
      ? { head: before.object.content.descriptor.digest, collection: before, ids: [] }
      : await publishNaming(naming, [{ role, set, ...(origin !== undefined && { origin }) }]);
  const signed = { place: place.place, role, names, head, collection, changes: ids, already };
  onNamed?.(signed);
  return signed;
}

const NO_PROOFS: Proofs = { proofs: [], missingProofs: [] };

/** Attaches proofs to images that were named. A missing proof is not a failure: the head has the names. */
async function attachProofs(
  subjects: readonly Subject[],
  { collection, already }: SignedNames,
  { images, concurrency, signal, now }: SignPorts,
): Promise<Proofs> {
  const [{ buildProof }, { findEqualProof }] = await Promise.all([
    import('../../trust/transfer/proof.ts'),
    import('./existing-proof.ts'),
  ]);
  const attached = await inParallel(
    byImage(subjects),
    concurrency,
    async ([image, tags]): Promise<Digest | MissingProof | undefined> => {
      try {
        const isKnown = tags.every((tag) => already.has(tag));
        const found = isKnown && (await findEqualProof(images, collection, image, tags, { signal, now }));
        if (found) return found;
        const proof = await buildProof(collection, bareDescriptor(image), tags, { signal });
        if (proof === undefined) return undefined;
        await pushBlobs(images, proof.blobs, { signal });
        await images.pushManifest(proof.top, { signal });
        return proof.top.descriptor.digest;
      } catch (error) {
        throwIfAborted(signal);
        return { image: image.digest, reason: messageOf(error) };
      }
    },
  );
  return {
    proofs: attached.filter((one) => typeof one === 'string'),
    missingProofs: attached.filter((one) => typeof one === 'object'),
  };
}

function byImage(subjects: readonly Subject[]): readonly (readonly [Descriptor, readonly Tag[]])[] {
  const images = new Map<Digest, readonly [Descriptor, Tag[]]>();
  for (const { tag, content } of subjects) {
    if (tag === undefined) continue;
    const { descriptor } = content;
    const image = images.get(descriptor.digest) ?? ([descriptor, []] as const);
    image[1].push(tag);
    images.set(descriptor.digest, image);
  }
  return [...images.values()];
}

/** Both results. If both fail, the first one's failure, no matter which came earlier. */
async function inOrder<A, B>(first: Promise<A>, second: Promise<B>): Promise<readonly [A, B]> {
  second.catch(() => undefined);
  return [await first, await second];
}
