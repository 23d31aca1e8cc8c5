import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import {
  type Answer,
  type Asked,
  type Context,
  type Dialect,
  isDigest,
  json,
  page,
  redirect,
  refusal,
  unconditional,
  without,
} from '../emulators/proxy.ts';

/**
 * How each endpoint of a registry answers: as specified, or in a way that the specification allows or that was seen of
 * one. The first of each is what a plain registry does.
 */
const CHOICES = {
  /** HEAD of a manifest. */
  head: ['works', 'no digest', 'no length', 'no type', 'elsewhere', 400, 401, 403, 404, 405, 501],
  blobHead: ['works', 'no length', 'elsewhere', 400, 403, 405, 501],
  blobGet: ['served', 301, 302, 307],
  /** GET of a manifest. */
  manifest: ['served', 'no digest', 'parameters', 'octets', 'no length', 'text', 'no type', 'gzip'],
  /** GET of a part of a blob. */
  ranges: ['works', 'ignored', 'refused'],
  /** How lists of tags and referrers come. */
  lists: ['json', 'text', 'no type', 'gzip'],
  etag: [true, false],
  tags: [
    'whole',
    'pages',
    'last must exist',
    'last is refused',
    'last is ignored',
    'last is opaque',
    'after last: nothing',
    'by making',
    'case-insensitive',
    'empty pages',
    'null where empty',
    'n is refused',
  ],
  /** Tags in a page, where the list has pages. */
  pageSize: [9, 2, 3, 5],
  link: ['relative', 'absolute', 'inner path', 'no brackets', 'other scheme', 'more parameters', 'several'],
  // Not 400: it says that the digest is wrong.
  referrers: ['api', 'pages', 'not filtered', 404, 'page', 'elsewhere', 'claimed', 405, 501],
  mount: ['works', 'ignored', 400, 403, 404, 405, 416, 500],
  blobPut: [201, 200, 202, 204],
  manifestPut: [201, 200, 202],
  /** Answers to what was stored. */
  stored: ['with headers', 'no headers'],
  location: ['as it is', 'relative', 'with a query'],
  deletes: ['all', 'no tags', 'none'],
  deleted: [202, 200, 204],
  errors: ['json', 'html', 'nothing', 'text'],
  /** Of so many requests one is answered `trouble`; 0: none. */
  every: [0, 13, 29],
  trouble: [429, 500, 502, 503, 'after a while'],
  /** Headers of others, on all answers. */
  more: [false, true],
  /** For how long reads may show what was there before a write, in milliseconds. */
  staleMs: [0, 1250, 5000],
  /** How many of the reads do, of ten. */
  staleTenths: [1, 3, 5, 7, 9],
} as const;

export type Quirks = { readonly [name in keyof typeof CHOICES]: (typeof CHOICES)[name][number] };

const entries = Object.entries(CHOICES) as [keyof Quirks, readonly unknown[]][];

export const PLAIN: Quirks = Object.fromEntries(
  entries.map(([name, [plain]]) => [name, plain]),
) as unknown as Quirks;

/** Programs with a few quirks, and with many. */
export const QUIRKS: fc.Arbitrary<Quirks> = fc
  .integer({ min: 1, max: 4 })
  .chain((plainness) =>
    fc.record(
      Object.fromEntries(
        entries.map(([name, choices]) => [
          name,
          fc.oneof(
            { weight: plainness, arbitrary: fc.constant(choices[0]) },
            { weight: 2, arbitrary: fc.constantFrom(...choices) },
          ),
        ]),
      ),
    ),
  ) as unknown as fc.Arbitrary<Quirks>;

/**
 * Before a registry with the referrers API that removes manifests and tags.
 * @param haste how many times faster than the clock time passes for stale answers
 */
export function quirky(program: Quirks, haste: number): Dialect {
  let count = 0;
  const stale = staleReads(program, program.staleMs / haste);
  const lists = tagLists(program);
  return async (asked, context) => {
    count += 1;
    if (program.every > 0 && count % program.every === 0) {
      const { trouble } = program;
      if (trouble === 'after a while') await new Promise((resolve) => setTimeout(resolve, 20));
      else return refusal(trouble, trouble === 429 ? 'TOOMANYREQUESTS' : 'UNKNOWN', 'come back later');
    }
    const answer = await stale(asked, context, async () => await answered(program, lists, asked, context));
    return dressed(program, answer);
  };
}

