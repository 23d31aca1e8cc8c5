import { dirname, relative, resolve } from 'node:path';
import { assertAll, eachOf } from '../../../actions/copy/many.ts';
import { findCollection, findSigners } from '../../../actions/inspect/signers.ts';
import type { CollectionPorts } from '../../../actions/verify/collection.ts';
import { Shared } from '../../../actions/verify/shared.ts';
import type { PublicKey } from '../../../crypto/public-key.ts';
import { writeFileAtomic } from '../../../disk/atomic.ts';
import { utf8 } from '../../../encoding/bytes.ts';
import { BullaError, isBullaError } from '../../../errors.ts';
import { parseReference } from '../../../oci/reference.ts';
import type { ImageInUse, SignerIdentity } from '../../../policy/init/found.ts';
import { starterPolicy } from '../../../policy/init/starter.ts';
import { tufUrlOf } from '../../../sigstore-client/tuf-url.ts';
import { collectionPorts } from '../../flags/collection-flags.ts';
import { trustedRootOf } from '../../flags/keyless-flags.ts';
import { givenReferences } from '../../flags/reference-list.ts';
import type { Context } from '../../shell/context.ts';
import { identity, readManifests } from '../verify/manifests.ts';

export interface InitFlags {
  readonly k8s?: readonly string[];
  readonly imagePath?: readonly string[];
  readonly from?: string;
  readonly key?: readonly string[];
  readonly trustedRoot?: string;
  readonly write?: string;
  readonly force?: true;
}

/**
 * `bulla policy init`: looks at who has signed the images in use, and prints or writes a policy that denies them all until
 * a person confirms the signers.
 * @throws BullaError usage, content-invalid; conflict where the file exists; with the code of the worst failure if an
 *   image could not be looked at: the policy is written nevertheless, and says so
 */
export async function printInit(context: Context, texts: readonly string[], flags: InitFlags): Promise<void> {
  const { output, settings, signal } = context;
  const all = await imagesIn(context, texts, flags);
  const collections = await collectionPorts(context);
  const look = await lookerFor(context, flags, collections);
  const images: ImageInUse[] = [];
  const tally = await eachOf(all, { concurrency: settings.concurrency, signal }, look, (outcome) => {
    if (outcome.ok) images.push(outcome.value);
    else {
      const { text, error } = outcome;
      output.warn(`${text}: ${error.message} [${error.code}]`);
      const place = collections.placeOf(parseReference(text));
      images.push({ ...NOTHING, text, place, failure: { code: error.code, message: error.message } });
    }
  });
  if (tally.left > 0) assertAll(tally, 'looked at', signal);
  const policy = starterPolicy(images, {
    trustedRoot: placeFor(context, flags),
    now: context.io.now(),
  });
  if (flags.write !== undefined)
    await writeFileAtomic(context.path(flags.write), utf8(policy), { exclusive: flags.force !== true });
  for (const image of images) output.info(summaryOf(image));
  const json = { policy, file: flags.write ?? null, images: images.map(imageJson) };
  if (tally.failed > 0 && settings.json) return refuse(tally, json, signal);
  output.result(flags.write === undefined ? policy.trimEnd().split('\n') : [], json);
  output.info(
    `${flags.write ?? 'this policy'} denies every image until you confirm who signs it: its comments say how`,
  );
  assertAll(tally, 'looked at', signal);
}

function refuse(
  tally: Parameters<typeof assertAll>[0],
  json: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): void {
  try {
    assertAll(tally, 'looked at', signal);
  } catch (error) {
    if (!isBullaError(error)) throw error;
    const { code, message, hint, details } = error;
    throw new BullaError(code, message, {
      cause: error,
      ...(hint !== undefined && { hint }),
      details: { ...details, ...json },
    });
  }
}

