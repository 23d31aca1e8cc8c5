import { BullaError, isBullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import { type ManifestContent, parseCarried } from '../../oci/manifest.ts';
import {
  formatPlatform,
  type PlatformSelector,
  platformEntries,
  selectPlatform,
} from '../../oci/platform.ts';
import type { CallOptions, Source } from '../../oci/target.ts';
import type { SignedName } from '../../trust/read/names.ts';

/** What to do where the registry's tag is not what was signed: nothing of it is run in any case. */
export type DriftRule = 'warn' | 'reject' | 'ignore';

/** What is asked about a name, as far as the registry has a part in it. */
interface Asked extends CallOptions {
  /** The reference as the user wrote it, for messages. */
  readonly name: string;
  /** Digest that the name must have. */
  readonly digest?: Digest | undefined;
  readonly platform?: PlatformSelector | undefined;
  readonly drift: DriftRule;
}

/** What may be run: what was signed, or its platform's image. */
export interface RunnableImage {
  readonly digest: Digest;
  readonly size: number;
  /** Undefined where neither the collection nor a manifest that was read says it. */
  readonly mediaType?: string | undefined;
}

/** Where the registry's tag points, if not to what was signed. */
export type Drift =
  | { readonly kind: 'moved'; readonly points: Digest }
  | { readonly kind: 'missing' }
  /** It could not be asked. */
  | { readonly kind: 'unknown'; readonly error: BullaError };

/** What was signed of a tag. */
export type SignedTag = Pick<SignedName, 'tag' | 'digest' | 'length' | 'mediaType'>;

/**
 * Compares what was signed with what the registry serves. With `isLengthFree` the digest alone counts.
 * @returns the manifest that was signed, if the registry serves it at the tag; else how it differs
 * @throws BullaError digest-mismatch with `reject`, trust-invalid where the length is another
 */
export async function driftFrom(
  served: Promise<ManifestContent | undefined>,
  named: SignedTag,
  rule: DriftRule,
  options: Pick<Asked, 'name'> & { readonly isLengthFree?: boolean },
): Promise<{ readonly content?: ManifestContent; readonly drift?: Drift }> {
  let content: ManifestContent | undefined;
  try {
    content = await served;
  } catch (error) {
    // The name is signed anyway; the tag must be known only if drift is refused.
    if (rule === 'reject' || !isBullaError(error) || isBullaError(error, 'interrupted', 'timeout'))
      throw error;
    return { drift: { kind: 'unknown', error } };
  }
  if (content?.descriptor.digest === named.digest) {
    const isRight = content.bytes.byteLength === named.length || options.isLengthFree === true;
    if (!isRight) throw otherLength(options, named, content);
    return { content };
  }
  const drift: Drift =
    content === undefined ? { kind: 'missing' } : { kind: 'moved', points: content.descriptor.digest };
  if (rule === 'reject') throw drifted(options, named, drift);
  return { drift };
}

/**
 * Asks for what is to be run, where nothing that was fetched has shown that it is there.
 * @throws BullaError image-missing
 */
export async function isThereToRun(
  source: Source,
  known: {
    readonly named: SignedTag;
    readonly content: ManifestContent | undefined;
    readonly found: { readonly image: RunnableImage; readonly signed: string };
    readonly drift: Drift | undefined;
  },
  options: Pick<Asked, 'name' | 'platform' | 'drift' | 'signal'>,
): Promise<true | undefined> {
  const { named, content, found, drift } = known;
  const { digest } = found.image;
  // Manifests that signatures were looked for on were fetched.
  if (found.signed !== 'name' || content?.descriptor.digest === digest) return true;
  if (options.drift === 'ignore' && digest === named.digest && options.platform === undefined)
    return undefined;
  const isUnknown = drift?.kind === 'unknown';
  // A registry that did not answer would keep us waiting a second time.
  if (isUnknown && isBullaError(drift.error, 'registry-unreachable', 'registry-throttled', 'registry-error'))
    return undefined;
  try {
    await source.resolve(digest, { signal: options.signal });
    return true;
  } catch (error) {
    if (isBullaError(error, 'not-found')) throw missing(options, named, digest, error);
    if (!isUnknown || !isBullaError(error) || isBullaError(error, 'interrupted', 'timeout')) throw error;
    return undefined;
  }
}

/** The image of a name: what was signed, or the image of a platform that it lists. */
export async function namedImage(
  source: Source,
  named: SignedTag,
  content: ManifestContent | undefined,
  { name, platform, signal }: Pick<Asked, 'name' | 'platform' | 'signal'>,
): Promise<RunnableImage> {
  const { digest } = named;
  const mediaType = named.mediaType ?? content?.descriptor.mediaType;
  const image = { digest, size: named.length, mediaType };
  if (platform === undefined) return image;
  // A signed name of an index covers everything that the index lists.
  const fetched = await whatIsThere(named, { name, platform }, () =>
    source.fetchManifest(digest, { signal }),
  );
  const manifest = parseCarried(fetched);
  return manifest.kind === 'index' ? selectPlatform(platform, platformEntries(manifest), name) : image;
}

/** What is fetched by digest is of what was signed. @throws BullaError image-missing */
export async function whatIsThere<T>(
  named: SignedTag,
  options: Pick<Asked, 'name' | 'platform'>,
  fetch: () => Promise<T>,
): Promise<T> {
  try {
    return await fetch();
  } catch (error) {
    if (isBullaError(error, 'not-found')) throw missing(options, named, named.digest, error);
    throw error;
  }
}

function missing(
  { name, platform }: Pick<Asked, 'name' | 'platform'>,
  { tag, digest: signed }: SignedTag,
  digest: Digest,
  cause: BullaError,
): BullaError {
  const what =
    platform === undefined || digest === signed
      ? `is signed for ${signed}, and the registry does not have it`
      : `is signed for ${signed}, and the registry does not have its image for ${formatPlatform(platform)}, ${digest}`;
  return new BullaError('image-missing', `${name}: ${tag} ${what}: ${cause.message}`, {
    hint: 'the names were copied before the image, or only a part of it was: copy it from its origin: bulla copy ORIGIN:TAG HERE:TAG',
    cause,
    details: { expected: signed, missing: digest },
  });
}

/** The error where another digest was given than was signed. */
export function otherDigest(
  { name, digest }: Pick<Asked, 'name' | 'digest'>,
  named: Pick<SignedName, 'tag' | 'digest' | 'signers'>,
): BullaError {
  return new BullaError(
    'digest-mismatch',
    `${name}: ${named.tag} is signed for ${named.digest}, and ${digest} was given`,
    {
      hint: 'the name was signed again since, or the digest belongs to another image: omit the digest to get the currently signed image',
      details: { expected: digest, found: named.digest, signers: named.signers },
    },
  );
}

function otherLength({ name }: Pick<Asked, 'name'>, named: SignedTag, content: ManifestContent): BullaError {
  return new BullaError(
    'trust-invalid',
    `${name}: ${named.digest} is signed with ${named.length} bytes and has ${content.bytes.byteLength}`,
    {
      hint: 'the name was signed with a wrong length: sign it again',
      details: { reason: 'target', expected: named.length, found: content.bytes.byteLength },
    },
  );
}

function drifted({ name }: Pick<Asked, 'name'>, named: SignedTag, drift: Drift): BullaError {
  const points = drift.kind === 'moved' ? drift.points : null;
  return new BullaError(
    'digest-mismatch',
    points === null
      ? `${name}: ${named.tag} is signed for ${named.digest}, and the registry has no such tag`
      : `${name}: ${named.tag} is signed for ${named.digest}, and the registry's tag points to ${points}`,
    {
      hint: 'the tag was moved, or the name was signed before the tag was pushed; without --drift reject the signed digest is printed',
      details: { reason: 'drift', expected: named.digest, found: points },
    },
  );
}
