import type { StatusPort } from '../../crypto/certificate-status.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import type { PlatformSelector } from '../../oci/platform.ts';
import { formatRepository, type Reference, type Tag } from '../../oci/reference.ts';
import type { Source } from '../../oci/target.ts';
import type { Requirements } from '../../policy/requirements.ts';
import type { Collection } from '../../trust/read/collection.ts';
import type { NameQuestion, SignedName } from '../../trust/read/names.ts';
import {
  type CollectionDemands,
  type CollectionPorts,
  isExpected,
  type OpenedCollection,
  openCollection,
} from './collection.ts';
import type { Drift, DriftRule, RunnableImage } from './drift.ts';
import type { VerifiedImage } from './image.ts';
import type { NameTrust } from './name.ts';
import type { NotaryPort, VerifiedNotaryName } from './notary.ts';
import { Shared } from './shared.ts';

/** The image that is to be verified. */
export interface ImageToVerify {
  /** The reference as it was written, for messages. */
  readonly text: string;
  /** It has a tag, a digest, or both, which must agree then. */
  readonly reference: Reference;
}

/**
 * What is demanded of an image. A name is looked up in the trust collection where one is pinned, was seen before, or is
 * demanded by anything here; detached signatures decide where no name is looked up, or where they are demanded too.
 */
export interface Demands extends CollectionDemands, NameQuestion {
  /** `false`: no name is looked up, detached signatures alone decide. */
  readonly name?: false | undefined;
  /** What to do where the registry's tag is not what was signed; `warn` if left out. */
  readonly drift?: DriftRule | undefined;
  /** Detached signatures are demanded beside the name. */
  readonly signatures?: boolean | undefined;
  /** Of an index: the image for this platform. */
  readonly platform?: PlatformSelector | undefined;
  /** Also accept an index that is not signed itself where every platform's image is. */
  readonly eachPlatform?: boolean | undefined;
  /** No socket may be opened: with `maxStaleness`, proofs beside the image may replace the head. */
  readonly offline?: boolean | undefined;
}

/** What an image is verified with. A service hands over its own; nothing is kept between two calls. */
export interface VerifyPorts extends CollectionPorts {
  /** The repository or layout of the image; opened when it is first needed. */
  image(): Promise<Source>;
  /**
   * What detached signatures must be like: as demanded, else by the default key.
   * @throws BullaError trust-unpinned where no key and no authority is trusted; usage, key-invalid, …
   */
  requirements(): Promise<Requirements>;
  /** Asks about the revocation of certificates, where requirements demand it. */
  readonly status?: StatusPort | undefined;
  /** Looks the name up in this Notary v1 repository, and in no collection. */
  readonly notary?: NotaryPort | undefined;
  /** What verifications of several images share that demand the same of each repository: its collection is read once. */
  readonly shared?: Shared | undefined;
}

/** Who signed the name of an image: roles of a collection, read from its head or from a proof; or of Notary v1. */
export type NameEvidence =
  | (NameFacts & {
      readonly by: 'collection' | 'proof';
      readonly collection: Collection;
      readonly named: SignedName;
    })
  | (NameFacts & { readonly by: 'notary' } & Pick<VerifiedNotaryName, 'repository' | 'named'>);

interface NameFacts {
  /** Where the registry's tag points, if not to what was signed. */
  readonly drift?: Drift | undefined;
  /** Whether the registry has the image; undefined where it was not asked, or could not be. It never lacks it. */
  readonly isThere: true | undefined;
  /** Where only a digest was given: all names that mean it. The evidence is about the first that met the demands. */
  readonly names?: readonly Tag[] | undefined;
}

/** An image that may be run, by its digest: by its signed name, by its detached signatures, or by both. */
export interface Verified extends Pick<VerifiedImage, 'evidence' | 'refusals'> {
  readonly reference: Reference;
  /** `REPOSITORY@DIGEST`: what to run. */
  readonly runnable: string;
  readonly image: RunnableImage;
  /** What the signatures that count are on; `name` where no detached signatures were demanded. */
  readonly signed: 'name' | VerifiedImage['signed'];
  /** Undefined where no name was looked up: then the tag itself was not verified. */
  readonly name: NameEvidence | undefined;
}

