import { BullaError, type ErrorCode } from '../../errors.ts';
import { type FoundNotaryName, findNotaryName, releasedStatement } from '../../notary/names.ts';
import {
  type NotaryRepository,
  type NotaryVerifyOptions,
  verifyNotaryRepository,
} from '../../notary/repository.ts';
import { lineageOf, RELEASES_ROLE, roleOfSigner } from '../../notary/role-name.ts';
import type { NotarySource } from '../../notary/source.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { fetchIfThere } from '../../oci/if-there.ts';
import type { PlatformSelector } from '../../oci/platform.ts';
import { isTag, type Tag } from '../../oci/reference.ts';
import type { CallOptions, Source } from '../../oci/target.ts';
import {
  type Drift,
  type DriftRule,
  driftFrom,
  isThereToRun,
  namedImage,
  otherDigest,
  type RunnableImage,
} from './drift.ts';

export interface VerifyNotaryOptions extends CallOptions {
  /** The reference as the user wrote it, for messages. */
  readonly name: string;
  readonly tag: Tag;
  /** Digest that the name must have. */
  readonly digest?: Digest | undefined;
  /** Delegations that must all have signed the name. */
  readonly delegations: readonly string[];
  readonly drift: DriftRule;
  readonly platform?: PlatformSelector | undefined;
}

/** Where and how a Notary v1 repository is read. */
export interface NotaryPort {
  readonly source: NotarySource;
  readonly trust: NotaryVerifyOptions;
  /** Reads it, where several names share one reading; {@link verifyNotaryRepository} if left out. */
  readonly read?: typeof verifyNotaryRepository | undefined;
  /** The name must be signed there: without trust data it is not, whatever is missing otherwise. */
  readonly isDemanded?: true | undefined;
}

/** A name that is signed in Notary v1. */
export interface VerifiedNotaryName {
  readonly repository: NotaryRepository;
  readonly named: FoundNotaryName & { readonly digest: Digest };
  readonly image: RunnableImage;
  readonly drift?: Drift | undefined;
  /** Whether the registry has the image; undefined where it was not asked, or could not be. */
  readonly isThere: true | undefined;
}

/** Delegations that need not be asked are read up to so many bytes: they only tell who signs the same. */
const OTHERS_BYTES = 512 * 1024;

/**
 * Verifies a name in Notary v1 (spec/notary.md), while the registry is asked where its tag points. The
 * answer is what was signed, whatever the tag says.
 * @param images the registry's repository; left out, neither its tag nor a platform is looked at
 * @throws BullaError not-found (name-not-signed if it is demanded) where there is no trust data, those of verifyNotaryRepository and
 *   findNotaryName, image-missing, digest-mismatch (another digest was given, or with `reject` the tag was moved)
 */
export async function verifyNotaryName(
  images: Source | undefined,
  port: NotaryPort,
  options: VerifyNotaryOptions,
): Promise<VerifiedNotaryName> {
  const { signal, tag, digest, delegations, drift: rule } = options;
  const served =
    images === undefined || rule === 'ignore' ? undefined : fetchIfThere(images, tag, { signal });
  // If the name is not signed, the result is not needed.
  served?.catch(() => undefined);
  const repository = await readDeciding(port, delegations);
  const found = findNotaryName(repository, tag, { delegations });
  if (!isDigest(found.digest))
    throw new BullaError('internal', `${found.digest} is not a digest`, { hint: 'please report this' });
  const named = { ...found, digest: found.digest, tag };
  if (digest !== undefined && digest !== named.digest) throw otherDigest(options, named);
  // docker pulls by the digest and never checks the length, and not all signers stated the right one.
  const drift = served && (await driftFrom(served, named, rule, { ...options, isLengthFree: true }));
  const length = drift?.content?.bytes.byteLength ?? named.length;
  const image =
    images === undefined
      ? { digest: named.digest, size: length }
      : await namedImage(images, { ...named, length }, drift?.content, options);
  const known = {
    named,
    content: drift?.content,
    found: { image, signed: 'name' as const },
    drift: drift?.drift,
  };
  const isThere = images && (await isThereToRun(images, known, options));
  return { repository, named, image, isThere, ...(drift?.drift !== undefined && { drift: drift.drift }) };
}

/** What is read where a name is decided about. @throws BullaError as {@link verifyNotaryName} */
async function readDeciding(
  { source, trust, read = verifyNotaryRepository, isDemanded }: NotaryPort,
  delegations: readonly string[],
): Promise<NotaryRepository> {
  const wanted = neededFor(delegations);
  const repository = await read(source, { ...trust, badDelegation: 'report', wanted });
  if (repository !== undefined) return repository;
  throw noTrustData(trust.gun, source.place, isDemanded && 'name-not-signed');
}

/**
 * Tags that mean a digest, in order: as the demanded delegations signed them, else as they are released. Each must still be
 * verified.
 * @throws BullaError name-not-signed where there are none; as {@link verifyNotaryName}
 */
export async function notaryNamesOf(
  port: NotaryPort,
  digest: Digest,
  delegations: readonly string[],
): Promise<readonly Tag[]> {
  const repository = await readDeciding(port, delegations);
  const { gun, roles } = repository;
  const deciding = delegations.length === 0 ? ['targets', RELEASES_ROLE] : delegations.map(roleOfSigner);
  const found = new Set<Tag>();
  for (const role of deciding)
    for (const [name, { hashes }] of roles.get(role)?.content?.targets ?? [])
      if (`sha256:${hashes.get('sha256')}` === digest && isTag(name)) found.add(name);
  const names = [...found].filter(
    (name) => delegations.length > 0 || releasedStatement(repository, name)?.digest === digest,
  );
  if (names.length > 0) return names.sort();
  throw new BullaError('name-not-signed', `${gun}: no signed name means ${digest}`, {
    hint: 'have it signed, or use an image that is',
    details: { gun, digest },
  });
}

/** Roles that decide about a name: they are always read. Of others some, for what they add. */
function neededFor(delegations: readonly string[]): (role: string, length: number) => boolean {
  const needed = new Set(delegations.flatMap((name) => lineageOf(roleOfSigner(name))));
  let others = 0;
  return (role, length) => {
    if (needed.has(role) || role === RELEASES_ROLE || role.startsWith(`${RELEASES_ROLE}/`)) return true;
    others += length;
    return others <= OTHERS_BYTES;
  };
}

/** The error where a repository has no trust data at all. */
export function noTrustData(gun: string, place: string, code: ErrorCode = 'not-found'): BullaError {
  return new BullaError(code, `there is no trust data of ${gun} at ${place}`, {
    hint: 'check the server and the name: images of Docker Hub are docker.io/library/alpine or docker.io/USER/NAME',
    details: { gun, place },
  });
}
