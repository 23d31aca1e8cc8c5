import { describe, expect, it } from 'vitest';
import { PAGE_HEADERS, PAGE_START, visible } from '../../../src/actions/report/html.ts';
import { overviewPage, rowOf } from '../../../src/actions/report/overview-page.ts';
import { PAGE_NAME, pageName } from '../../../src/actions/report/page-name.ts';
import { STYLE } from '../../../src/actions/report/style.ts';
import { reportPages } from '../../../src/api/report-pages.ts';
import {
  HOSTILE,
  hostileReport,
  REPORT_TIME,
  reportedCollection,
  reportedKey,
  reportedRole,
} from '../../support/report.ts';

const pagesOf = (text: string): readonly string[] => [...reportPages(hostileReport(text), '1.0.0').values()];

/** Every tag of a page with its attributes; fails where something is neither a tag nor text. */
function tagsOf(
  page: string,
): readonly { readonly name: string; readonly attributes: ReadonlyMap<string, string> }[] {
  const body = page.replace(/<style>[\s\S]*?<\/style>/, '').replace(/^<!doctype html>/, '');
  const rest = body.replace(/<\/?[a-z0-9]+(?:\s+[a-z][a-z0-9-]*(?:="[^"<>`]*")?)*\s*\/?>/gi, '');
  expect(/.{0,80}[<>].{0,80}/.exec(rest)?.[0]).toBeUndefined();
  return [...body.matchAll(/<([a-z0-9]+)((?:\s+[a-z][a-z0-9-]*(?:="[^"]*")?)*)\s*\/?>/gi)].map(
    ([, name = '', text = '']) => ({
      name,
      attributes: new Map(
        [...text.matchAll(/([a-zA-Z][a-zA-Z0-9-]*)(?:="([^"]*)")?/g)].map(([, key = '', value = '']) => [
          key,
          value,
        ]),
      ),
    }),
  );
}

const TAGS = new Set(
  'html head meta title style body a header main footer nav ul ol li p br h1 h2 h3 div span section svg g rect circle path line text tspan desc table caption thead tbody tr th td details summary code bdi time strong dl dt dd'.split(
    ' ',
  ),
);

describe('pages of a report', () => {
  it.each(HOSTILE)('show %s as text', (_, text) => {
    for (const page of pagesOf(text)) {
      for (const { name, attributes } of tagsOf(page)) {
        expect(TAGS.has(name), name).toBe(true);
        for (const [key, value] of attributes) {
          expect(key).not.toMatch(/^on|^style$|^src$|^srcset$|^action$/);
          if (key === 'href') expect(value).toMatch(/^(#[a-z]+|[a-z0-9][a-z0-9.-]*\.html)$/);
        }
      }
      // Nothing that cannot be seen, and no line end that is not ours.
      expect(/(?![ \n])[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]/u.test(page)).toBe(false);
      expect(page.length).toBeLessThan(200_000);
      expect(/\p{Cs}/u.test(page)).toBe(false);
    }
  });

  it('show what cannot be seen as what it is', () => {
    expect(visible('a\u202eb')).toBe('a\\u202eb');
    expect(visible('\u3164')).toBe('\\u3164');
    expect(visible('\u{e0041}')).toBe('\\udb40\\udc41');
    expect(visible('עברית é ü 日本 🐟')).toBe('עברית é ü 日本 🐟');
    expect(visible('x'.repeat(10_000), 100).length).toBeLessThan(200);
  });

  it('load nothing, run nothing, and are not shown in frames', () => {
    for (const page of pagesOf('v1')) {
      expect(page.startsWith(PAGE_START)).toBe(true);
      const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(page)?.[1];
      expect(policy?.replaceAll('&#39;', "'")).toMatch(
        /^default-src 'none'; style-src 'sha256-[\w+/]+={0,2}'; base-uri 'none'; form-action 'none'$/,
      );
      expect(page).not.toMatch(/https?:\/\//);
      expect(page).not.toMatch(/<script|@import|url\(/);
    }
    expect(PAGE_HEADERS['Content-Security-Policy']).toMatch(/^default-src 'none'.*frame-ancestors 'none'/);
  });

  it('have landmarks, one heading of the first level, names for all drawings, and no id twice', () => {
    for (const page of pagesOf('v1')) {
      const tags = tagsOf(page);
      const names = tags.map(({ name }) => name);
      for (const one of ['header', 'main', 'footer', 'h1'])
        expect(
          names.filter((name) => name === one),
          one,
        ).toHaveLength(1);
      expect(page).toContain('<html lang="en">');
      const ids = tags.flatMap(({ attributes }) => attributes.get('id') ?? []);
      expect(new Set(ids).size).toBe(ids.length);
      for (const { name, attributes } of tags) {
        for (const id of (attributes.get('aria-labelledby') ?? '').split(' ').filter(Boolean))
          expect(ids).toContain(id);
        if (name === 'svg') expect(attributes.get('role')).toBe('img');
        if (name === 'th') expect(attributes.get('scope')).toMatch(/^(row|col)$/);
        if (attributes.get('href')?.startsWith('#')) expect(ids).toContain(attributes.get('href')?.slice(1));
      }
      expect(names.filter((name) => name === 'table')).toHaveLength(
        names.filter((name) => name === 'caption').length,
      );
    }
  });

  it('say every state in words, and with a sign', () => {
    const collections = [
      reportedCollection('a.example/fine'),
      reportedCollection('a.example/soon', {
        state: 'soon',
        roles: [reportedRole('names', { state: 'soon' })],
        attention: [{ kind: 'expiry', urgency: 'soon', what: 'names expires', advice: 'bulla rotate' }],
      }),
      { place: 'a.example/bad', state: 'bad', failure: { code: 'timeout', message: 'too late' } } as const,
    ];
    const [fine, soon, bad, overview] = [
      ...reportPages({ at: REPORT_TIME, worst: 'timeout', collections }, '1').values(),
    ];
    expect(fine).toMatch(/✓<\/span><span>All is well/);
    expect(soon).toMatch(/!<\/span><span>1 thing needs attention/);
    expect(soon).toContain('! until');
    expect(bad).toMatch(/✕<\/span><span>This collection could not be read/);
    expect(bad).toContain('[timeout]');
    for (const words of [
      'All is well',
      'Needs attention',
      'Could not be read',
      '2 collections need attention',
    ])
      expect(overview).toContain(words);
  });

  it('tell in the text of the drawing what it shows', () => {
    const page = [...reportPages(hostileReport('v1'), '1').values()][0] ?? '';
    expect(page).toContain('targets assigns those of names, alice.');
    expect(page).toContain('root needs 2 of 3 keys and has 2.');
    expect(page).toContain('timestamp expires in 12 days, on 2026-12-13.');
  });

  it('stay readable with very many roles, keys, names and collections', () => {
    const keys = Array.from({ length: 500 }, (_, i) => reportedKey(`k${i}`));
    const roles = [
      reportedRole('root', { keys }),
      reportedRole('targets'),
      ...Array.from({ length: 300 }, (_, i) => reportedRole(`signer-${i}`)),
    ];
    const one = reportedCollection('a.example/many', { roles });
    const page =
      [...reportPages({ at: REPORT_TIME, worst: undefined, collections: [one] }, '1').values()][0] ?? '';
    expect(page).toContain('276 more signers are in the table');
    expect(page).toContain('and 494 more');
    expect(page).toContain('signer-299');
    const rows = Array.from({ length: 5_000 }, (_, i) =>
      rowOf(reportedCollection(`a.example/${i}`), pageName(`a.example/${i}`)),
    );
    const bad = {
      place: 'a.example/last',
      state: 'bad',
      verdict: 'Could not be read',
      attention: [],
    } as const;
    const overview = overviewPage([...rows, bad], { now: REPORT_TIME, version: '1' });
    expect(overview.indexOf('a.example/last')).toBeLessThan(overview.indexOf('a.example/0<'));
    expect(overview).toContain('and 3001 more collections, of which none is in a worse state');
  });
});

describe('the name of a page', () => {
  it.each([
    'registry.example.com/team/app',
    'localhost:5000/a',
    'oci:/home/me/../layout',
    'oci:C:\\con',
    `a.example/${'x'.repeat(5_000)}`,
    'oci:/tmp/ü/日本',
    '../../etc/passwd',
    'index.html',
    '',
    '.',
    '-rf',
  ])('of %j is a safe file name', (place) => {
    expect(pageName(place)).toMatch(PAGE_NAME);
    expect(pageName(place).length).toBeLessThan(90);
  });

  it('differs where places differ in case or in a character that is left out', () => {
    const places = ['a.example/A', 'a.example/a', 'a.example/a.', 'a.example-a', 'a.example/a-'];
    expect(new Set(places.map(pageName)).size).toBe(places.length);
  });
});

describe('the colours of a report', () => {
  const themes = [...STYLE.matchAll(/:root \{([^}]*--page:[^}]*--text[^}]*)\}/g)].map(
    ([, text = '']) =>
      new Map(
        [...text.matchAll(/--([a-z-]+): (#[0-9a-f]{6})/g)].map(([, name = '', value = '']) => [name, value]),
      ),
  );

  it('have enough contrast for text, light and dark', () => {
    expect(themes).toHaveLength(2);
    const pairs = ['page', 'card'].flatMap((back) =>
      ['text', 'quiet', 'link', 'good', 'soon', 'bad'].map((text) => [text, back] as const),
    );
    const marked = ['good', 'soon', 'bad'].flatMap((kind) =>
      ['text', 'quiet', 'link', kind].map((text) => [text, `${kind}-back`] as const),
    );
    for (const theme of themes)
      for (const [text, back] of [...pairs, ...marked])
        expect(
          contrast(theme.get(text) as string, theme.get(back) as string),
          `${text} on ${back}`,
        ).toBeGreaterThanOrEqual(4.5);
  });
});

/** WCAG 2.2, "contrast ratio". */
function contrast(a: string, b: string): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