/**
 * Decides whether an image may be run, and under which digest: what `bulla verify` does
 * (spec/trust-names.md, "Verification"; spec/signatures.md, "Verification"; spec/notary.md).
 * @throws BullaError trust-unpinned where nothing says whose signatures to trust; name-not-signed, digest-mismatch,
 *   image-missing, unsigned, signature-mismatch, threshold-not-met, untrusted-identity, certificate-…, trust-…;
 *   usage; what the ports throw
 */
export async function verify(image: ImageToVerify, demands: Demands, ports: VerifyPorts): Promise<Verified> {
  const { reference } = image;
  const decided = await decide(image, demands, ports);
  return { reference, runnable: `${formatRepository(reference)}@${decided.image.digest}`, ...decided };
}

type Decided = Omit<Verified, 'reference' | 'runnable'>;

async function decide(image: ImageToVerify, demands: Demands, ports: VerifyPorts): Promise<Decided> {
  if (ports.notary !== undefined) return await verifyInNotary(image, demands, ports, ports.notary);
  checkName(demands);
  if (mayUseProof(demands)) {
    const proven = await verifyByProof(image, demands, ports);
    if (proven !== undefined) return proven;
  }
  if (image.reference.tag === undefined) return await decideDigest(image, demands, ports);
  const collection = await collectionOf(image, demands, ports);
  return collection?.isExpected === true
    ? await verifyByName(image, demands, ports, collection)
    : await verifyBySignatures(image, demands, ports, collection);
}

/** @throws BullaError usage where what is demanded of a name cannot be */
function checkName(demands: Demands): void {
  const isDemanded = isNameDemanded(demands);
  if (demands.name === false && isDemanded)
    throw new BullaError('usage', '--no-name is given along with what the signed name must be like', {
      hint: 'leave one of them out: no name is looked up with --no-name',
    });
  if (demands.signers !== undefined && demands.anySigner === true)
    throw new BullaError('usage', '--signer and --any-signer exclude each other', {
      hint: 'give --signer for each role that must have signed, or --any-signer if any will do',
    });
}

/** Whether the demands themselves ask for a signed name. */
export function isNameDemanded(demands: Demands): boolean {
  const { at, collection, trust, maxStaleness, signers, anySigner, drift } = demands;
  const given = [at, collection, trust, maxStaleness, signers, anySigner];
  return drift === 'reject' || given.some((demand) => demand !== undefined);
}

function mayUseProof({ offline, maxStaleness }: Demands): boolean {
  return offline === true && maxStaleness !== undefined;
}

interface FoundCollection extends OpenedCollection {
  /** Pinned, seen before or demanded: then the name must be signed in it. Other collections are not trusted. */
  readonly isExpected: boolean;
}

/** The collection that a name may be looked up in; undefined where there is no name, or none is wanted. */
async function collectionOf(
  { reference }: ImageToVerify,
  demands: Demands,
  ports: VerifyPorts,
): Promise<FoundCollection | undefined> {
  if (demands.name === false) return undefined;
  const find = async (): Promise<FoundCollection> => {
    const opened = await openCollection(reference, demands, ports);
    return { ...opened, isExpected: isNameDemanded(demands) || (await isExpected(opened)) };
  };
  return await (ports.shared?.once(`find ${ports.placeOf(reference)}`, find) ?? find());
}

/**
 * A digest without a tag: by the names that mean it, where a collection is expected and no detached signatures are
 * demanded instead; else by detached signatures.
 */
async function decideDigest(image: ImageToVerify, demands: Demands, ports: VerifyPorts): Promise<Decided> {
  const isNamed = isNameDemanded(demands);
  const collection = await collectionOf(image, demands, ports);
  const mayBeNamed = collection?.isExpected === true && (isNamed || demands.signatures !== true);
  if (!mayBeNamed) return await verifyBySignatures(image, demands, ports, undefined);
  let problem: unknown;
  try {
    return await verifyByAnyName(image, demands, ports, collection);
  } catch (error) {
    if (isNamed || !isBullaError(error)) throw error;
    problem = error;
  }
  return await verifyBySignatures(image, demands, ports, undefined).catch((error: unknown) => {
    // With no key to judge signatures by, it is the collection that has answered.
    throw isBullaError(error, 'trust-unpinned') ? problem : error;
  });
}

