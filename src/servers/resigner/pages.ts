import type { Alarm } from '../../actions/renew/alarms.ts';
import type { Knowledge } from '../../actions/renew/step.ts';
import { collectionPage } from '../../actions/report/collection-page.ts';
import { PAGE_HEADERS } from '../../actions/report/html.ts';
import { type OverviewRow, overviewPage } from '../../actions/report/overview-page.ts';
import { PAGE_NAME, pageName } from '../../actions/report/page-name.ts';
import type { ReportedCollection } from '../../actions/report/report.ts';
import type { Answer } from '../endpoints.ts';

/** What the re-signer knows of a place without asking for it. */
export interface ServedPlace {
  readonly place: string;
  /** Undefined before it was read. */
  readonly known: Pick<Knowledge, 'expiries'> | undefined;
  readonly alarms: readonly Alarm[];
  /** Whether its last step failed. */
  readonly isFailing: boolean;
}

export interface PagesOptions {
  /** Collections that are served, and alarms about anything else. */
  readonly places: () => Iterable<ServedPlace>;
  /** Reads a collection anew. It does not throw, and ends within a bounded time. */
  readonly report: (place: string) => Promise<ReportedCollection>;
  readonly now: () => Date;
  readonly version: string;
}

/** How long a page is handed out again before its collection is read anew, in milliseconds. */
const FRESH_MS = 10_000;
/** Collections that are read at the same time for readers of pages, and pages that are kept. */
const READS = 4;
const MAX_KEPT_PAGES = 64;

/**
 * The pages of a report, by what the re-signer knows (spec/resigner.md, "Pages"). The overview asks nothing of any
 * registry; the page of a collection has it read, but however often it is asked for, only once in a while.
 */
export class ReportPages {
  private readonly options: PagesOptions;
  private readonly kept = new Map<string, { readonly at: number; readonly page: Promise<string> }>();
  private names: ReadonlyMap<string, string> = new Map();
  private learnedAt = 0;
  private reading = 0;

  constructor(options: PagesOptions) {
    this.options = options;
  }

  /** @param path of the request: `/`, or `/` and the name of a page. @returns undefined for other paths */
  async answer(path: string): Promise<Answer | undefined> {
    if (path === '/' || path === '/index.html')
      return { status: 200, text: this.overview(), headers: PAGE_HEADERS };
    const place = this.placeOf(path.slice(1));
    if (place === undefined) return undefined;
    const now = this.options.now().getTime();
    let kept = this.kept.get(place);
    if (kept === undefined || Math.abs(now - kept.at) > FRESH_MS) {
      if (this.reading >= READS)
        return { status: 503, text: 'too many pages are being made\n', headers: { 'Retry-After': '5' } };
      kept = { at: now, page: this.read(place) };
      this.kept.delete(place);
      this.kept.set(place, kept);
      const [oldest] = this.kept.keys();
      if (this.kept.size > MAX_KEPT_PAGES && oldest !== undefined) this.kept.delete(oldest);
    }
    return { status: 200, text: await kept.page, headers: PAGE_HEADERS };
  }

  private async read(place: string): Promise<string> {
    const { report, now, version } = this.options;
    this.reading++;
    try {
      return collectionPage(await report(place), { now: now(), version, overview: './' });
    } catch (error) {
      this.kept.delete(place);
      throw error;
    } finally {
      this.reading--;
    }
  }

  private overview(): string {
    const { places, now, version } = this.options;
    const rows = [...places()].map(rowOf).sort((a, b) => (a.place < b.place ? -1 : 1));
    this.learn(rows);
    return overviewPage(rows, { now: now(), version });
  }

  private placeOf(name: string): string | undefined {
    const isOld = Math.abs(this.options.now().getTime() - this.learnedAt) > FRESH_MS;
    if (!this.names.has(name) && isOld && PAGE_NAME.test(name)) this.learn([...this.options.places()]);
    return this.names.get(name);
  }

  private learn(places: readonly { readonly place: string }[]): void {
    this.names = new Map(places.map(({ place }) => [pageName(place), place]));
    this.learnedAt = this.options.now().getTime();
  }
}

/** Alarms after which names are still verified as they should be. */
const CALM: ReadonlySet<Alarm['kind']> = new Set(['expiring', 'healed', 'failing']);

function rowOf({ place, known, alarms, isFailing }: ServedPlace): OverviewRow {
  const attention = alarms.map(({ kind, message, hint = '' }) => ({
    kind,
    urgency: CALM.has(kind) ? ('soon' as const) : ('bad' as const),
    what: message,
    advice: hint,
  }));
  const [first] = [...(known?.expiries ?? [])].sort(([, a], [, b]) => a.getTime() - b.getTime());
  const isBad = attention.some(({ urgency }) => urgency === 'bad');
  const isUnread = known === undefined && alarms.length === 0;
  const verdict = isFailing ? 'The last try failed' : isUnread ? 'Not read yet' : undefined;
  return {
    ...{ place, attention, verdict },
    href: place.includes('*') || !place.includes('/') ? undefined : pageName(place),
    state: isBad ? 'bad' : attention.length > 0 || verdict !== undefined ? 'soon' : 'fine',
    first: first === undefined ? undefined : { role: first[0], expires: first[1] },
    names: undefined,
  };
}
