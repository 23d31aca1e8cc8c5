import { describe, expect, it } from 'vitest';
import type { Dialect, DialectStore } from '../../src/registry/dialect.ts';
import { pushImage, tagOf } from '../support/content.ts';
import type { TagDialect } from '../support/registry/behaviour.ts';
import { codeOf, registryFor, repositoryOf } from '../support/registry/open.ts';

const byBytes = (tags: readonly string[], last: string) => [...tags].sort().filter((tag) => tag > last);
/** Refuses or hides what follows a tag that does not exist; else as the specification has it. */
const unlessKnown =
  (answer: ReturnType<TagDialect>): TagDialect =>
  (query, tags) => {
    const last = query.get('last');
    return last === null || tags.includes(last) ? undefined : answer;
  };
const folded = (tag: string) => tag.toLowerCase();
/** Pages of two after a position in a list. */
const positional =
  (order: (tags: readonly string[]) => readonly string[]): TagDialect =>
  (query, tags) => {
    const sorted = order(tags);
    const from = sorted.indexOf(query.get('last') ?? '') + 1;
    const page = sorted.slice(from, from + 2);
    return { tags: page, ...(from + 2 < sorted.length && { next: `n=2&last=${page.at(-1)}` }) };
  };

const DIALECTS: readonly (readonly [string, TagDialect])[] = [
  ['404 NAME_UNKNOWN to a last that does not exist', unlessKnown({ refuse: 404, code: 'NAME_UNKNOWN' })],
  ['404 to a last that does not exist, in other words', unlessKnown({ refuse: 404, code: 'TAG_UNKNOWN' })],
  ['400 to a last that does not exist', unlessKnown({ refuse: 400, code: 'PAGINATION_NUMBER_INVALID' })],
  ['422 to a last that does not exist', unlessKnown({ refuse: 422 })],
  ['an empty list to a last that does not exist', unlessKnown({ tags: [] })],
  ['null to a last that does not exist', unlessKnown({ tags: null })],
  [
    '400 to any last: it has cursors of its own',
    (query) => (query.has('last') ? { refuse: 400 } : undefined),
  ],
  ['404 to any last', (query) => (query.has('last') ? { refuse: 404, code: 'NAME_UNKNOWN' } : undefined)],
  ['an empty list to any last', (query) => (query.has('last') ? { tags: [] } : undefined)],
  ['500 to any last', (query) => (query.has('last') ? { refuse: 500 } : undefined)],
  ['405 to more than 100', (query) => (Number(query.get('n') ?? 0) > 100 ? { refuse: 405 } : undefined)],
  ['all, in the order of pushing, whatever is asked', (_, tags) => ({ tags })],
  ['pages in the order of pushing', positional((tags) => tags)],
  ['pages in reverse order', positional((tags) => [...tags].sort().reverse())],
  [
    'pages in order without case',
    positional((tags) => [...tags].sort((a, b) => (folded(a) < folded(b) ? -1 : 1))),
  ],
  [
    'empty pages in between',
    (query, tags) => {
      const at = Number(query.get('cursor') ?? 0);
      const last = query.get('last') ?? '';
      const rest = byBytes(tags, query.get('after') ?? last);
      const after = query.get('after') ?? last;
      if (at % 3 !== 2) return { tags: [], next: `cursor=${at + 1}&after=${after}` };
      return {
        tags: rest.slice(0, 1),
        ...(rest.length > 1 && { next: `cursor=${at + 1}&after=${rest[0]}` }),
      };
    },
  ],
  [
    'each page twice',
    (query, tags) => {
      const at = Number(query.get('cursor') ?? 0);
      const all = byBytes(tags, '');
      const page = all.slice(2 * Math.floor(at / 2), 2 * Math.floor(at / 2) + 2);
      return { tags: page, ...(at < all.length && { next: `cursor=${at + 1}` }) };
    },
  ],
];

class MemoryDialects implements DialectStore {
  known: Dialect | undefined;

  async get(): Promise<Dialect | undefined> {
    return this.known;
  }

  async set(_: string, dialect: Dialect): Promise<void> {
    this.known = dialect;
  }
}

const TAGS = ['v1', '_trust', 'Z9', '_trust.next.0', '1.0', '_trust.stage.9', 'a', '_trust.next.f'];
const OURS = TAGS.filter((tag) => tag.startsWith('_trust.'));

