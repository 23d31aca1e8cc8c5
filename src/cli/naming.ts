import type { Signer } from '../crypto/signer.ts';
import { BullaError, messageOf, throwIfAborted } from '../errors.ts';
import { bareDescriptor, type Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { formatRepository, type Reference } from '../oci/reference.ts';
import type { Target } from '../oci/target.ts';
import type { NameChange, Published } from '../trust/publish/publish.ts';
import type { Collection } from '../trust/read/collection.ts';
import { type TufSigner, tufSigner } from '../tuf/edit/signing.ts';
import type { OpenedCollection } from './flags/collection-flags.ts';
import type { NamingFlags } from './flags/naming-flags.ts';
import { publishOptionsOf } from './flags/publish-flags.ts';
import type { Side } from './shell/access.ts';
import type { Context } from './shell/context.ts';

/** A collection whose names are about to be changed, and the keys for it. */
export interface Naming {
  readonly opened: OpenedCollection;
  readonly collection: Collection;
  readonly role: string;
  readonly signers: readonly TufSigner[];
}

/**
 * Reads the collection of a repository, and finds the keys for a change of its names. No key is opened yet.
 * @param unlocked a key that is open already, not to be asked for twice
 * @returns undefined where the repository has no collection
 * @throws BullaError untrusted-identity where no key here may sign for the role; usage where there is no such
 *   role; those of openCollection and readCollection
 */
export async function openNaming(
  context: Context,
  reference: Reference,
  flags: NamingFlags,
  unlocked?: Signer,
  side?: Side,
): Promise<Naming | undefined> {
  const [{ openCollection }, { readCollection }, { WorkingCopy }, { NAMES_ROLE }] = await Promise.all([
    import('./flags/collection-flags.ts'),
    import('../trust/read/collection.ts'),
    import('../trust/read/working-copy.ts'),
    import('../trust/format/vocabulary.ts'),
  ]);
  const opened = await openCollection(context, reference, flags, { write: true, side });
  const collection = await readCollection(opened.target, opened.read);
  if (collection === undefined) return undefined;
  const role = flags.signer ?? NAMES_ROLE;
  const copy = await WorkingCopy.open(collection, { signal: context.signal });
  copy.contentOf(role);
  const signers = withUnlocked(await signersFor(context, flags, copy, role), unlocked);
  return { opened, collection, role, signers };
}

function withUnlocked(signers: readonly TufSigner[], unlocked: Signer | undefined): readonly TufSigner[] {
  if (unlocked === undefined) return signers;
  const { fingerprint } = unlocked.publicKey;
  return signers.map((signer) => {
    const mine = signer.key.fingerprint === fingerprint ? tufSigner(unlocked) : undefined;
    return mine?.key.keyid === signer.key.keyid ? mine : signer;
  });
}

async function signersFor(
  context: Context,
  flags: NamingFlags,
  copy: import('../trust/read/working-copy.ts').WorkingCopy,
  role: string,
): Promise<readonly TufSigner[]> {
  const [{ keysAtHand }, { Keyring }] = await Promise.all([
    import('./flags/trust-keys.ts'),
    import('../tuf/edit/demands.ts'),
  ]);
  const { key, ...rest } = flags;
  const keys = keysAtHand(context, key === undefined ? rest : { ...rest, key });
  const keyring = new Keyring(copy.files);
  const own = keyring.demandsOn(role);
  const signers = await keys.signersFor(
    [role, 'snapshot', 'timestamp'].flatMap((needed) => keyring.demandsOn(needed)),
  );
  const listed = own.flatMap(({ role: { keyids } }) => keyids);
  if (signers.some((signer) => listed.includes(signer.key.keyid))) return signers;
  const { place } = copy.collection;
  throw new BullaError('untrusted-identity', `no key here may sign names for ${quoted(role)} at ${place}`, {
    hint: `its keys are ${listed.map((id) => id.slice(0, 12)).join(', ')}: give one with --key, have a key holder add yours (bulla signer add), or sign the image alone with --no-name`,
    details: { place, role, keys: listed },
  });
}

/**
 * Publishes changes of names, and tells what was taken over from others on the way.
 * @throws BullaError staged, conflict; what publishing throws
 */
export async function publishNaming(
  context: Context,
  { opened, signers }: Naming,
  changes: readonly NameChange[],
  flags: NamingFlags,
): Promise<Published> {
  const { publishNames } = await import('../trust/publish/publish.ts');
  const options = await publishOptionsOf(context, signers, flags);
  const published = await publishNames(opened.target, opened.read, changes, options);
  for (const { entry, reason, names } of published.conflicts)
    context.output.warn(
      `a change of somebody else (${entry.id}) cannot be taken over: ${
        reason === 'old' ? 'it is older than the log reaches back' : `${names.join(', ')} was changed since`
      }; bulla status shows it`,
    );
  if (published.folded.length > 0)
    context.output.info(`took over ${published.folded.length} changes of others that were waiting`);
  return published;
}

/** What was published, for `-o json`. */
export async function publishedJson(
  { opened, role }: Naming,
  { head, collection, ids }: Published,
): Promise<Readonly<Record<string, unknown>>> {
  return {
    place: opened.place,
    name: collection.name,
    role,
    head,
    version: await versionText(collection),
    changes: ids,
  };
}

/** Version of the head's timestamp, for people. */
export async function versionText({ client }: Collection): Promise<string> {
  const { formatVersion } = await import('../tuf/edit/policy.ts');
  return formatVersion(client.trusted.timestamp.content.version);
}

/**
 * Attaches proofs to images that were named. That one cannot be had is no reason to fail: the head holds.
 * @param images names by descriptor of the image
 * @returns digests of the proofs
 */
export async function writeProofs(
  context: Context,
  target: Target,
  { collection }: Published,
  images: ReadonlyMap<Descriptor, readonly string[]>,
): Promise<readonly Digest[]> {
  const [{ buildProof }, { streamOf }] = await Promise.all([
    import('../trust/transfer/proof.ts'),
    import('../oci/content.ts'),
  ]);
  const { signal, output } = context;
  const proofs: Digest[] = [];
  for (const [image, names] of images) {
    try {
      const proof = await buildProof(collection, bareDescriptor(image), names, { signal });
      if (proof === undefined) continue;
      await Promise.all(
        proof.blobs.map(({ descriptor, bytes }) =>
          target.pushBlob(descriptor, async () => streamOf(bytes), { signal }),
        ),
      );
      await target.pushManifest(proof.top, { signal });
      proofs.push(proof.top.descriptor.digest);
    } catch (error) {
      throwIfAborted(signal);
      output.warn(`no proof was attached to ${image.digest}: ${messageOf(error)}`);
    }
  }
  return proofs;
}

/** Why a name can't be signed where there is no collection. */
export function noCollection(reference: Reference): BullaError {
  const repository = formatRepository(reference);
  return new BullaError(
    'not-found',
    `${repository} has no trust collection, so no name of it can be signed`,
    {
      hint: `bulla init ${repository} makes one, or give the repository where it lies: --at OTHER/REPO`,
      details: { repository },
    },
  );
}

function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 80));
}
