import { describe, expect, it } from 'vitest';
import { pageName } from '../../../src/actions/report/page-name.ts';
import { ReportPages, type ServedPlace } from '../../../src/servers/resigner/pages.ts';
import { registryFor } from '../../support/registry/open.ts';
import { reportedCollection } from '../../support/report.ts';
import { collectionIn, configFor, serving, writeConfig } from '../../support/resign/service.ts';

const NOW = new Date('2026-12-01T10:00:00Z');
const place = (name: string, more: Partial<ServedPlace> = {}): ServedPlace => ({
  ...{ place: name, alarms: [], isFailing: false },
  known: { expiries: new Map([['timestamp', new Date(NOW.getTime() + 5 * 86_400_000)]]) },
  ...more,
});

function pagesOf(places: readonly ServedPlace[]) {
  const asked: string[] = [];
  const clock = { now: NOW };
  const pages = new ReportPages({
    places: () => places,
    report: async (name) => {
      asked.push(name);
      await new Promise((resolve) => setImmediate(resolve));
      return reportedCollection(name);
    },
    now: () => clock.now,
    version: '1.0.0',
  });
  return { pages, asked, clock };
}

describe('the pages of the re-signer', () => {
  it('show what it knows, without asking for anything', async () => {
    const alarm = { kind: 'rollback', code: 'trust-rollback', message: 'went <back>' } as const;
    const { pages, asked } = pagesOf([
      place('a.example/fine'),
      place('a.example/bad', { alarms: [{ ...alarm, place: 'a.example/bad' }] }),
      place('a.example/new', { known: undefined }),
      place('a.example/failing', { isFailing: true }),
      place('a.example/*', {
        known: undefined,
        alarms: [{ ...alarm, kind: 'failing', place: 'a.example/*' }],
      }),
    ]);
    const answer = await pages.answer('/');
    expect(answer?.status).toBe(200);
    expect(answer?.text).toContain('went &lt;back&gt;');
    expect(answer?.text).toContain('4 collections need attention');
    for (const words of ['Not read yet', 'The last try failed', 'Needs action now', 'in 5 days'])
      expect(answer?.text).toContain(words);
    expect(answer?.text).toContain(`href="${pageName('a.example/fine')}"`);
    expect(answer?.text).not.toContain(pageName('a.example/*'));
    expect(asked).toEqual([]);
  });

  it('are read once in a while, however often they are asked for', async () => {
    const { pages, asked, clock } = pagesOf([place('a.example/fine')]);
    const path = `/${pageName('a.example/fine')}`;
    const answers = await Promise.all(Array.from({ length: 20 }, () => pages.answer(path)));
    expect(answers.map((answer) => answer?.status)).toEqual(Array.from({ length: 20 }, () => 200));
    expect(asked).toEqual(['a.example/fine']);
    clock.now = new Date(NOW.getTime() + 11_000);
    await pages.answer(path);
    expect(asked).toHaveLength(2);
  });

  it('are not read for very many readers at the same time', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `a.example/${i}`);
    const { pages, asked } = pagesOf(names.map((name) => place(name)));
    const answers = await Promise.all(names.map((name) => pages.answer(`/${pageName(name)}`)));
    expect(answers.filter((answer) => answer?.status === 200)).toHaveLength(4);
    expect(answers.filter((answer) => answer?.status === 503)).toHaveLength(16);
    expect(asked).toHaveLength(4);
  });

  it.each([
    '/x',
    '/../etc/passwd',
    '/%2e%2e',
    `/${pageName('a.example/other')}`,
    '//',
    '/a.html',
    '/__proto__',
  ])('are not there for %s', async (path) => {
    const { pages, asked } = pagesOf([place('a.example/fine')]);
    expect(await pages.answer(path)).toBeUndefined();
    expect(asked).toEqual([]);
  });
});

describe('bulla serve resigner', () => {
  it('serves the overview and the page of each collection', async () => {
    const registry = await registryFor();
    await collectionIn(registry, 'team/app');
    const name = `${registry.host}/team/app`;
    await serving(await configFor([name]), async ({ url }) => {
      const overview = async () => (await fetch(url)).text();
      await expect.poll(overview, { timeout: 20_000 }).toContain('All is well');
      expect(await overview()).toContain(`href="${pageName(name)}"`);
      const page = await fetch(`${url}/${pageName(name)}`);
      expect(page.status).toBe(200);
      expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'/);
      expect(page.headers.get('x-content-type-options')).toBe('nosniff');
      const text = await page.text();
      expect(text).toContain('Who may sign what');
      expect(text).toContain('href="./"');
      expect((await fetch(`${url}/nothing.html`)).status).toBe(404);
      expect((await fetch(url, { method: 'POST' })).status).toBe(404);
      expect((await fetch(url, { headers: { origin: 'https://evil.example' } })).status).toBe(403);
    });
  });

  it.each([
    ['not by default', '', 404],
    ['if its configuration says so', 'pages: true\n', 200],
  ])('serves pages to other machines: %s', async (_, more, status) => {
    const config = await configFor([]);
    await writeConfig(config, ['localhost:1/team/app'], more);
    await serving(
      config,
      async ({ url }) => {
        const port = new URL(url).port;
        expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(status);
      },
      ['--listen', '0.0.0.0:0'],
    );
  });
});
