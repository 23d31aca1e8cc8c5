import { BullaError } from '../errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, hexOf } from '../oci/digest.ts';
import type { ManifestContent } from '../oci/manifest.ts';
import type { CallOptions } from '../oci/target.ts';
import { refresh, type TufClient } from '../tuf/client.ts';
import { delegationOf } from '../tuf/delegations.ts';
import { versionOf } from '../tuf/edit/repository.ts';
import { MemoryStateStore } from '../tuf/memory.ts';
import type { MetadataFile } from '../tuf/metadata-file.ts';
import type { TrustedStateStore } from '../tuf/ports.ts';
import { metadataFileName } from '../tuf/role-name.ts';
import { type Assembly, assembleProof } from './assemble.ts';
import { bindingCheck, rootBindingOf } from './binding.ts';
import { type Anchor, type Collection, createdOf } from './collection.ts';
import type { TrustMemory } from './memory.ts';
import { type ObjectSource, openTrustObject } from './object.ts';
import { ObjectFetcher } from './object-fetcher.ts';
import { rootsOf } from './root-chain.ts';
import { WorkingCopy } from './working-copy.ts';

/**
 * Puts together the proof that a collection names an image so, as of now (spec/trust-copying.md, "Proofs"):
 * the root chain, timestamp, snapshot, targets, and of the other roles those that name the image.
 * @returns undefined where no role gives the image any of these names
 * @throws BullaError trust-invalid, trust-expired, content-invalid; what the collection's source throws
 */
export async function buildProof(
  collection: Collection,
  subject: Descriptor,
  names: Iterable<string>,
  options: CallOptions = {},
): Promise<Assembly | undefined> {
  const { client } = collection;
  const { roots, timestamp, snapshot, roles } = (await WorkingCopy.open(collection, options)).files;
  const naming = new Map<string, MetadataFile>();
  for (const name of names)
    for (const through of roles.keys())
      if (through !== 'targets') await collectNaming(client, name, through, subject.digest, naming);
  if (naming.size === 0) return undefined;
  const files = new Map<string, Uint8Array>();
  for (const file of [...roots, ...naming.values(), ...(snapshot === undefined ? [] : [snapshot])])
    files.set(metadataFileName(file.role, versionOf(file)), file.bytes);
  if (timestamp !== undefined) files.set(metadataFileName('timestamp'), timestamp.bytes);
  return assembleProof({ subject, files });
}

/** Adds the files on the way to what a role says about a name, if that is this image. */
async function collectNaming(
  client: TufClient,
  name: string,
  through: string,
  digest: Digest,
  files: Map<string, MetadataFile>,
): Promise<void> {
  for await (const { target, chain } of client.findTargets(name, { through })) {
    if (target.hashes.get('sha256') !== hexOf(digest)) return;
    let delegator = client.trusted.targetsDelegator();
    for (const [at, role] of chain.entries()) {
      const { file, content } = await client.role(role, delegator);
      files.set(role, file);
      const next = chain[at + 1];
      const { delegations } = content;
      const delegated =
        next === undefined || delegations === undefined ? undefined : delegationOf(delegations, next);
      if (delegated !== undefined) delegator = client.trusted.delegatorFor(role, content, delegated);
    }
    // What counts of a role is what it says first.
    return;
  }
}

export interface ProofOptions extends CallOptions {
  /** The image that the proof is to be about. */
  readonly subject: Digest;
  readonly now: Date;
  /** How long after expiry its metadata still counts, in milliseconds: 0 for not at all. */
  readonly maxStaleness: number;
  /** Says whom to believe first; where the collection was seen before, its root counts in any case. */
  readonly anchor: Anchor;
  /** Whether the collection may carry this `HOST/REPOSITORY` name. */
  readonly isNamed: (collection: string) => boolean;
  /** Read, to refuse what is older than what was seen before; never written to. */
  readonly memory: TrustMemory;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** A collection as a proof shows it. */
export interface ProvenCollection {
  /** Its client finds the names of the proof's image and nothing else. */
  readonly collection: Collection;
  /** When its timestamp was made, as that says. */
  readonly asOf: Date;
  /** How long ago the first of the files that were looked at so far expired, in milliseconds; 0 where none has. */
  stale(): number;
}

/**
 * Verifies a proof, for whoever cannot ask for the head and knows that (spec/trust-copying.md, "Proofs").
 * It is never a way out after a failure: who could have asked must ask.
 * @throws BullaError trust-expired where it is older than allowed; trust-rollback where something newer was seen;
 *   trust-invalid, trust-unpinned, content-invalid; digest-mismatch where it is about another image
 */
export async function openProof(
  source: ObjectSource,
  content: ManifestContent,
  options: ProofOptions,
): Promise<ProvenCollection> {
  const { now, maxStaleness, subject, anchor, isNamed, memory, onWarning } = options;
  const object = await openTrustObject(source, content, options);
  if (object.kind !== 'proof') throw noProof(content, `it is a ${object.kind}`);
  if (object.subject?.digest !== subject) throw otherImage(content, subject, object.subject?.digest);
  const { id, initialRoot } = await anchor(rootsOf(source, object, options));
  const remembered = await memory.open(id);
  const check = bindingCheck(id, isNamed);
  const judgedAt = new Date(now.getTime() - maxStaleness);
  const client = await refresh(
    new ObjectFetcher(source, object, options),
    await copyOfState(remembered),
    judgedAt,
    { initialRoot, demand: check, ...(onWarning !== undefined && { onWarning }) },
  );
  const { collection: name } = rootBindingOf(client.trusted.root.file);
  const { trusted } = client;
  const wasKnown = (await remembered.load('timestamp')) !== undefined;
  const collection = {
    ...{ place: source.name, id, name, source, object, client, memory: remembered, check },
    readAt: now,
    wasKnown,
  };
  return {
    collection,
    asOf: createdOf(client),
    stale: () => Math.max(0, now.getTime() - trusted.expires.getTime()),
  };
}

/** What was seen before bounds versions from below; what a proof shows is not to bound anything. */
async function copyOfState(state: TrustedStateStore): Promise<MemoryStateStore> {
  const copy = new MemoryStateStore();
  for (const role of ['root', 'timestamp', 'snapshot']) {
    const bytes = await state.load(role);
    if (bytes !== undefined) await copy.replace([{ role, expected: undefined, bytes }]);
  }
  return copy;
}

function noProof({ descriptor }: ManifestContent, why: string): BullaError {
  return new BullaError('trust-invalid', `${descriptor.digest} proves nothing: ${why}`, {
    hint: 'somebody attached something else to the image; ask the registry for the head instead',
    details: { digest: descriptor.digest, reason: 'object' },
  });
}

function otherImage({ descriptor }: ManifestContent, expected: Digest, found?: Digest): BullaError {
  return new BullaError(
    'digest-mismatch',
    `the proof ${descriptor.digest} is about ${found ?? 'no image'}, not about ${expected}`,
    {
      hint: 'somebody lists it where it does not belong',
      details: { expected, ...(found !== undefined && { found }) },
    },
  );
}
