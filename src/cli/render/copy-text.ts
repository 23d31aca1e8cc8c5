import type { CopiedCollection } from '../../actions/copy/collection.ts';
import type { CopiedImage } from '../../actions/copy/image.ts';
import { shellWord } from '../../encoding/shell-word.ts';
import { formatReference, formatRepository, type Reference } from '../../oci/reference.ts';
import type { Printer } from './printer.ts';
import { sizeText } from './tree-text.ts';

/** What became of it, for people. */
export function tellCollection(
  output: Printer,
  from: Reference,
  to: Reference,
  { outcome, name, other, why }: CopiedCollection,
  dryRun = false,
): void {
  const [there, here] = [formatRepository(to), formatRepository(from)];
  // A collection at another place than its name is verified only if the place is accepted as a copy.
  const how =
    name === there
      ? ''
      : name?.startsWith('oci')
        ? '; they were made for a layout, and verify only at that path'
        : `; there they verify with --collection ${shellWord(name ?? 'NAME')}`;
  const brought = dryRun ? 'Would bring' : 'Brought';
  if (outcome === 'copied') output.info(`${brought} the signed names of ${name} along${how}`);
  if (outcome === 'forwarded') output.info(`${brought} the signed names of ${name} up to date${how}`);
  if (outcome === 'ahead') output.info(`${there} has newer signed names than ${here}: they stay`);
  if (outcome !== 'left') return;
  if (other === undefined) output.warn(`the signed names of ${here} were left behind: ${why}`);
  else
    output.warn(
      `${there} has a trust collection of its own (${other}): the image came without the signed names of ${name}`,
    );
}

/** What became of it, for `-o json`; null where the source has none. */
export function collectionJson(
  collection: CopiedCollection | undefined,
): Readonly<Record<string, unknown>> | null {
  if (collection === undefined || collection.outcome === 'none') return null;
  const { outcome, name, head, other, why } = collection;
  return { outcome, name: name ?? null, head: head ?? null, other: other ?? null, why: why ?? null };
}

/** What was copied, for people; before a copy that is not complete ends the command. */
export function tellCopied(
  output: Printer,
  source: Reference,
  destination: Reference,
  copied: CopiedImage,
  dryRun: boolean,
): void {
  const named = { ...destination, tag: copied.tag, digest: undefined } as Reference;
  const to = copied.tag === undefined ? copied.reference : formatReference(named);
  const { pushed, mounted, skipped, collection } = copied;
  if (collection !== undefined) tellCollection(output, source, destination, collection, dryRun);
  const [what, done] = dryRun ? ['Would copy', 'to push'] : ['Copied', 'pushed'];
  output.info(
    `${what} ${formatReference(source)} => ${to}: ${pushed.content} ${done} (${sizeText(pushed.bytes)}), ` +
      `${mounted.content} mounted, ${skipped.content} there already; ${copied.referrers} referring to it`,
  );
}

/** What was copied, for `-o json`. */
export function copiedJson(copied: CopiedImage, dryRun: boolean): Readonly<Record<string, unknown>> {
  const { reference, tag, tagMoved, root, referrers, pushed, mounted, skipped, warnings, collection } =
    copied;
  return {
    reference,
    ...(tag !== undefined && { tag, tagMoved }),
    descriptor: root,
    dryRun,
    referrers,
    pushed,
    mounted,
    skipped,
    warnings,
    collection: collectionJson(collection),
  };
}
