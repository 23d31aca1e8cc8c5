import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { collectionPage } from '../actions/report/collection-page.ts';
import { PAGE_START } from '../actions/report/html.ts';
import { overviewPage, rowOf } from '../actions/report/overview-page.ts';
import { OVERVIEW_FILE, PAGE_NAME, pageName } from '../actions/report/page-name.ts';
import type { Report } from '../actions/report/report.ts';
import { discard, makeDirectory, openForReading, sweepTemporaries, writeFileAtomic } from '../disk/atomic.ts';
import { BullaError, isBullaError } from '../errors.ts';

/**
 * A report as HTML, by file name: `index.html`, and a page for each collection. Each file is complete in itself: it
 * loads nothing and has no scripts (spec/report.md).
 */
export function reportPages(made: Report, version: string): ReadonlyMap<string, string> {
  const frame = { now: made.at, version };
  const rows = made.collections.map((one) => rowOf(one, pageName(one.place)));
  return new Map([
    ...made.collections.map(
      (one) => [pageName(one.place), collectionPage(one, { ...frame, overview: OVERVIEW_FILE })] as const,
    ),
    [OVERVIEW_FILE, overviewPage(rows, frame)],
  ]);
}

/**
 * Writes the pages of a report into a directory. Each file is replaced as a whole, the overview last; pages of earlier
 * reports that are not part of this one are removed. Other files stay.
 * @throws BullaError conflict if the directory has an `index.html` that is not a report's; storage-error
 */
export async function writeReport(directory: string, made: Report, version: string): Promise<void> {
  const pages = reportPages(made, version);
  await makeDirectory(directory);
  await sweepTemporaries(directory);
  if ((await startOf(join(directory, OVERVIEW_FILE))) === 'other')
    throw new BullaError('conflict', `${join(directory, OVERVIEW_FILE)} is not part of a report`, {
      hint: 'choose a directory of its own for the report',
    });
  for (const [name, page] of pages) await writeFileAtomic(join(directory, name), Buffer.from(page));
  for (const name of await readdir(directory)) {
    if (pages.has(name) || !PAGE_NAME.test(name)) continue;
    const path = join(directory, name);
    if ((await startOf(path)) === 'report') await discard(path);
  }
}

/** Whether a file is a page of a report, judged by its beginning. */
async function startOf(path: string): Promise<'report' | 'other' | 'none'> {
  try {
    const file = await openForReading(path, { noFollow: true });
    try {
      const bytes = Buffer.alloc(PAGE_START.length);
      const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
      return bytes.toString('latin1', 0, bytesRead) === PAGE_START ? 'report' : 'other';
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isBullaError(error, 'not-found')) return 'none';
    // A link, a directory, a pipe: nothing that a report has made.
    if (isBullaError(error, 'storage-error')) return 'other';
    throw error;
  }
}
