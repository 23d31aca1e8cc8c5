import { type Dialect, json, moves, pageSize, refusal, unconditional } from './proxy.ts';

const MAX_PAGE = 100;

/**
 * Quay, after its source (quay/quay, endpoints/v2/__init__.py: paginate; endpoints/v2/errors.py): tags in the order of
 * their making, 100 at most; the next page by an encrypted `next_page`; `last` is read as such a token, so a tag means
 * the first page again; links have host and scheme of its configuration. Tags that cannot be moved are answered 409.
 * @param immutable tags that cannot be moved
 */
export function quay(immutable: RegExp = /^$/): Dialect {
  const made = new Map<string, string[]>();
  const tokens = new Map<string, number>();
  return async (asked, context) => {
    const { kind, repository, reference } = context;
    const order = made.get(repository) ?? [];
    made.set(repository, order);
    if (await moves(asked, context, immutable))
      return refusal(409, 'TAG_ALREADY_EXISTS', 'tag was already pushed');
    if (kind === 'tags') {
      const known = await context.tags();
      if (known === undefined) return refusal(404, 'NAME_UNKNOWN', 'repository name not known to registry');
      const tags = [...new Set([...order, ...known])].filter((tag) => known.includes(tag));
      const token = asked.query.get('next_page') ?? asked.query.get('last') ?? '';
      const start = tokens.get(token) ?? 0;
      const n = pageSize(asked.query, MAX_PAGE);
      const next = `gAAAA${Buffer.from(`${repository} ${start + n}`).toString('base64url')}`;
      tokens.set(next, start + n);
      const link = `<https://quay.internal/v2/${repository}/tags/list?n=${n}&next_page=${next}>; rel="next"`;
      const headers = { link: tags.length > start + n ? link : undefined };
      return json(200, { name: repository, tags: tags.slice(start, start + n) }, headers);
    }
    const answer = await context.pass(unconditional(asked));
    if (kind === 'manifests' && asked.method === 'PUT' && answer.status < 300) {
      // A tag that is moved is a new row.
      if (order.includes(reference)) order.splice(order.indexOf(reference), 1);
      if (!reference.includes(':')) order.push(reference);
    }
    return answer;
  };
}
