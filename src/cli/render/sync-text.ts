import type { RepositoryCounts } from '../../actions/copy/repository-outcome.ts';
import type { SyncedRepository, SyncReport } from '../../actions/sync/sync.ts';
import { collectionJson } from './copy-text.ts';
import { sizeText } from './tree-text.ts';

/** `mirror.example.com/app: 30 tags: 2 copied (1.5 MiB sent), 28 there already` */
export function repositoryLine({ target, counts, failures }: SyncedRepository, dryRun: boolean): string {
  const rest = failures.length > counts.failed ? `, ${failures.length - counts.failed} more failed` : '';
  return `${target}: ${countsText(counts, dryRun)}${rest}`;
}

/** `30 tags: 2 copied (1.5 MiB sent), 27 there already, 1 failed, 3 removed` */
export function countsText(counts: RepositoryCounts, dryRun: boolean): string {
  const { total, copied, present, failed, removed, bytes } = counts;
  const sent = dryRun ? `to copy (${sizeText(bytes)} to send)` : `copied (${sizeText(bytes)} sent)`;
  return [
    `${total} ${total === 1 ? 'tag' : 'tags'}: ${copied} ${sent}`,
    `${present} there already`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(removed > 0 ? [`${removed} removed`] : []),
  ].join(', ');
}

/** What became of one repository, for `-o json`. */
export function repositoryJson(
  { entry, source, target, counts, collection, failures, warnings }: SyncedRepository,
  dryRun: boolean,
): Readonly<Record<string, unknown>> {
  return {
    ...{ entry, source, target, ...counts, dryRun },
    isComplete: failures.length === 0,
    collection: collectionJson(collection),
    failures: failures.map(({ reference, error: { code, message, hint } }) => ({
      ...{ reference, code, message },
      ...(hint !== undefined && { hint }),
    })),
    warnings,
  };
}

function totals({ repositories }: SyncReport): RepositoryCounts {
  const sum = (member: keyof RepositoryCounts): number =>
    repositories.reduce((total, { counts }) => total + counts[member], 0);
  return {
    total: sum('total'),
    copied: sum('copied'),
    present: sum('present'),
    failed: sum('failed'),
    removed: sum('removed'),
    bytes: sum('bytes'),
  };
}

/** About all repositories, for people. */
export function summaryText(report: SyncReport, dryRun: boolean): string {
  const { repositories } = report;
  const incomplete = repositories.filter(({ failures }) => failures.length > 0).length;
  const count = `${repositories.length} ${repositories.length === 1 ? 'repository' : 'repositories'}`;
  return `${count}${incomplete > 0 ? `, ${incomplete} incomplete` : ''}; ${countsText(totals(report), dryRun)}`;
}

/** The same for `-o json`. */
export function reportJson(report: SyncReport, dryRun: boolean): Readonly<Record<string, unknown>> {
  const { repositories } = report;
  const incomplete = repositories.filter(({ failures }) => failures.length > 0).length;
  return { repositories: repositories.length, incomplete, ...totals(report), dryRun };
}
