import {
  assertComplete,
  type CopiedImage,
  type CopyImageOptions,
  copyImage,
  tagAt,
} from '../actions/copy/image.ts';
import { type CopiedAs, copyAs } from '../actions/sign/copy-as.ts';
import {
  nameWaits,
  prepareToSign,
  type Signed,
  type SignedOnArrival,
  signOnArrival,
} from '../actions/sign/sign.ts';
import { openCollection } from '../actions/verify/collection.ts';
import type { Verified } from '../actions/verify/verify.ts';
import { BullaError } from '../errors.ts';
import { type PlatformSelector, parsePlatform } from '../oci/platform.ts';
import { formatReference, formatRepository, parseReference, type Reference } from '../oci/reference.ts';
import { type Call, type Config, call } from './config.ts';
import type { Image } from './places.ts';
import { type SignOptions, signPorts, wishOf } from './sign.ts';
import { type VerifyOptions, verifyImageAt } from './verify.ts';

/** How {@link copy} copies an image, and what it works with. */
export interface CopyOptions
  extends Config,
    Pick<CopyImageOptions, 'referrers' | 'dryRun' | 'concurrency' | 'onEvent'> {
  /** Of an index, only the image for this platform, such as `linux/arm64`. */
  readonly platform?: string | undefined;
  /** Bring the trust collection along: true if left out, but not with one platform or without referrers. */
  readonly bringCollection?: boolean | undefined;
}

/** How {@link copy} signs the name of what it copied. */
export type CopyAsOptions = Pick<
  SignOptions,
  'key' | 'roleKeys' | 'role' | 'proof' | 'passphrase' | 'at' | 'trust' | 'wait'
>;

/** An image that was copied; with `as`, also the name that was signed. */
export interface Copied extends CopiedImage, Partial<Pick<CopiedAs, 'named'>> {}

/**
 * Copies an image with its signatures and the trust collection of its repository, as `bulla copy` does (spec/copy.md).
 * Bytes are never changed, what is there is not sent again, and the tag moves last.
 * @param from image in a registry, a layout (`oci:DIR`) or an archive (`oci-archive:FILE`)
 * @param to the same; without a tag it gets that of the source
 * @param options with `as`, the name is signed in the destination's own collection
 * @throws BullaError not-found, content-invalid where something that belongs to the image cannot be copied,
 *   digest-mismatch, registry-…, storage-error; with `as` also those of {@link sign}
 * @example
 * ```ts
 * import { copy } from 'bulla';
 *
 * const { reference, referrers, pushed } = await copy(
 *   'registry.example.com/team/app:v1',
 *   'registry.example.com/mirror/app',
 * );
 * console.log(`${reference}: ${pushed.content} pushed, ${referrers} referring to it`);
 * ```
 */
export async function copy(
  from: string | Reference,
  to: string | Reference,
  options: CopyOptions & { readonly as?: CopyAsOptions | undefined } = {},
): Promise<Copied> {
  return await call(options, async (one) => {
    const image = await one.places.openImage(textOf(from));
    const destination = typeof to === 'string' ? parseReference(to) : to;
    const copying = copyingOf(one, image, destination, options);
    const { as } = options;
    if (as === undefined) return await complete(copyImage(copying), options);
    const signing = { ...as, ...options, key: as.key };
    return await complete(
      copyAs({
        ...copying,
        name: wishOf(signing).name || {},
        signing: signPorts(one, destination, await copying.openTarget(), signing),
        openFrom: () => openCollection(image.reference, {}, one.collections),
        onWarning: options.onWarning,
      }),
      options,
    );
  });
}

/** How {@link push} pushes an image, and signs it on the way. */
export interface PushOptions extends CopyOptions {
  /** Sign the image there before its tag moves, and its name where there is a trust collection. */
  readonly sign?: Omit<SignOptions, keyof Config> | undefined;
}

/** An image that was pushed, and what was signed. */
export interface Pushed extends CopiedImage {
  readonly signed: Signed | undefined;
}

/**
 * Brings an image from a layout or an archive to a registry, and signs it on request, as `bulla push` does.
 * @param from `oci:DIR[:tag]` or `oci-archive:FILE[:tag]`
 * @param to reference in a registry; without a tag it gets that of the source
 * @throws BullaError usage where `to` is not in a registry; those of {@link copy} and of {@link sign}
 * @example
 * ```ts
 * import { generateKeyPairSync } from 'node:crypto';
 * import { createSigner, pull, push } from 'bulla';
 *
 * await pull('registry.example.com/team/app:v1', 'oci:app', { verify: false });
 * const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
 * const { reference, signed } = await push('oci:app', 'registry.example.com/team/app:v2', {
 *   sign: { key: createSigner(privateKey) },
 * });
 * console.log(`${reference} with ${signed?.signatures.length} signature`);
 * ```
 */
