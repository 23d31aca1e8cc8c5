import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { PAGE_HEADERS } from '../../src/actions/report/html.ts';
import { pageName } from '../../src/actions/report/page-name.ts';
import { reportPages, writeReport } from '../../src/api/report-pages.ts';
import { temporaryDirectory } from '../support/cli.ts';
import { listen } from '../support/listen.ts';
import { HOSTILE, hostileReport, REPORT_TIME, reportedCollection } from '../support/report.ts';
import { type BrowserPage, startBrowser } from './browser.ts';
import { havePeers } from './peers.ts';

const SCREENS = [
  ['a desk', 1280, 900, 'light'],
  ['a desk in the dark', 1280, 900, 'dark'],
  ['a tablet', 768, 1024, 'light'],
  ['a phone', 360, 740, 'light'],
  ['a phone in the dark', 320, 640, 'dark'],
] as const;

/** Writes a report; its files by what they show. */
async function written(text: string) {
  const directory = await temporaryDirectory();
  const report = hostileReport(text);
  await writeReport(directory, report, '1.0.0');
  const url = (name: string): string => pathToFileURL(join(directory, name)).href;
  const [fine, bad, gone] = report.collections.map(({ place }) => url(pageName(place)));
  return { overview: url('index.html'), fine, bad, gone } as Record<string, string>;
}

async function show(page: BrowserPage, [, width, height, scheme]: (typeof SCREENS)[number]): Promise<void> {
  await page.send('Emulation.setDeviceMetricsOverride', {
    width,
    height,
    deviceScaleFactor: 1,
    mobile: width < 700,
  });
  await page.send('Emulation.setEmulatedMedia', {
    features: [{ name: 'prefers-color-scheme', value: scheme }],
  });
}

/** Lowest contrast of visible text with what is behind it, as the browser paints it. */
const CONTRAST = `(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const luminance = (rgb) => rgb.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
      if (a > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  let worst = [99, ''];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (walker.currentNode.data.trim() === '' || element.closest('title, desc, style') || !element.checkVisibility?.()) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(parse(element instanceof SVGElement ? style.fill : style.color)), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, walker.currentNode.data.slice(0, 60)];
  }
  return worst;
})()`;

