import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';

/**
 * Phrases that read as translated, with what to write instead. Messages, hints, help texts, comments and
 * documentation say who does what in standard words (CONTRIBUTING.md, "Plain English").
 */
const AVOID: readonly (readonly [RegExp, string])[] = [
  [/\bwho(?:m)?ever\b/i, 'name the actor: the publisher, the caller, anyone who can push'],
  [/\b(?:some|any|every|no)body\b/i, 'name the actor, or use the passive'],
  [
    /(?<!\bthere )\b(?:is|are|was|were) no (?!longer\b|more\b|less\b|fewer\b|later\b|newer\b|older\b|larger\b|smaller\b)/i,
    'X is not a Y; there is no Y',
  ],
  [/(?<!\bthere )\b(?:is|are|was|were|be) none\b/i, 'X is not a Y; X is invalid'],
  [/\b(?:can|it) be no\b/i, 'cannot be a Y'],
  [/\bst(?:and|ands|ood) (?:in )?for\b/i, 'X means Y; the digest of X is Y'],
  [/\bbelie(?:ve|ves|ved|ving|f)\b/i, 'trust, accept, use'],
  [/\bwhom to\b/i, 'trust root; trusted keys'],
  [/\bcounts? for nothing\b/i, 'is ignored'],
  [/\b(?:at|in) hand\b/i, 'available; loaded; given'],
  [/\btells? of\b|\btold of\b/i, 'report, warn about'],
  [/\b(?:to|can|could|cannot|not) be had\b/i, 'is not available'],
  [/\b(?:the|in|its|their) one spelling\b/i, 'canonical spelling, canonical form'],
  [/\bchance of (?:this|the)\b/i, 'system randomness'],
  [/(?<!\b(?:are|is) )\ball the same\b/i, 'anyway, still'],
  [/\bspeaks? for\b/i, 'covers; represents'],
  [/\bwhat is no\b/i, 'say what it is: invalid, missing'],
  [/\bit is not said\b/i, 'ambiguous:'],
];

const root = new URL('../', import.meta.url);

async function filesIn(folder: string, ending: RegExp): Promise<readonly string[]> {
  const entries = await readdir(new URL(folder, root), { recursive: true });
  return entries.filter((name) => ending.test(name)).map((name) => `${folder}${name}`);
}

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...(await filesIn('docs/', /\.md$/)),
  ...(await filesIn('deploy/', /\.(?:md|ya?ml)$/)),
  ...(await filesIn('spec/', /\.(?:md|json)$/)),
];

/** Where a text has phrases of the list. Code spans and link targets are names, not prose. */
function findings(name: string, text: string): readonly string[] {
  return text.split('\n').flatMap((line, at) => {
    const prose = name.endsWith('.md') ? line.replaceAll(/`[^`]*`|\]\([^)]*\)/g, '…') : line;
    return AVOID.flatMap(([pattern, better]) => {
      const found = pattern.exec(prose)?.[0];
      return found === undefined ? [] : [`${name}:${at + 1}: "${found.trim()}" (${better}): ${line.trim()}`];
    });
  });
}

async function allFindings(names: readonly string[]): Promise<readonly string[]> {
  const texts = await Promise.all(names.map((name) => readFile(new URL(name, root), 'utf8')));
  return names.flatMap((name, at) => findings(name, texts[at] ?? ''));
}

describe('the prose', () => {
  it('of the documentation has no phrase of the list', async () => {
    expect(pages.length).toBeGreaterThan(100);
    expect(await allFindings(pages)).toEqual([]);
  });

  it('of messages, hints, help texts and comments has no phrase of the list', async () => {
    const sources = await filesIn('src/', /\.ts$/);
    expect(sources.length).toBeGreaterThan(100);
    expect(await allFindings(sources)).toEqual([]);
  });

  it.each([
    'whoever made it makes it again: run bulla sign',
    'nobody is there to be asked',
    'Somebody else changed it',
    'soon is no duration',
    'made for a state that is none',
    'v1 stands for sha256:0',
    'nothing says whom to believe about X',
    'the keys at hand do not suffice',
  ])('finds: %s', (text) => {
    expect(findings('example', text)).not.toEqual([]);
  });

  it.each([
    'there is no such image',
    'the name is no longer signed',
    'if there are none, it ends',
    'all levels are all the same size',
    'the signer is not a role',
    'anyone who can push can move a tag',
  ])('does not object to: %s', (text) => {
    expect(findings('example', text)).toEqual([]);
  });
});