export async function push(
  from: string | Reference,
  to: string | Reference,
  options: PushOptions = {},
): Promise<Pushed> {
  return await call(options, async (one) => {
    const destination = typeof to === 'string' ? parseReference(to) : to;
    if (destination.kind !== 'registry')
      throw new BullaError('usage', `${formatReference(destination)} is not in a registry`, {
        hint: 'copy brings images anywhere; push brings them to a registry',
      });
    const image = await one.places.openImage(textOf(from));
    const copying = copyingOf(one, image, destination, options);
    if (options.sign === undefined)
      return { ...(await complete(copyImage(copying), options)), signed: undefined };
    const signing = { ...options, ...options.sign };
    const wish = wishOf(signing);
    const ports = signPorts(one, destination, await copying.openTarget(), signing);
    const tag = tagAt(destination, image.reference);
    const prepared = await prepareToSign([{ ...destination, tag }], wish, ports);
    let arrived: SignedOnArrival | undefined;
    const copied = await copyImage({
      ...copying,
      beforeTag: async (content) => {
        arrived = await signOnArrival({ tag, content }, prepared, wish, ports);
      },
    });
    const pushed = await complete(copied, options);
    if (arrived?.waiting !== undefined) throw nameWaits({ ...destination, tag }, arrived.waiting);
    return { ...pushed, signed: arrived?.signed };
  });
}

/** How {@link pull} verifies an image, and what it brings. */
export interface PullOptions
  extends VerifyOptions,
    Pick<CopyOptions, 'referrers' | 'concurrency' | 'onEvent' | 'dryRun'> {
  /** `false`: bring it without looking at names and signatures. */
  readonly verify?: false | undefined;
}

/** An image that was pulled, and what was verified. */
export interface Pulled extends CopiedImage {
  /** Undefined without verification. */
  readonly verified: Verified | undefined;
}

/**
 * Verifies an image, then brings exactly what was verified into a layout or an archive, as `bulla pull` does. Of a
 * signed name it brings the signed digest, whatever the tag points to.
 * @param to `oci:DIR[:tag]` or `oci-archive:FILE[:tag]`
 * @throws BullaError those of {@link verify} and of {@link copy}; nothing is written before the image is verified
 * @example
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { pull } from 'bulla';
 *
 * const { reference, verified } = await pull('registry.example.com/team/app:v1', 'oci-archive:app.tar', {
 *   keys: [await readFile('release.pub', 'utf8')],
 * });
 * console.log(`${reference} is ${verified?.image.digest}`);
 * ```
 */
export async function pull(
  reference: string | Reference,
  to: string | Reference,
  options: PullOptions = {},
): Promise<Pulled> {
  return await call(options, async (one) => {
    const destination = typeof to === 'string' ? parseReference(to) : to;
    if (destination.kind === 'registry')
      throw new BullaError('usage', `${formatReference(destination)} is in a registry`, {
        hint: 'write oci:DIR or oci-archive:FILE; copy brings images from one registry to another',
      });
    const text = textOf(reference);
    const image = await one.places.openImage(text);
    const verified = options.verify === false ? undefined : await verifyImageAt(one, text, image, options);
    const version = verified?.image.digest ?? image.version;
    // Of an index that was verified for one platform, exactly that image is brought.
    const copying = copyingOf(one, { ...image, version }, destination, {
      ...options,
      platform: verified === undefined ? options.platform : undefined,
      bringCollection: options.platform === undefined,
    });
    return { ...(await complete(copyImage(copying), options)), verified };
  });
}

function copyingOf(one: Call, from: Image, to: Reference, options: CopyOptions): CopyImageOptions {
  const { referrers, dryRun = false, concurrency, onEvent, bringCollection: collection } = options;
  const imageName = from.reference.kind === 'registry' ? formatRepository(from.reference) : undefined;
  let opened: ReturnType<CopyImageOptions['openTarget']> | undefined;
  return {
    ...{ from, to, referrers, dryRun, concurrency, onEvent, collection, signal: one.signal },
    platform: platformOf(options),
    openTarget: () => {
      opened ??= one.places.openTarget(to, { write: !dryRun, create: !dryRun, imageName });
      return opened;
    },
  };
}

function platformOf({ platform }: CopyOptions): PlatformSelector | undefined {
  return platform === undefined ? undefined : parsePlatform(platform);
}

async function complete<C extends CopiedImage>(copying: C | Promise<C>, options: CopyOptions): Promise<C> {
  const copied = await copying;
  if (options.dryRun !== true) assertComplete(copied);
  return copied;
}

function textOf(reference: string | Reference): string {
  return typeof reference === 'string' ? reference : formatReference(reference);
}
