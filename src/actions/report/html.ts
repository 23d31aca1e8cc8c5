import { createHash } from 'node:crypto';
import { STYLE } from './style.ts';

/** HTML that is ours: everything else that is put into a page is text. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Part = Markup | string | number | undefined | readonly Part[];

/** A template of HTML: what is put into it is text, unless it is {@link Markup} itself. Attributes must be quoted. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(strings.reduce((all, next, at) => all + textOf(parts[at - 1]) + next));
}

function textOf(part: Part): string {
  if (part === undefined) return '';
  if (part instanceof Markup) return part.text;
  if (typeof part === 'number') return String(part);
  return typeof part === 'string' ? escaped(part) : part.map(textOf).join('');
}

/** Longest text from outside that stands in a page, in UTF-16 units. */
const LONGEST = 2_000;

/**
 * What cannot be seen, or changes what is seen around it: controls, what turns lines around, joins or hides; unassigned
 * and private characters; fillers and blanks that look like nothing.
 */
const UNSEEN = /(?! )[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u{2800}]/gu;
/** Marks that pile up over the lines around them. */
const PILED = /(?<=\p{M}{4})\p{M}/gu;

/** Text from outside as it may stand in a page, not yet escaped: what cannot be seen is written out. */
export function visible(text: string, max: number = LONGEST): string {
  const short = text.length > max ? `${text.slice(0, max)}…(${text.length} characters)` : text;
  return short.replace(PILED, writtenOut).replace(UNSEEN, writtenOut);
}

function writtenOut(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
  ['`', '&#96;'],
]);

function escaped(text: string): string {
  return visible(text).replace(/[&<>"'`]/g, (character) => ENTITIES.get(character) as string);
}

/** A name from outside, in one piece: text that is written from right to left does not move what stands beside it. */
export function named(text: string, max = 200): Markup {
  return html`<bdi class="name">${visible(text, max)}</bdi>`;
}

const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

/** Nothing is loaded and nothing runs; the page has no styles but its own. */
const POLICY = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'`;

/** Headers with which a server hands out a page. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy': `${POLICY}; frame-ancestors 'none'; sandbox`,
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

/** How every page of a report begins: `--html` replaces and removes no other files. */
export const PAGE_START =
  '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="generator" content="bulla report">\n';

/** A whole page, complete in itself. */
export function page(title: string, header: Markup, main: Markup, footer: Markup): string {
  const head = html`<meta http-equiv="Content-Security-Policy" content="${new Markup(POLICY.replaceAll("'", '&#39;'))}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${visible(title, 200)}</title>
<style>${new Markup(STYLE)}</style>`;
  const body = html`<body>
<a class="skip" href="#content">Skip to the content</a>
<header>${header}</header>
<main id="content" tabindex="-1">${main}</main>
<footer>${footer}</footer>
</body>`;
  return `${PAGE_START}${head.text}\n</head>\n${body.text}\n</html>\n`;
}
