import { admitSigner, dismissalOf, dismissSigner } from '../../../actions/docker-trust/signers.ts';
import { generatePrivateKey } from '../../../crypto/private-key.ts';
import { createSigner } from '../../../crypto/signer.ts';
import { shellWord } from '../../../encoding/shell-word.ts';
import { BullaError, isBullaError } from '../../../errors.ts';
import { formatRepository, type Reference } from '../../../oci/reference.ts';
import { tufSigner } from '../../../tuf/edit/signing.ts';
import type { TufKey } from '../../../tuf/keys.ts';
import { confirmOrThrow } from '../../docker-trust/confirm.ts';
import { makeTrust } from '../../docker-trust/make.ts';
import { checkSignerName } from '../../docker-trust/names.ts';
import { type DockerTrustFlags, openTrust, repositoryOfText } from '../../docker-trust/place.ts';
import { readSignerKeys } from '../../docker-trust/public-keys.ts';
import type { Context } from '../../shell/context.ts';

export interface AddFlags extends DockerTrustFlags {
  readonly key?: readonly string[];
}

/** `bulla docker-trust signer add` */
export async function add(
  context: Context,
  name: string,
  repositories: readonly string[],
  flags: AddFlags,
): Promise<void> {
  checkSignerName(name);
  const { key: files = [], ...rest } = flags;
  const keys = await readSignerKeys(context, files);
  const references = repositories.map((text) => ({ text, reference: repositoryOfText(text) }));
  const { output } = context;
  const added = await each(context, references, async ({ text, reference }) => {
    output.text(`Adding signer "${name}" to ${text}...\n`);
    await addTo(context, { text, reference }, name, keys, rest);
    output.text(`Successfully added signer: ${name} to ${text}\n\n`);
  });
  if (added.failed.length > 0) throw failure('failed to add signer to', added.failed);
  output.result([], { signer: name, keys: keys.map(({ keyid }) => keyid), repositories: added.done });
}

interface Named {
  readonly text: string;
  readonly reference: Reference;
}

async function addTo(
  context: Context,
  { text, reference }: Named,
  name: string,
  keys: readonly TufKey[],
  flags: DockerTrustFlags,
): Promise<void> {
  let { place, copy } = await openTrust(context, reference, flags);
  if (copy === undefined) {
    context.output.text(`Initializing signed repository for ${text}...\n`);
    ({ place, copy } = await makeTrust(context, reference, flags));
    context.output.text(`Successfully initialized "${text}"\n`);
  }
  const starter = tufSigner(createSigner(generatePrivateKey('P-256')));
  const published = await admitSigner(place, copy, { name, keys, starter });
  if (published === undefined) context.output.info(`${name} had these keys already`);
}

export interface RemoveFlags extends DockerTrustFlags {
  readonly force?: true;
}

/** `bulla docker-trust signer remove` */
export async function remove(
  context: Context,
  name: string,
  repositories: readonly string[],
  flags: RemoveFlags,
): Promise<void> {
  if (name === 'releases')
    throw new BullaError('usage', 'releases is a reserved keyword and cannot be removed', {
      hint: 'give the name of a signer',
    });
  const { force, ...rest } = flags;
  const references = repositories.map((text) => ({ text, reference: repositoryOfText(text) }));
  const { output } = context;
  const removed = await each(context, references, async ({ text, reference }) => {
    output.text(`Removing signer "${name}" from ${text}...\n`);
    const { place, copy } = await openTrust(context, reference, rest);
    if (copy === undefined) throw noTrustData(reference, `error retrieving signers for ${text}`);
    const { withdrawn, isLast } = await dismissalOf(copy, name);
    if (withdrawn.length > 0 && force !== true) {
      const consequence = isLast
        ? `The signer "${name}" signed the last released version of ${text}. Removing this signer will make ${text} unpullable.`
        : `Only the signer "${name}" signed ${listed(withdrawn)} of ${text}. Removing this signer will make them unpullable.`;
      await confirmOrThrow(context, `${consequence} Are you sure you want to continue?`, {
        declined: `${name} was not removed from ${text}`,
        hint: `--force removes it anyway; to keep the tags, have another signer sign them first: bulla docker-trust sign ${formatRepository(reference)}:${withdrawn[0]}`,
      });
    }
    await dismissSigner(place, copy, name, (tags) => {
      for (const tag of tags) output.info(`${text}:${tag} is not signed any more`);
    });
    output.text(`Successfully removed ${name} from ${text}\n\n`);
  });
  if (removed.failed.length > 0) throw failure('error removing signer from', removed.failed);
  output.result([], { signer: name, repositories: removed.done });
}

function listed(tags: readonly string[]): string {
  const [some, rest] = [tags.slice(0, 5), tags.length - 5];
  return rest > 0 ? `${some.join(', ')} and ${rest} more tags` : some.join(', ');
}

interface Failed extends Named {
  readonly error: BullaError;
}

/** One repository after the other, as docker does; a failure of one does not keep the others from it. */
async function each(
  context: Context,
  repositories: readonly Named[],
  work: (named: Named) => Promise<void>,
): Promise<{ readonly done: readonly string[]; readonly failed: readonly Failed[] }> {
  const done: string[] = [];
  const failed: Failed[] = [];
  for (const named of repositories) {
    try {
      await work(named);
      done.push(named.text);
    } catch (error) {
      if (!isBullaError(error) || context.signal.aborted) throw error;
      context.output.partFailed(error);
      failed.push({ ...named, error });
    }
  }
  return { done, failed };
}

/** What a command ends with, with the code of the first that failed. */
function failure(words: string, failed: readonly Failed[]): BullaError {
  const [first] = failed as readonly [Failed, ...Failed[]];
  const { hint } = first.error;
  return new BullaError(first.error.code, `${words}: ${failed.map(({ text }) => text).join(', ')}`, {
    cause: first.error,
    ...(hint !== undefined && { hint }),
    details: {
      failed: failed.map(({ text, error }) => ({
        repository: text,
        code: error.code,
        message: error.message,
      })),
    },
  });
}

/** The error for a repository without a collection, in docker's words. */
export function noTrustData(reference: Reference, words: string): BullaError {
  const repository = formatRepository(reference);
  return new BullaError('not-found', `${words}: ${repository} does not have trust data`, {
    hint: `bulla init ${shellWord(repository)} makes a collection, bulla import notary ${shellWord(repository)} makes it of what a notary server has; if a collection lies elsewhere: --at HOST/REPOSITORY`,
    details: { repository },
  });
}
