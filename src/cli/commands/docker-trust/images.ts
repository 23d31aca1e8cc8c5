import { revokeTags, signTag } from '../../../actions/docker-trust/tags.ts';
import { type TrustInfo, trustInfoOf } from '../../../actions/docker-trust/trust-info.ts';
import { fetchToSign } from '../../../actions/sign/signature.ts';
import { BullaError, isBullaError } from '../../../errors.ts';
import { formatRepository, parseReference, type Reference, type Tag } from '../../../oci/reference.ts';
import { isReservedTag, NAMES_ROLE } from '../../../trust/format/vocabulary.ts';
import { confirmOrThrow } from '../../docker-trust/confirm.ts';
import { dockerJson, inspectJson, inspectPretty } from '../../docker-trust/format.ts';
import { makeTrust } from '../../docker-trust/make.ts';
import { type DockerTrustFlags, openTrust } from '../../docker-trust/place.ts';
import { wrapped } from '../../docker-trust/public-keys.ts';
import type { CollectionFlags } from '../../flags/collection-flags.ts';
import { showCollection } from '../../flags/shown-collection.ts';
import { versionText } from '../../render/sign-text.ts';
import type { Context } from '../../shell/context.ts';
import { noTrustData } from './signers.ts';

export interface SignFlags extends DockerTrustFlags {
  readonly local?: true;
}

/** `bulla docker-trust sign` */
export async function sign(context: Context, text: string, flags: SignFlags): Promise<void> {
  const { local, ...rest } = flags;
  const { reference, tag } = taggedImage(text);
  const repository = formatRepository(reference);
  const { output, signal } = context;
  // Before anything is made: the image must be there.
  const target = await context.openTarget(reference, { write: true });
  const content = await fetchToSign(target, { tag }, { name: text, signal });
  if (local === true)
    output.info(
      '--local has no effect: the image in the registry is signed, and no docker daemon is contacted',
    );
  let { place, copy } = await openTrust(context, reference, rest);
  if (copy === undefined) {
    ({ place, copy } = await makeTrust(context, reference, rest));
    output.text(`Finished initializing signed repository for ${text}\n`);
  }
  output.text(`Signing and pushing trust metadata for ${text}\n`);
  const { before, roles, published } = await signTag(place, copy, tag, content).catch((cause: unknown) => {
    throw wrapped(`failed to sign ${repository}:${tag}`, cause);
  });
  const { digest } = content.descriptor;
  if (before !== undefined)
    output.text(
      `Existing signatures for tag ${tag} digest ${before.digest} from:\n${[...before.signers].sort().join(', ')}\n`,
    );
  if (!roles.includes(NAMES_ROLE))
    output.warn(
      `${tag} is not released: no key here may sign for the repository; bulla verify takes the word of ${roles.join(', ')} with --signer`,
    );
  output.text(`Successfully signed ${repository}:${tag}\n`);
  const version = versionText(published.collection);
  output.info(`${tag} → ${digest} (signed in version ${version})`);
  output.result([], { reference: `${repository}:${tag}`, digest, roles, head: published.head });
}

export interface RevokeFlags extends DockerTrustFlags {
  readonly yes?: true;
}

/** `bulla docker-trust revoke` */
export async function revoke(context: Context, text: string, flags: RevokeFlags): Promise<void> {
  const { yes, ...rest } = flags;
  const reference = parseReference(text);
  if (reference.digest !== undefined) throw digestRefused(reference);
  const { tag } = reference;
  if (tag === undefined && yes !== true)
    await confirmOrThrow(context, `Confirm you would like to delete all signature data for ${text}?`, {
      declined: 'trust revoke has been cancelled',
      hint: `--yes does it without being asked: bulla docker-trust revoke --yes ${formatRepository(reference)}`,
    });
  const { output } = context;
  const repository = formatRepository(reference);
  const { place, copy } = await openTrust(context, reference, rest);
  if (copy === undefined) throw noTrustData(reference, `could not remove signature for ${text}`);
  const { tags, others, published } = await revokeTags(place, copy, tag).catch((cause: unknown) => {
    throw wrapped(`could not remove signature for ${text}`, cause);
  });
  for (const other of others)
    output.warn(
      `${other} still names what was revoked, and its key is not available: run this again on the machine with the key, or remove the signer: bulla docker-trust signer remove ${other} ${repository}`,
    );
  output.text(`Successfully deleted signature for ${text}\n`);
  output.result([], { repository, tags, head: published.head });
}

export interface InspectFlags extends CollectionFlags {
  readonly pretty?: true;
}

/** `bulla docker-trust inspect` */
export async function inspect(
  context: Context,
  texts: readonly string[],
  flags: InspectFlags,
): Promise<void> {
  const { pretty, ...rest } = flags;
  const { output } = context;
  const infos: TrustInfo[] = [];
  const failures: BullaError[] = [];
  for (const text of texts) {
    try {
      const info = await infoOf(context, text, rest);
      // Docker's tables come one by one, its JSON when all of it is there.
      if (pretty === true) output.text(`${infos.length > 0 ? '\n\n' : ''}${inspectPretty(info)}`);
      infos.push(info);
    } catch (error) {
      if (pretty === true || !isBullaError(error) || context.signal.aborted) throw error;
      failures.push(error);
    }
  }
  if (pretty !== true) output.text(inspectJson(infos));
  const [first] = failures;
  if (first !== undefined) throw failures.length === 1 ? first : together(first, failures);
  output.result([], { repositories: infos.map(dockerJson) });
}

async function infoOf(context: Context, text: string, flags: CollectionFlags): Promise<TrustInfo> {
  const { digest, tag, ...rest } = parseReference(text);
  const reference = rest as Reference;
  const shown = await showCollection(context, reference, flags);
  if (shown === undefined) throw noTrustData(reference, `no signatures or cannot access ${text}`);
  const { signal } = context;
  // Of a digest docker shows the whole repository.
  return await trustInfoOf(shown.copy, text, digest === undefined ? tag : undefined, { signal });
}

function together(first: BullaError, failures: readonly BullaError[]): BullaError {
  const { code, hint } = first;
  return new BullaError(code, failures.map(({ message }) => message).join('\n'), {
    lines: true,
    cause: first,
    ...(hint !== undefined && { hint }),
  });
}

/** @throws BullaError usage where it is not a tag that can be signed */
function taggedImage(text: string): { readonly reference: Reference; readonly tag: Tag } {
  const reference = parseReference(text);
  const { tag } = reference;
  if (reference.digest !== undefined) throw digestRefused(reference);
  if (tag === undefined)
    throw new BullaError('usage', `no tag specified for ${text}`, {
      hint: `add the tag that is to be signed: ${formatRepository(reference)}:v1`,
    });
  if (isReservedTag(tag))
    throw new BullaError('usage', `${text} is part of the trust collection, not an image`, {
      hint: 'tags that begin with _trust are kept for it',
    });
  return { reference, tag };
}

function digestRefused(reference: Reference): BullaError {
  return new BullaError('usage', 'cannot use a digest reference for IMAGE:TAG', {
    hint: `give a tag: ${formatRepository(reference)}:v1; bulla sign signs an image by its digest`,
  });
}