/** Most names of a digest that are tried: some may not be signed by those that are demanded. */
const NAMES_TRIED = 10;

/** By a name that means the digest. @throws BullaError name-not-signed; usage; as {@link verifyByName} */
async function verifyByAnyName(
  { text, reference }: ImageToVerify,
  demands: Demands,
  ports: VerifyPorts,
  opened: OpenedCollection,
): Promise<Decided> {
  const { namesOfDigest } = await import('./names-of-digest.ts');
  const shared = ports.shared ?? new Shared();
  const names = await namesOfDigest(opened, reference.digest as Digest, {
    text,
    open: readOnce(shared, opened.repository),
    signal: ports.signal,
  });
  return await byFirstOf(names, { text, reference }, (image) =>
    verifyByName(image, demands, { ...ports, shared }, opened),
  );
}

/** By the first of the names of a digest that meets the demands. */
async function byFirstOf(
  names: readonly Tag[],
  { text, reference }: ImageToVerify,
  verifyNamed: (image: ImageToVerify) => Promise<Decided>,
): Promise<Decided> {
  let problem: unknown;
  for (const tag of names.slice(0, NAMES_TRIED)) {
    try {
      const { name, ...found } = await verifyNamed({ text, reference: { ...reference, tag } });
      return { ...found, name: name && { ...name, names } };
    } catch (error) {
      if (!isBullaError(error, 'name-not-signed', 'threshold-not-met', 'digest-mismatch')) throw error;
      problem = error;
    }
  }
  throw problem;
}

/** By what the collection says about the name now, and detached signatures only where they are demanded too. */
async function verifyByName(
  { text, reference }: ImageToVerify,
  demands: Demands,
  ports: VerifyPorts,
  { target, read, repository }: OpenedCollection,
): Promise<Decided> {
  const { tag, digest } = reference;
  const { signers, anySigner, threshold, platform, eachPlatform, drift = 'warn' } = demands;
  const required = demands.signatures === true ? await ports.requirements() : undefined;
  const { shared } = ports;
  const { verifyName } = await import('./name.ts');
  const verified =
    tag &&
    (await verifyName(
      await ports.image(),
      { source: target, read: { ...read, isDemanded: true }, open: shared && readOnce(shared, repository) },
      {
        ...{ name: text, tag, digest, drift, required, platform, eachPlatform },
        status: ports.status,
        question: { signers, anySigner, threshold },
        signal: ports.signal,
      },
    ));
  if (verified === undefined)
    throw new BullaError('internal', `${text}: a collection was demanded, and its absence went unnoticed`, {
      hint: 'please report this with the command that was run',
    });
  const { collection, named, drift: drifted, isThere, ...found } = verified;
  return { ...found, name: { by: 'collection', collection, named, drift: drifted, isThere } };
}

/** Reads the collection of a repository for all its names. */
function readOnce(shared: Shared, repository: string): NonNullable<NameTrust['open']> {
  return async (source, options) =>
    await shared.once(`read ${repository}`, async () => {
      const { readCollection } = await import('../../trust/read/collection.ts');
      return await readCollection(source, options);
    });
}

/** By a proof that lies beside the image where there is no head; undefined where that cannot be. */
async function verifyByProof(
  { text, reference }: ImageToVerify,
  demands: Demands,
  ports: VerifyPorts,
): Promise<Decided | undefined> {
  const { tag, digest } = reference;
  const { signers, anySigner, threshold } = demands;
  const { findProofs, noName, verifyProofs } = await import('./proof.ts');
  if (reference.kind === 'registry') {
    if (tag === undefined) throw noName(text);
    return undefined;
  }
  const { signal } = ports;
  const source = await ports.image();
  const image = { text, source, tag, digest };
  const found = await findProofs(image, { signal });
  if (found === undefined) return undefined;
  const { read } = await openCollection(reference, demands, ports);
  const proven = await verifyProofs(image, found, { signers, anySigner, threshold }, read);
  const name: NameEvidence = { by: 'proof', ...proven, isThere: true };
  if (demands.signatures !== true) {
    const { length: size } = proven.named;
    return {
      image: { digest: found.digest, size },
      signed: 'name',
      evidence: [],
      refusals: [],
      name,
    };
  }
  const { verifyImage } = await import('./image.ts');
  const required = await ports.requirements();
  const { status } = ports;
  const options = { name: text, required, status, signal };
  const signed = await verifyImage(source, { digest: found.digest }, options);
  return { ...signed, name };
}

