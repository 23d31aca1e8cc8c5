import { utf8 } from '../../../encoding/bytes.ts';
import { formatRepository, isTag, type Reference } from '../../../oci/reference.ts';
import { NAMES_ROLE } from '../../../trust/format/vocabulary.ts';
import { listNames } from '../../../trust/report/listing.ts';
import type { CollectionFlags } from '../../flags/collection-flags.ts';
import { demandShown } from '../../flags/shown-collection.ts';
import type { Context } from '../../shell/context.ts';

/** `bulla ls --references`: the names of the role `names` as `REPOSITORY:TAG@DIGEST`, one per line. */
export async function listReferences(
  context: Context,
  reference: Reference,
  flags: CollectionFlags & { readonly out?: string },
): Promise<void> {
  const { output, signal } = context;
  const { copy, looked, trusted } = await demandShown(context, reference, flags);
  const repository = formatRepository(reference);
  const references: string[] = [];
  for await (const names of listNames(copy, { signal }))
    for (const { name, digest, signers } of names)
      if (isTag(name) && signers.includes(NAMES_ROLE)) references.push(`${repository}:${name}@${digest}`);
  const { out } = flags;
  if (out !== undefined) {
    const { writeFileAtomic } = await import('../../../disk/atomic.ts');
    const bytes = utf8(references.map((line) => `${line}\n`).join(''));
    await writeFileAtomic(context.path(out), bytes, { exclusive: true });
  }
  const json = { repository, collection: looked.collection.id, trusted, references, file: out ?? null };
  output.result(out === undefined ? references : [out], json);
}
