import type { CopiedRepository, RepositoryTag } from '../../actions/copy/repository.ts';
import { countsOf } from '../../actions/copy/repository-outcome.ts';
import { collectionJson } from './copy-text.ts';
import { countsText } from './sync-text.ts';
import { sizeText } from './tree-text.ts';

type DoneTag = Exclude<RepositoryTag, { readonly outcome: 'failed' }>;

/** What became of one tag, for people. */
export function tagText(reference: string, tag: DoneTag, dryRun: boolean): string {
  if (tag.outcome === 'present') return `${reference}: there already`;
  const { pushed, mounted } = tag;
  const [copied, done] = dryRun ? ['would be copied', 'to push'] : ['copied', 'pushed'];
  return `${reference}: ${copied}, ${pushed.content} ${done} (${sizeText(pushed.bytes)}), ${mounted.content} mounted`;
}

/** The same for `-o json`. */
export function tagJson(reference: string, tag: DoneTag, dryRun: boolean): Readonly<Record<string, unknown>> {
  const { tag: name, outcome, digest, pushed, mounted } = tag;
  return { reference: `${reference}@${digest}`, tag: name, digest, outcome, pushed, mounted, dryRun };
}

/** `30 tags: 2 copied (1.5 MiB sent), 27 there already, 1 failed, 3 removed` */
export function summaryText(copied: CopiedRepository, dryRun: boolean): string {
  const kept = copied.pruned.filter(({ outcome }) => outcome === 'kept').length;
  const rest = kept === 0 ? '' : `, ${kept} ${dryRun ? 'to remove' : 'only at the destination'}`;
  return `${countsText(countsOf(copied), dryRun)}${rest}`;
}

/** What became of the whole, for `-o json`. */
export function repositoryJson(copied: CopiedRepository, dryRun: boolean): Readonly<Record<string, unknown>> {
  const { pruned, warnings, collection, unpruned } = copied;
  const tagsOf = (outcome: string): readonly string[] =>
    pruned.filter((one) => one.outcome === outcome).map(({ tag }) => tag);
  return {
    ...countsOf(copied),
    dryRun,
    collection: collectionJson(collection),
    pruned: { removed: tagsOf('removed'), kept: tagsOf('kept'), failed: tagsOf('failed') },
    ...(unpruned !== undefined && { unpruned }),
    warnings,
  };
}
