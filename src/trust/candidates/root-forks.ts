import { equalBytes } from '../../encoding/bytes.ts';
import { isBullaError } from '../../errors.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { type MetadataFile, parseMetadataFile } from '../../tuf/metadata-file.ts';
import { metadataFileName } from '../../tuf/role-name.ts';
import { TrustedMetadata } from '../../tuf/trusted-metadata.ts';
import { fetchFile, type ObjectSource } from '../format/object.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import type { Sibling } from './siblings.ts';

/** Most of them that are looked for: each was signed by a threshold of root keys, so there are hardly two. */
const MAX_FORKS = 4;
/** Most files that are read to find them. */
const MAX_SPELLINGS = 64;

/**
 * Other roots of the present root's version that siblings hold and that follow the root before as well:
 * clients may have seen them.
 * @throws BullaError what the source throws
 */
export async function findForks(
  source: ObjectSource,
  { collection, files }: WorkingCopy,
  siblings: readonly Sibling[],
): Promise<readonly MetadataFile[]> {
  const { root } = collection.client.trusted;
  const before = files.roots.at(-2);
  const name = metadataFileName('root', root.content.version);
  const forks: MetadataFile[] = [];
  if (before === undefined) return [];
  const read = new Set([collection.object.files.get(name)?.digest]);
  for (const { object } of siblings) {
    const descriptor = object.files.get(name);
    if (descriptor === undefined || read.has(descriptor.digest)) continue;
    if (forks.length >= MAX_FORKS || read.size > MAX_SPELLINGS) break;
    read.add(descriptor.digest);
    try {
      const bytes = await fetchFile(source, descriptor, DEFAULT_LIMITS.rootBytes);
      const file = parseMetadataFile(bytes, 'root', DEFAULT_LIMITS.rootBytes);
      // A root can be serialized in other ways: it is the same if its signed content is the same.
      if ([root.file, ...forks].some(({ message }) => equalBytes(message, file.message))) continue;
      new TrustedMetadata(before.bytes, collection.client.trusted.now, {
        demand: collection.check,
      }).updateRoot(bytes);
      forks.push(file);
    } catch (error) {
      if (!isBullaError(error, 'trust-invalid', 'content-invalid', 'not-found', 'key-invalid')) throw error;
    }
  }
  return forks;
}