/** The references that were given, and those in manifests. @throws BullaError usage, content-invalid */
async function imagesIn(
  context: Context,
  texts: readonly string[],
  { k8s = [], imagePath = [], from }: InitFlags,
): Promise<readonly string[]> {
  if (imagePath.length > 0 && k8s.length === 0)
    throw new BullaError('usage', '--image-path goes with --k8s', { hint: 'add --k8s FILE' });
  if (from === '-' && k8s.includes('-'))
    throw new BullaError('usage', '--k8s - and --from - both read standard input', {
      hint: 'give one of them as a file',
    });
  const given =
    texts.length > 0 || from !== undefined || k8s.length === 0
      ? await givenReferences(context, texts, from)
      : [];
  const files = await readManifests(context, k8s, imagePath);
  const images = [...given, ...files.flatMap(({ uses }) => uses.map(({ image }) => image))];
  for (const image of images) identity(image);
  return images;
}

const NOTHING = { signers: [], unconfirmed: [], unexamined: 0 };

type Look = (text: string) => Promise<ImageInUse>;

async function lookerFor(context: Context, flags: InitFlags, collections: CollectionPorts): Promise<Look> {
  const [root, keys] = await Promise.all([
    trustedRootOf(context, flags.trustedRoot),
    keysIn(context, flags.key ?? []),
  ]);
  const { now, signal } = collections;
  const shared = new Shared();
  return async (text) => {
    const { reference, source } = await context.openImage(text);
    const place = collections.placeOf(reference);
    const [{ image, ...found }, collection] = await Promise.all([
      findSigners(source, reference, { name: text, keys, root, now, signal }),
      shared.once(place, () => findCollection(reference, collections)),
    ]);
    return { text, place, digest: image.digest, ...found, collection };
  };
}

async function keysIn(context: Context, paths: readonly string[]): Promise<readonly PublicKey[]> {
  if (paths.length === 0) return [];
  const [{ readPublicFile }, { readPublicKeys }] = await Promise.all([
    import('../../../keystore/read.ts'),
    import('../../../crypto/public-key.ts'),
  ]);
  const read = async (path: string): Promise<readonly PublicKey[]> =>
    readPublicKeys(await readPublicFile(context.path(path)), path);
  return (await Promise.all(paths.map(read))).flat();
}

/** Paths in a policy are relative to it. */
function placeFor(context: Context, { trustedRoot, write }: InitFlags): string | undefined {
  if (trustedRoot === undefined || tufUrlOf(trustedRoot) !== undefined) return trustedRoot;
  const path = resolve(context.io.cwd, trustedRoot);
  return write === undefined ? path : relative(dirname(context.path(write)), path);
}

function summaryOf({ text, failure, signers, unconfirmed, collection }: ImageInUse): string {
  if (failure !== undefined) return `${text}: not looked at [${failure.code}]`;
  const parts = [
    signers.length === 1 ? '1 signature verifies' : `${signers.length} signatures verify`,
    ...(unconfirmed.length > 0 ? [`${unconfirmed.length} stay unverified`] : []),
    ...(collection === undefined ? [] : ['a trust collection is there']),
  ];
  return `${text}: ${parts.join(', ')}`;
}

function imageJson(image: ImageInUse): Record<string, unknown> {
  const { text, place, digest = null, failure = null, signers, unconfirmed, unexamined, collection } = image;
  return {
    given: text,
    scope: place,
    digest,
    failure,
    signers: signers.map(({ identity, ...signer }) => ({ ...signer, ...identityJson(identity) })),
    unverified: unconfirmed,
    unexamined,
    rootKeyIds: collection !== undefined && 'rootKeyIds' in collection ? collection.rootKeyIds : [],
  };
}

function identityJson(identity: SignerIdentity): Record<string, unknown> {
  if (identity.kind === 'key') return { key: identity.key.fingerprint };
  if (identity.kind === 'keyless') return { identity: identity.subject, issuer: identity.issuer };
  return { identity: identity.subject, authority: identity.authority.thumbprint };
}