describe.runIf(havePeers('chromium'))('a report in Chromium', () => {
  let page: BrowserPage;
  let close: () => Promise<void>;

  beforeAll(async () => {
    ({ page, close } = await startBrowser());
  });
  afterAll(() => close());

  it('fits on every screen, with enough contrast, light and dark', async () => {
    const pages = await written('v1');
    const directory = process.env['REPORT_PICTURES'];
    if (directory !== undefined) await mkdir(directory, { recursive: true });
    for (const screen of SCREENS) {
      await show(page, screen);
      for (const [name, url] of Object.entries(pages)) {
        await page.open(url);
        await page.evaluate('for (const one of document.querySelectorAll("details")) one.open = true');
        const what = `${name} on ${screen[0]}`;
        expect(await page.evaluate<number>('document.documentElement.scrollWidth'), what).toBeLessThanOrEqual(
          screen[1],
        );
        const [ratio, text] = await page.evaluate<[number, string]>(CONTRAST);
        expect(ratio, `${what}: ${text}`).toBeGreaterThanOrEqual(4.5);
        const { data } = await page.send('Page.captureScreenshot', { captureBeyondViewport: true });
        const picture = Buffer.from(data as string, 'base64');
        expect(picture.length).toBeGreaterThan(5_000);
        if (directory !== undefined)
          await writeFile(join(directory, `${what.replaceAll(' ', '-')}.png`), picture);
      }
    }
  });

  it('loads nothing else, and its policy lets its own styles in', async () => {
    const pages = await written('v1');
    for (const url of Object.values(pages)) {
      await page.open(url);
      const asked = page
        .events('Network.requestWillBeSent')
        .map(({ request }) => (request as { url: string }).url);
      expect(asked).toEqual([url]);
      expect(page.events('Log.entryAdded')).toEqual([]);
      expect(await page.evaluate('getComputedStyle(document.querySelector("section")).borderRadius')).toBe(
        '10px',
      );
    }
  });

  it('can be used with the keyboard, and read by a screen reader', async () => {
    const pages = await written('v1');
    for (const url of [pages['bad'], pages['overview']]) {
      await page.open(url as string);
      await page.send('Accessibility.enable');
      const { nodes } = (await page.send('Accessibility.getFullAXTree')) as {
        nodes: { ignored: boolean; role?: { value: string }; name?: { value: string } }[];
      };
      const roles = nodes
        .filter(({ ignored }) => !ignored)
        .map(({ role, name }) => [role?.value ?? '', name?.value ?? ''] as const);
      const named = (wanted: string): readonly string[] =>
        roles.flatMap(([role, name]) => (role === wanted ? [name] : []));
      for (const landmark of ['banner', 'main', 'contentinfo'])
        expect(named(landmark), landmark).toHaveLength(1);
      expect(named('columnheader').length).toBeGreaterThan(3);
      expect(named('rowheader').length).toBeGreaterThan(1);
      for (const kind of ['image', 'link', 'table', 'navigation', 'region', 'heading'])
        expect(
          named(kind).filter((name) => name === ''),
          kind,
        ).toEqual([]);
      if (url === pages['bad']) expect(named('image')).toEqual(['Who may sign what', 'What expires when']);
      const focused: string[] = [];
      for (let i = 0; i < 4; i++) {
        for (const type of ['keyDown', 'keyUp'])
          await page.send('Input.dispatchKeyEvent', {
            type,
            key: 'Tab',
            code: 'Tab',
            windowsVirtualKeyCode: 9,
          });
        focused.push(await page.evaluate<string>('document.activeElement.textContent.slice(0, 40)'));
        const [left, outline] = await page.evaluate<[number, string]>(
          '[document.activeElement.getBoundingClientRect().left, getComputedStyle(document.activeElement).outlineStyle]',
        );
        expect(left).toBeGreaterThanOrEqual(0);
        expect(outline).toBe('solid');
      }
      expect(focused[0]).toBe('Skip to the content');
      expect(new Set(focused).size).toBeGreaterThan(1);
    }
  });

  it('remains a table for a screen reader on a phone', async () => {
    const pages = await written('v1');
    await show(page, SCREENS[3]);
    await page.open(pages['fine'] as string);
    const { nodes } = (await page.send('Accessibility.getFullAXTree')) as {
      nodes: { role?: { value: string } }[];
    };
    const roles = nodes.map(({ role }) => role?.value);
    for (const role of ['table', 'row', 'rowheader', 'cell']) expect(roles).toContain(role);
  });

  it.each(HOSTILE)('shows %s as text', async (_, text) => {
    const pages = await written(text);
    for (const url of Object.values(pages)) {
      await page.open(url);
      const asked = page
        .events('Network.requestWillBeSent')
        .map(({ request }) => (request as { url: string }).url);
      expect(asked).toEqual([url]);
      expect(page.events('Page.javascriptDialogOpening')).toEqual([]);
      const found = await page.evaluate<{ title: string; tags: number; width: number; shown: boolean }>(`({
        title: document.title,
        tags: document.querySelectorAll('script, img, iframe, form, button, base, object, embed, input, link, animate, [onload], [onerror], [onfocus], [autofocus]').length,
        width: document.documentElement.scrollWidth - innerWidth,
        shown: document.querySelector('main').checkVisibility(),
      })`);
      expect(found.tags).toBe(0);
      expect(found.title).not.toBe('hacked');
      expect(found.shown).toBe(true);
      expect(found.width).toBeLessThanOrEqual(0);
      for (const link of await page.evaluate<string[]>(
        '[...document.querySelectorAll("a")].map(({ href }) => href)',
      ))
        expect(link).toMatch(/^file:/);
    }
  });

  it('can be walked through as the re-signer serves it', async () => {
    const pages = reportPages(hostileReport('v1'), '1.0.0');
    const server = createServer((request, response) => {
      const text = pages.get(request.url === '/' ? 'index.html' : (request.url ?? '').slice(1));
      response.writeHead(text === undefined ? 404 : 200, PAGE_HEADERS).end(text);
    });
    const { host, stop } = await listen(server);
    onTestFinished(stop);
    await show(page, SCREENS[0]);
    await page.open(`http://${host}/`);
    expect(
      page
        .events('Log.entryAdded')
        .filter(({ entry }) => (entry as { source: string }).source === 'security'),
    ).toEqual([]);
    const [x, y] = await page.evaluate<[number, number]>(
      '(() => { const link = document.querySelector("tbody a"); link.scrollIntoView(); const { x, y, width, height } = link.getBoundingClientRect(); return [x + width / 2, y + height / 2]; })()',
    );
    for (const type of ['mousePressed', 'mouseReleased'])
      await page.send('Input.dispatchMouseEvent', { type, x, y, button: 'left', clickCount: 1 });
    await expect
      .poll(() => page.evaluate('document.querySelector("h1").textContent'), { timeout: 10_000 })
      .toMatch(/team\/worker$/);
    expect(await page.evaluate('getComputedStyle(document.querySelector("section")).borderRadius')).toBe(
      '10px',
    );
  });

  it('shows many collections', async () => {
    const collections = Array.from({ length: 300 }, (_, i) =>
      reportedCollection(`registry.example.com/team/app-${i}`),
    );
    const directory = await temporaryDirectory();
    const pages = reportPages({ at: REPORT_TIME, worst: undefined, collections }, '1.0.0');
    await writeFile(join(directory, 'index.html'), pages.get('index.html') as string);
    await page.open(pathToFileURL(join(directory, 'index.html')).href);
    expect(await page.evaluate('document.querySelectorAll("tbody tr").length')).toBe(300);
  });
});