type Lists = (asked: Asked, context: Context) => Promise<Answer>;

async function answered(program: Quirks, lists: Lists, asked: Asked, context: Context): Promise<Answer> {
  const { kind, reference, pass } = context;
  const { method } = asked;
  const plain = (): Promise<Answer> => pass(unconditional(asked));
  if (kind === 'tags') return listed(program, await lists(asked, context));
  if (kind === 'referrers') return listed(program, await referrers(program, asked, context));
  if (kind === 'uploads') return await upload(program, asked, context);
  if (kind === 'blobs') {
    if (method === 'HEAD') return await head(program.blobHead, await plain(), context);
    const answer = method === 'GET' ? await part(program, asked, context) : await plain();
    return method === 'GET' && answer.status < 300 && program.blobGet !== 'served'
      ? redirect(program.blobGet, context.storage())
      : answer;
  }
  if (kind !== 'manifests') return await plain();
  if (method === 'HEAD') return await head(program.head, await plain(), context);
  if (method === 'DELETE') {
    if (program.deletes === 'none' || (program.deletes === 'no tags' && !isDigest(reference)))
      return refusal(program.deletes === 'none' ? 405 : 400, 'UNSUPPORTED', 'the operation is unsupported');
    const answer = await plain();
    return answer.status === 202 ? { ...answer, status: program.deleted } : answer;
  }
  if (method === 'PUT') return await manifestPut(program, await plain());
  return manifest(program, program.etag ? await pass() : without(await plain(), 'etag'));
}

async function head(
  way: Quirks['head'] | Quirks['blobHead'],
  answer: Answer,
  context: Context,
): Promise<Answer> {
  if (typeof way === 'number') return refusal(way, 'UNSUPPORTED', 'not this way');
  if (answer.status >= 300) return answer;
  if (way === 'no digest') return without(answer, 'docker-content-digest', 'etag');
  if (way === 'no length') return without(answer, 'content-length');
  if (way === 'no type') return without(answer, 'content-type');
  return way === 'elsewhere' ? redirect(307, context.storage()) : answer;
}

function manifest(program: Quirks, answer: Answer): Answer {
  if (answer.status !== 200) return answer;
  const type = String(answer.headers['content-type']);
  switch (program.manifest) {
    case 'no digest':
      return without(answer, 'docker-content-digest');
    case 'parameters':
      return { ...answer, headers: { ...answer.headers, 'content-type': `${type}; charset=utf-8` } };
    case 'octets':
      return { ...answer, headers: { ...answer.headers, 'content-type': 'application/octet-stream' } };
    case 'no length':
      return without(answer, 'content-length');
    case 'text':
      return { ...answer, headers: { ...answer.headers, 'content-type': 'text/plain' } };
    case 'no type':
      return without(answer, 'content-type');
    case 'gzip':
      return compressed(answer);
    default:
      return answer;
  }
}

function compressed(answer: Answer): Answer {
  const { headers, body } = answer;
  return {
    ...answer,
    headers: { ...headers, 'content-encoding': 'gzip', 'content-length': undefined },
    body: gzipSync(body),
  };
}

function listed(program: Quirks, answer: Answer): Answer {
  if (answer.status !== 200) return answer;
  if (program.lists === 'gzip') return compressed(answer);
  if (program.lists === 'no type') return without(answer, 'content-type');
  if (program.lists === 'json') return answer;
  return { ...answer, headers: { ...answer.headers, 'content-type': 'text/plain; charset=utf-8' } };
}

async function part(program: Quirks, asked: Asked, { pass }: Context): Promise<Answer> {
  const { range, ...headers } = unconditional(asked).headers ?? asked.headers;
  if (range === undefined || program.ranges === 'works') return await pass(unconditional(asked));
  if (program.ranges === 'refused') return refusal(416, 'RANGE_INVALID', 'no parts of blobs');
  return await pass({ headers });
}