describe.each(DIALECTS)('tags of a registry that answers %s', (_, tagDialect) => {
  it.each([
    ['a tag that exists', '_trust'],
    ['none that exists', '_trust.'],
  ])('are complete after %s, the first time and when the dialect is known', async (_name, last) => {
    const registry = await registryFor({ tagDialect });
    const dialects = new MemoryDialects();
    const writer = repositoryOf(registry);
    const image = await pushImage(writer, 'one');
    for (const tag of TAGS) await writer.pushManifest(image, { tag: tagOf(tag) });
    for (let run = 0; run < 3; run++) {
      const reader = repositoryOf(registry, { dialects, retry: { baseMs: 1, maxMs: 2 } });
      expect([...(await reader.listTags())].sort()).toEqual([...TAGS].sort());
      for (const until of [undefined, tagOf('_trust.stage.g')]) {
        const found = await reader.listTags({ last: tagOf(last), until });
        expect(found.filter((tag) => tag.startsWith('_trust.')).sort()).toEqual([...OURS].sort());
      }
    }
  });
});

const count = async (registry: Awaited<ReturnType<typeof registryFor>>, work: () => Promise<unknown>) => {
  registry.forget();
  await work();
  return registry.requests(/tags\/list/).length;
};

describe('requests for tags', () => {
  it('are one where the registry does as the specification says, the first time too', async () => {
    const registry = await registryFor();
    const dialects = new MemoryDialects();
    const target = repositoryOf(registry, { dialects });
    for (const tag of ['_trust', '_trust.next.0', 'v1']) await pushImage(target, tag, tag);
    const list = () => target.listTags({ last: tagOf('_trust'), until: tagOf('_trust.stage.g') });
    expect(await count(registry, list)).toBe(1);
    expect(dialects.known?.tags).toBe('after');
    expect(await count(registry, list)).toBe(1);
  });

  it('are one where nothing comes after it, once that was compared with the whole list', async () => {
    const registry = await registryFor();
    const dialects = new MemoryDialects();
    const target = repositoryOf(registry, { dialects });
    for (const tag of ['_trust', '1.0']) await pushImage(target, tag, tag);
    const list = () => target.listTags({ last: tagOf('_trust') });
    expect(await count(registry, list)).toBe(2);
    expect(await count(registry, list)).toBe(1);
  });

  it('are one where the registry is known to refuse', async () => {
    const registry = await registryFor({
      tagDialect: (query) => (query.has('last') ? { refuse: 400 } : undefined),
    });
    const dialects = new MemoryDialects();
    const target = repositoryOf(registry, { dialects });
    for (const tag of ['_trust', '_trust.next.0']) await pushImage(target, tag, tag);
    const list = () => target.listTags({ last: tagOf('_trust') });
    expect(await count(registry, list)).toBe(2);
    expect(dialects.known?.tags).toBe('whole');
    expect(await count(registry, list)).toBe(1);
  });

  it('do not make one failure of the registry its dialect', async () => {
    const registry = await registryFor();
    const dialects = new MemoryDialects();
    const target = repositoryOf(registry, { dialects, retry: { tries: 1 } });
    for (const tag of ['_trust', '_trust.next.0']) await pushImage(target, tag, tag);
    registry.fault({ path: /last=/, times: 1, action: { status: 500 } });
    expect(await target.listTags({ last: tagOf('_trust') })).toContain('_trust.next.0');
    expect(dialects.known?.tags).not.toBe('whole');
  });

  it('go on to the whole list where a tag that was written is missing, and remember why', async () => {
    // In the order of pushing, which looks like the order of bytes until something older is missing.
    const registry = await registryFor({ tagDialect: positional((tags) => tags) });
    const dialects = new MemoryDialects();
    const target = repositoryOf(registry, { dialects });
    for (const tag of ['_trust.next.0', '_trust', 'v1']) await pushImage(target, tag, tag);
    const expected = tagOf('_trust.next.0');
    expect(await target.listTags({ last: tagOf('_trust'), expected })).toContain(expected);
    expect(dialects.known?.tags).toBe('whole');
  });
});

it.each([401, 403, 429])('does not take %i for a dialect', async (status) => {
  const registry = await registryFor({
    tagDialect: (query) => (query.has('last') ? { refuse: status } : undefined),
  });
  const target = repositoryOf(registry, { retry: { tries: 1 } });
  await pushImage(target, 'one', 'v1');
  const code = { 401: 'unauthorized', 403: 'forbidden', 429: 'registry-throttled' }[status];
  expect(await codeOf(target.listTags({ last: tagOf('_trust') }))).toBe(code);
});

it('leaves a list that has no end', async () => {
  let at = 0;
  const registry = await registryFor({ tagDialect: () => ({ tags: [], next: `cursor=${at++}` }) });
  const target = repositoryOf(registry);
  await pushImage(target, 'one', 'v1');
  expect(await codeOf(target.listTags())).toBe('content-invalid');
  expect(at).toBeLessThan(200);
});
