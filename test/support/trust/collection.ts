import { streamOf } from '../../../src/oci/content.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import type { Target } from '../../../src/oci/target.ts';
import { type CollectionFiles, createCollection } from '../../../src/trust/change/create.ts';
import { type Assembly, assembleHead } from '../../../src/trust/format/assemble.ts';
import { trustVersions } from '../../../src/trust/format/versions.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import type { EditPolicy } from '../../../src/tuf/edit/policy.ts';
import { anyOf, NOW, ONLINE, PUBLISHER, ROOT, signersOf } from '../tuf/editing.ts';
import { poolKey } from '../tuf/keys.ts';

export const PLACE = 'registry.example.com/team/app';

/** Versions without chance: each is the first of its epoch. */
export const policy: Pick<EditPolicy, 'versions'> = { versions: trustVersions(() => 0) };

/** A collection without names, by keys of the pool. */
export function newCollection(name: string = PLACE, now: Date = NOW): Promise<CollectionFiles> {
  const [root, publisher, online] = [poolKey(ROOT), poolKey(PUBLISHER), poolKey(ONLINE)];
  return createCollection(
    { name, now, policy, root: anyOf(1, root), names: anyOf(1, publisher), online: anyOf(1, online) },
    signersOf(root, publisher, online),
  );
}

/** Pushes an assembled object as a publisher does. */
export async function pushAssembly(
  target: Pick<Target, 'pushBlob' | 'pushManifest'>,
  { blobs, children, top }: Assembly,
  tag: Tag,
): Promise<void> {
  for (const { descriptor, bytes } of blobs) await target.pushBlob(descriptor, async () => streamOf(bytes));
  for (const child of children) await target.pushManifest(child);
  await target.pushManifest(top, { tag });
}

/** Pushes a collection as the head. */
export async function pushHead(target: Target, { files, logs }: CollectionFiles): Promise<void> {
  await pushAssembly(target, assembleHead({ files, logs }), HEAD_TAG);
}