/** By detached signatures alone. */
async function verifyBySignatures(
  { text, reference }: ImageToVerify,
  { platform, eachPlatform }: Demands,
  ports: VerifyPorts,
  collection: OpenedCollection | undefined,
): Promise<Decided> {
  const { tag, digest } = reference;
  const required = await ports.requirements().catch((error: unknown) => refusal(error, collection));
  const { verifyImage } = await import('./image.ts');
  const { status, signal } = ports;
  const options = { name: text, required, status, platform, eachPlatform, signal };
  return {
    ...(await verifyImage(await ports.image(), { tag, digest }, options)),
    name: undefined,
  };
}

/** Where nothing says whose signatures to trust, a collection that is there tells which keys could be pinned. */
async function refusal(error: unknown, collection: OpenedCollection | undefined): Promise<never> {
  if (collection === undefined || !isBullaError(error, 'trust-unpinned')) throw error;
  const { readCollection } = await import('../../trust/read/collection.ts');
  await readCollection(collection.target, collection.read).catch((unpinned: unknown) => {
    if (isBullaError(unpinned, 'trust-unpinned')) throw unpinned;
  });
  throw error;
}

function readNotaryOnce(shared: Shared): NonNullable<NotaryPort['read']> {
  return async (source, options) =>
    await shared.once(`notary ${source.place}`, async () => {
      const { verifyNotaryRepository } = await import('../../notary/repository.ts');
      return await verifyNotaryRepository(source, options);
    });
}

/** By what docker would run: what targets/releases, else targets, says in Notary v1; and by signatures if they are demanded. */
async function verifyInNotary(
  asked: ImageToVerify,
  demands: Demands,
  ports: VerifyPorts,
  notary: NotaryPort,
): Promise<Decided> {
  const { signers = [], signatures, platform, eachPlatform, offline, drift = 'warn' } = demands;
  const { text, reference } = asked;
  const { tag, digest } = reference;
  const shared = ports.shared ?? new Shared();
  const port = { ...notary, read: readNotaryOnce(shared) };
  const { notaryNamesOf, verifyNotaryName } = await import('./notary.ts');
  if (tag === undefined && digest !== undefined && notary.isDemanded === true) {
    const names = await notaryNamesOf(port, digest, signers);
    return await byFirstOf(names, asked, (image) =>
      verifyInNotary(image, demands, { ...ports, shared }, notary),
    );
  }
  if (tag === undefined)
    throw new BullaError('usage', `${text} has no tag, and only tags are looked up in Notary`, {
      hint: 'give the tag, and the digest as well if it must be that: REPOSITORY:TAG@DIGEST',
    });
  const rule = offline === true ? 'ignore' : drift;
  // Where neither the tag nor a platform is asked for, no registry need be there.
  const images = rule === 'ignore' && platform === undefined ? undefined : await ports.image();
  const { image, repository, named, ...facts } = await verifyNotaryName(images, port, {
    ...{ name: text, tag, digest, platform },
    delegations: signers,
    drift: rule,
    signal: ports.signal,
  });
  const name: NameEvidence = { by: 'notary', repository, named, ...facts };
  if (signatures === true) {
    const { verifyImage } = await import('./image.ts');
    const { status, signal } = ports;
    const options = {
      name: text,
      required: await ports.requirements(),
      status,
      platform,
      eachPlatform,
      signal,
    };
    return { ...(await verifyImage(await ports.image(), { digest: named.digest }, options)), name };
  }
  return { image, signed: 'name', evidence: [], refusals: [], name };
}
