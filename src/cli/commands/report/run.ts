import { worstOf } from '../../../actions/renew/failure.ts';
import { type Report, type ReportedCollection, reportOn } from '../../../actions/report/report.ts';
import { openCollection } from '../../../actions/verify/collection.ts';
import { writeReport } from '../../../api/report-pages.ts';
import { BullaError, type ErrorCode, EXIT_CODES } from '../../../errors.ts';
import { formatRepository, parseReference } from '../../../oci/reference.ts';
import { allPlaces } from '../../../servers/resigner/catalogue.ts';
import { readResignerPins } from '../../../servers/resigner/config.ts';
import { limitOf, SYSTEM_CHANCE } from '../../../servers/system.ts';
import { type CollectionFlags, collectionDemands, collectionPorts } from '../../flags/collection-flags.ts';
import { keyNames } from '../../flags/shown-collection.ts';
import { durationOf } from '../../flags/values.ts';
import { reportJson, reportLines } from '../../render/report-text.ts';
import type { Context } from '../../shell/context.ts';
import { VERSION } from '../../shell/version.ts';

export interface ReportFlags extends CollectionFlags {
  readonly config?: string;
  readonly html?: string;
  readonly check?: true;
  readonly warnBefore?: string;
}

/** @returns the exit status: 0 where every collection could be read, else that of the worst failure */
export async function printReport(
  context: Context,
  repositories: readonly string[],
  flags: ReportFlags,
): Promise<number> {
  const report = await readReport(context, repositories, flags);
  const { output } = context;
  if (flags.html !== undefined) await writeReport(context.path(flags.html), report, VERSION);
  output.drawing(reportLines(report), reportJson(report));
  if (flags.html !== undefined) output.info(`the report is in ${flags.html}: open index.html`);
  return statusOf(report, flags.check === true);
}

/** Reads the collections that a command reports on. @throws BullaError usage, config-invalid */
export async function readReport(
  context: Context,
  repositories: readonly string[],
  flags: Pick<ReportFlags, 'config' | 'warnBefore'> & CollectionFlags,
): Promise<Report> {
  if (repositories.length === 0 && flags.config === undefined)
    throw new BullaError('usage', 'no repository given', {
      hint: 'name HOST/REPOSITORY, or give --config FILE',
    });
  const warnBefore = durationOf('--warn-before', flags.warnBefore, '12h, 30d');
  const { signal, settings } = context;
  const own = repositories.map((text) => {
    const { tag: _, digest: __, ...place } = parseReference(text);
    return formatRepository(place as ReturnType<typeof parseReference>);
  });
  const configured = flags.config === undefined ? undefined : await placesOf(context, flags.config);
  const [demands, ports, names] = await Promise.all([
    collectionDemands(context, flags),
    collectionPorts(context),
    keyNames(context),
  ]);
  const pins = async () => [...(configured?.pins ?? []), ...(await ports.pins())];
  const made = await reportOn(
    [...own, ...(configured?.places ?? [])],
    (place) => openCollection(parseReference(place), demands, { ...ports, pins, onWarning: undefined }),
    {
      ...{ now: context.io.now(), warnBefore, signal, keyNames: names },
      chance: SYSTEM_CHANCE,
      concurrency: settings.concurrency,
      limit: limitOf(settings.searchTimeout),
    },
  );
  return withUnlisted(made, configured?.unlisted ?? []);
}

/** Collections that a configuration of the re-signer names, and registries that do not list theirs. */
async function placesOf(context: Context, file: string) {
  const pins = await readResignerPins(context.path(file));
  const connections = await context.connections();
  const { signal } = context;
  const found = await allPlaces(pins, undefined, async function* list(registry) {
    yield* (await connections.client(registry, undefined)).listRepositories(registry, { signal });
  });
  const unlisted = found.unlisted.flatMap(({ place, outcome }): ReportedCollection[] =>
    outcome.kind === 'failed' ? [{ place, state: 'bad', failure: outcome.failure }] : [],
  );
  return { pins, places: found.places, unlisted };
}

function withUnlisted(report: Report, unlisted: readonly ReportedCollection[]): Report {
  if (unlisted.length === 0) return report;
  const collections = [...report.collections, ...unlisted];
  return { ...report, collections, worst: worstOf(codesOf(collections, false)) };
}

/** The exit status of a report. @param check whether what needs attention counts as well */
export function statusOf({ collections }: Report, check: boolean): number {
  const worst = worstOf(codesOf(collections, check));
  return worst === undefined ? 0 : EXIT_CODES[worst];
}

/** What `status --check` says of each kind of finding; other kinds are codes themselves. */
const CODES: ReadonlyMap<string, ErrorCode> = new Map([
  ['expiry', 'trust-expired'],
  ['conflict', 'conflict'],
  ['broken', 'content-invalid'],
  ['unsignable', 'content-invalid'],
  ...['waiting', 'unsigned', 'structure', 'newer'].map((kind) => [kind, 'staged'] as const),
]);

function codesOf(collections: readonly ReportedCollection[], withFindings: boolean): readonly ErrorCode[] {
  return collections.flatMap((one) => {
    if (one.failure !== undefined) return [one.failure.code];
    return withFindings ? one.attention.map(({ kind }) => CODES.get(kind) ?? (kind as ErrorCode)) : [];
  });
}
