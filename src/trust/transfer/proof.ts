import { BullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { type Digest, hexOf } from '../../oci/digest.ts';
import type { ManifestContent } from '../../oci/manifest.ts';
import { isTag, type Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import type { TufClient } from '../../tuf/client.ts';
import { delegationOf } from '../../tuf/delegations.ts';
import { versionOf } from '../../tuf/edit/repository.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { type MetadataFile, parseMetadataFile } from '../../tuf/metadata-file.ts';
import { isTopLevelRole, metadataFileName } from '../../tuf/role-name.ts';
import { parseTargets } from '../../tuf/targets.ts';
import { type Assembly, assembleProof } from '../format/assemble.ts';
import { fetchFile, type ObjectSource, openTrustObject } from '../format/object.ts';
import { roleFilesIn } from '../format/role-files.ts';
import { type Collection, type ReadOptions, verifyObject } from '../read/collection.ts';
import { ScratchMemory } from '../read/scratch-memory.ts';
import { WorkingCopy } from '../read/working-copy.ts';

/** Roles whose remembered files bound a proof. Targets and names must come from the proof itself. */
const OF_EVERY_HEAD: ReadonlySet<string> = new Set(['root', 'timestamp', 'snapshot']);

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

/**
 * Verifies a proof, for deliberate offline use (spec/trust-copying.md, "Proofs").
 * It is never a way out after a failure: who could have asked must ask. What is remembered of the
 * collection bounds it, and nothing of it is remembered.
 * @param subject the image that it is to be about
 * @returns a collection that knows the names of the proof's image and no other
 * @throws BullaError trust-expired where it is older than allowed; trust-rollback where something newer was seen;
 *   trust-invalid, trust-unpinned, content-invalid; digest-mismatch where it is about another image
 */
export async function openProof(
  source: ObjectSource,
  content: ManifestContent,
  subject: Digest,
  options: ReadOptions,
): Promise<Collection> {
  const object = await openTrustObject(source, content, options);
  if (object.kind !== 'proof') throw noProof(content, `it is a ${object.kind}`);
  if (object.subject?.digest !== subject) throw otherImage(content, subject, object.subject?.digest);
  return await verifyObject(source, object, {
    ...options,
    memory: new ScratchMemory(options.memory, OF_EVERY_HEAD),
  });
}

function noProof({ descriptor }: ManifestContent, why: string): BullaError {
  return new BullaError('trust-invalid', `${descriptor.digest} proves nothing: ${why}`, {
    hint: 'another object was attached to the image; ask the registry for the head instead',
    details: { digest: descriptor.digest, reason: 'object' },
  });
}

function otherImage({ descriptor }: ManifestContent, expected: Digest, found?: Digest): BullaError {
  return new BullaError(
    'digest-mismatch',
    `the proof ${descriptor.digest} is about ${found ?? 'no image'}, not about ${expected}`,
    {
      hint: 'it is listed where it does not belong',
      details: { expected, ...(found !== undefined && { found }) },
    },
  );
}

/**
 * Tags that a proof's files give an image, in order: nothing is verified yet of what they say, and each is to
 * be looked up.
 * @throws BullaError content-invalid; what the collection's source throws
 */
export async function namesProven(collection: Collection, digest: Digest): Promise<readonly Tag[]> {
  const { object, source } = collection;
  const names = new Set<Tag>();
  for (const { role, descriptor } of roleFilesIn(object)) {
    if (isTopLevelRole(role)) continue;
    // Only candidates: what counts is what the verified roles say of them.
    const bytes = await fetchFile(source, descriptor, DEFAULT_LIMITS.targetsBytes);
    const { targets } = parseTargets(parseMetadataFile(bytes, role, DEFAULT_LIMITS.targetsBytes));
    for (const [name, { hashes }] of targets)
      if (hashes.get('sha256') === hexOf(digest) && isTag(name)) names.add(name);
  }
  return [...names].sort();
}
