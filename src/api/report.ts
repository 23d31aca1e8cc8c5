import { type Report, reportOn } from '../actions/report/report.ts';
import { openCollection } from '../actions/verify/collection.ts';
import { formatRepository, parseReference, type Reference } from '../oci/reference.ts';
import { limitOf, SYSTEM_CHANCE } from '../servers/system.ts';
import { repositoryOf } from './change.ts';
import { type Config, call, version } from './config.ts';
import { type CollectionOptions, collectionDemands } from './publishing.ts';
import { reportPages as pagesOf, writeReport as writePages } from './report-pages.ts';

/** What {@link report} looks at, and what it works with. */
export interface ReportOptions extends Config, CollectionOptions {
  /** How long before its expiry a role is reported, in milliseconds; 30 days, 3 for snapshot and timestamp, if left out. */
  readonly warnBefore?: number | undefined;
  /** What keys are called, by the fingerprint of their material. */
  readonly keyNames?: ReadonlyMap<string, string> | undefined;
  /** Collections read at the same time; 8 if left out. */
  readonly concurrency?: number | undefined;
}

/** How long one collection may take, in milliseconds. */
const COLLECTION_MS = 10 * 60_000;

/**
 * Reports on trust collections, for people: who may sign what, which names are signed, what expires when, what waits,
 * what was changed, and what needs attention. A collection that cannot be read is part of the report and says why;
 * `worst` is the worst of those codes. {@link reportPages} makes HTML of it.
 * @param repository `registry.example.com/team/app`, `oci:DIR` or `oci-archive:FILE`; or several
 * @throws BullaError usage; interrupted
 * @example
 * ```ts
 * import { init, report, writeReport } from 'bulla';
 *
 * await init('registry.example.com/team/app', { passphrase: 'of the new keys' });
 * const made = await report(['registry.example.com/team/app']);
 * for (const { place, state } of made.collections) console.log(`${place}: ${state}`);
 * await writeReport('report', made);
 * ```
 */
export async function report(
  repository: string | Reference | readonly (string | Reference)[],
  options: ReportOptions = {},
): Promise<Report> {
  const given: readonly (string | Reference)[] = Array.isArray(repository) ? repository : [repository];
  const places = given.map((one) => formatRepository(repositoryOf(one)));
  return await call(options, async (one) => {
    const { warnBefore, keyNames = new Map(), concurrency = 8 } = options;
    const { now, signal, collections } = one;
    const demands = collectionDemands(options);
    return await reportOn(places, (place) => openCollection(parseReference(place), demands, collections), {
      ...{ now, signal, warnBefore, keyNames, concurrency },
      chance: SYSTEM_CHANCE,
      limit: limitOf(COLLECTION_MS),
    });
  });
}

/**
 * A report as HTML, by file name: `index.html`, and a page for each collection. Each file is complete in itself: it
 * loads nothing and has no scripts (spec/report.md).
 */
export function reportPages(made: Report): ReadonlyMap<string, string> {
  return pagesOf(made, version());
}

/**
 * Writes the pages of a report into a directory. Each file is replaced as a whole, the overview last; pages of earlier
 * reports that are not part of this one are removed. Other files stay.
 * @throws BullaError conflict if the directory has an `index.html` that is not a report's; storage-error
 */
export async function writeReport(directory: string, made: Report): Promise<void> {
  await writePages(directory, made, version());
}
