import { keysIn } from '../../../actions/report/keys-report.ts';
import { formatTime } from '../../../encoding/time.ts';
import { keystoreOf } from '../../flags/keys.ts';
import { keysReportJson, keysReportLines } from '../../render/keys-report-text.ts';
import type { Context } from '../../shell/context.ts';
import { type ReportFlags, readReport, statusOf } from '../report/run.ts';

/** `bulla key report` @returns the exit status: 0 where every collection could be read, else that of the worst failure */
export async function reportKeys(
  context: Context,
  repositories: readonly string[],
  flags: ReportFlags,
): Promise<number> {
  const { output } = context;
  const report = await readReport(context, repositories, flags);
  const stored = await keystoreOf(context).list();
  const keys = keysIn(
    report,
    new Map(stored.map((key) => [key.name, 'kept' in key ? key.kept?.uri : undefined])),
  );
  for (const { place, failure } of report.collections)
    if (failure !== undefined)
      output.warn(`${place} is left out of this report: ${failure.message} [${failure.code}]`);
  output.drawing(keysReportLines(keys), {
    at: formatTime(report.at),
    collections: report.collections.map(({ place, failure }) => ({ place, failure: failure ?? null })),
    keys: keysReportJson(keys),
  });
  return statusOf(report, false);
}