async function manifestPut(program: Quirks, answer: Answer): Promise<Answer> {
  if (answer.status !== 201) return answer;
  const lists = ['api', 'pages', 'not filtered', 'claimed'].includes(String(program.referrers));
  const bare =
    program.stored === 'no headers' ? without(answer, 'location', 'docker-content-digest') : answer;
  const seen = lists ? bare : without(bare, 'oci-subject');
  return program.manifestPut === 201 ? seen : { ...seen, status: program.manifestPut };
}

async function upload(program: Quirks, asked: Asked, { pass }: Context): Promise<Answer> {
  const { query, method } = asked;
  if (method === 'POST' && query.has('mount')) {
    const { mount } = program;
    if (typeof mount === 'number') return refusal(mount, 'UNSUPPORTED', 'no mounting');
    if (mount === 'ignored') {
      const answer = await pass({ query: new URLSearchParams() });
      return located(program, answer);
    }
  }
  if (method === 'PUT') {
    query.delete('state');
    const answer = await pass({ query });
    if (answer.status !== 201) return answer;
    const bare =
      program.stored === 'no headers' ? without(answer, 'location', 'docker-content-digest') : answer;
    return { ...bare, status: program.blobPut };
  }
  return located(program, await pass());
}

function located(program: Quirks, answer: Answer): Answer {
  const location = answer.headers['location'];
  if (answer.status !== 202 || typeof location !== 'string' || program.location === 'as it is') return answer;
  const { pathname, search } = new URL(location, 'http://emulator.invalid');
  const path = pathname + search;
  const given = program.location === 'relative' ? path : `${path}${search === '' ? '?' : '&'}state=a%2Bb%3D`;
  return { ...answer, headers: { ...answer.headers, location: given } };
}

async function referrers(program: Quirks, asked: Asked, context: Context): Promise<Answer> {
  const way = program.referrers;
  if (typeof way === 'number') return refusal(way, 'UNSUPPORTED', 'no such thing');
  if (way === 'page') return page(404, '404 page not found');
  if (way === 'elsewhere') return redirect(303, 'http://localhost:1/');
  if (way === 'claimed') return page(404, 'not found');
  if (way === 'api') return await context.pass();
  const query = new URLSearchParams();
  const all = await context.pass({ query });
  const answer = without(all, 'oci-filters-applied', 'content-length');
  if (way === 'not filtered' || all.status !== 200) return answer;
  const index = JSON.parse(all.body.toString()) as { manifests: unknown[] };
  const start = Number(asked.query.get('page') ?? 0);
  const manifests = index.manifests.slice(start, start + 1);
  const link =
    start + 1 < index.manifests.length ? `<${asked.path}?page=${start + 1}>; rel="next"` : undefined;
  const type = { 'content-type': 'application/vnd.oci.image.index.v1+json' };
  return json(200, { ...index, manifests }, { ...type, link });
}

