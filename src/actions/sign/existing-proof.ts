import { equalBytes } from '../../encoding/bytes.ts';
import { isBullaError, throwIfAborted } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import type { CallOptions, Source } from '../../oci/target.ts';
import { TRUST_TYPES } from '../../trust/format/vocabulary.ts';
import { anyFirstRoot, type Collection } from '../../trust/read/collection.ts';
import { ProcessMemory } from '../../trust/read/memory.ts';
import { findName } from '../../trust/read/names.ts';
import { openProof } from '../../trust/transfer/proof.ts';
import { livesLongEnough } from './existing.ts';

/** Most proofs of an image that are looked at, the last listed first. */
const MAX_PROOFS_COMPARED = 8;

/**
 * A proof beside an image that makes a new one needless: it verifies from the collection's own root, gives the image all
 * of these names, and has at least a third of the life that a new one would have.
 * @returns undefined where there is none, or what is listed cannot be read
 */
export async function findEqualProof(
  source: Source,
  collection: Collection,
  image: Descriptor,
  tags: readonly Tag[],
  { signal, now }: CallOptions & { readonly now: Date },
): Promise<Digest | undefined> {
  try {
    const options = { signal, artifactType: TRUST_TYPES.proof };
    const listed = [...(await source.listReferrers(image.digest, options))].reverse();
    for (const { digest } of listed.slice(0, MAX_PROOFS_COMPARED)) if (await isEqual(digest)) return digest;
  } catch (error) {
    throwIfAborted(signal);
    if (!isBullaError(error)) throw error;
  }
  return undefined;

  async function isEqual(digest: Digest): Promise<boolean> {
    try {
      const content = await source.fetchManifest(digest, { signal });
      const { place, name } = collection;
      const proof = await openProof(source, content, image.digest, {
        ...{ place, now, signal, isPinned: true },
        // The root that it leads to is compared below, so what it begins with does not matter.
        anchor: anyFirstRoot,
        memory: new ProcessMemory(),
        isNamed: (other) => other === name,
      });
      const root = proof.client.trusted.root.file.bytes;
      if (!equalBytes(root, collection.client.trusted.root.file.bytes)) return false;
      for (const tag of tags)
        if ((await findName(proof, tag, { anySigner: true })).digest !== image.digest) return false;
      return livesLongEnough(proof.client.trusted.expires, collection.client.trusted.expires, now);
    } catch (error) {
      throwIfAborted(signal);
      if (isBullaError(error)) return false;
      throw error;
    }
  }
}