/** Lists of tags, in as many ways. */
function tagLists(program: Quirks): Lists {
  const order = new Map<string, string[]>();
  const tokens = new Map<string, number>();
  return async (asked, context) => {
    const { repository } = context;
    const known = await context.tags();
    if (known === undefined) return refusal(404, 'NAME_UNKNOWN', 'repository name not known to registry');
    const made = order.get(repository) ?? [];
    for (const tag of known) if (!made.includes(tag)) made.push(tag);
    order.set(repository, made);
    const last = asked.query.get('last');
    const next = asked.query.get('next');
    const way = program.tags;
    if (way === 'n is refused' && asked.query.has('n')) return refusal(400, 'UNSUPPORTED', 'no pages');
    let tags = [...known];
    if (way === 'by making' || way === 'last is opaque') tags = made.filter((tag) => known.includes(tag));
    if (way === 'case-insensitive') tags.sort((a, b) => a.toLowerCase().localeCompare(b.toLowerCase(), 'en'));
    if (way === 'null where empty' && tags.length === 0) return json(200, { name: repository, tags: null });
    if (['whole', 'null where empty', 'n is refused'].includes(way)) {
      const shown = last === null ? tags : tags.filter((tag) => tag > last);
      return json(200, { name: repository, tags: shown });
    }
    if (way === 'last is ignored' && next === null) return json(200, { name: repository, tags });
    let start = 0;
    if (next !== null) start = tokens.get(next) ?? 0;
    else if (last !== null) {
      if (way === 'last is refused' || (way === 'last is opaque' && !tokens.has(last)))
        return refusal(400, 'PAGINATION_INVALID', 'last is invalid');
      if (way === 'last must exist' && !tags.includes(last))
        return refusal(404, 'TAG_UNKNOWN', 'no such tag');
      if (way === 'after last: nothing') return json(200, { name: repository, tags: [] });
      if (way === 'last is opaque') start = tokens.get(last) ?? 0;
      else if (way === 'by making') start = tags.includes(last) ? tags.indexOf(last) + 1 : tags.length;
      else start = tags.findIndex((tag) => (way === 'case-insensitive' ? tag.toLowerCase() : tag) > last);
      if (start === -1) start = tags.length;
    }
    const end = start + program.pageSize;
    const token = `t${tokens.size}`;
    tokens.set(token, end);
    const shown = way === 'empty pages' && next === null ? [] : tags.slice(start, end);
    const follows = way === 'empty pages' && next === null ? start : end;
    if (follows !== end) tokens.set(token, follows);
    const name = way === 'last is opaque' ? 'last' : 'next';
    const link = linkOf(program, context, asked.path, `${name}=${token}`);
    return json(200, { name: repository, tags: shown }, { link: follows < tags.length ? link : undefined });
  };
}

function linkOf(program: Quirks, { host }: Context, path: string, query: string): string {
  switch (program.link) {
    case 'absolute':
      return `<http://${host}${path}?${query}>; rel="next"`;
    case 'inner path':
      return `<http://${host}/inner/registry${path}?${query}>; rel="next"`;
    case 'no brackets':
      return `http://${host}${path}?${query}; rel=next`;
    case 'other scheme':
      return `<https://registry.internal${path}?${query}>; rel="next"`;
    case 'more parameters':
      return `<${path}?${query}>; title="a, b"; rel="prev next"`;
    case 'several':
      return `<${path}?last=zzz>; rel="prev", <${path}?n=1>; rel=first, <${path}?${query}>; rel="next"`;
    default:
      return `<${path}?${query}>; rel=next`;
  }
}

/** Some reads are answered as they were before, as long as the window lasts. */
function staleReads(
  program: Quirks,
  staleMs: number,
): (asked: Asked, context: Context, fresh: () => Promise<Answer>) => Promise<Answer> {
  const kept = new Map<string, { readonly answer: Answer; readonly at: number }>();
  let turn = 0;
  return async (asked, context, fresh) => {
    const reads = asked.method === 'GET' || asked.method === 'HEAD';
    if (staleMs === 0 || !reads || context.kind === 'uploads' || context.kind === 'base')
      return await fresh();
    const key = `${asked.method} ${asked.path}?${asked.query} ${asked.headers['if-none-match']} ${asked.headers['range']}`;
    const before = kept.get(key);
    turn += 1;
    const isOld = before === undefined || performance.now() - before.at > staleMs;
    if (!isOld && (turn * 7) % 10 < program.staleTenths) return before.answer;
    const answer = await fresh();
    if (isOld) kept.set(key, { answer, at: performance.now() });
    return answer;
  };
}

function dressed(program: Quirks, answer: Answer): Answer {
  let { headers, body } = answer;
  if (answer.status >= 400 && program.errors !== 'json' && answer.status !== 429) {
    const texts = { html: '<html><body>no</body></html>', nothing: '', text: 'no' } as const;
    const types = { html: 'text/html', nothing: undefined, text: 'text/plain' } as const;
    body = Buffer.from(texts[program.errors]);
    headers = { ...headers, 'content-type': types[program.errors], 'content-length': undefined };
  }
  if (program.more)
    headers = {
      ...headers,
      warning: '299 - "a word of the operator"',
      vary: 'Accept',
      'x-request-id': '1',
      via: '1.1 proxy',
    };
  return { ...answer, headers, body };
}
