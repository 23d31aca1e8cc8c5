import { type Dialect, json, pageSize, refusal, unconditional, without } from './proxy.ts';

const MAX_PAGE = 100;

/**
 * Pulp, after its source (pulp/pulp_container, pulp_container/app/registry_api.py): what is mounted and is not there is
 * answered 404 rather than with an upload; the list of tags is in the order of its database, which is not that of bytes
 * (PostgreSQL's collation), and so is what follows `last`; pages are full of 100 by default, and a full page has a link,
 * also where nothing follows. The link has the scheme that Pulp was reached by, which a proxy changes.
 */
export function pulp(): Dialect {
  const { compare } = new Intl.Collator('en-US', { ignorePunctuation: true });
  const order = (a: string, b: string): number => compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
  return async (asked, context) => {
    const { kind, repository, pass } = context;
    if (kind === 'uploads' && asked.method === 'POST' && asked.query.has('mount')) {
      const path = `/v2/${asked.query.get('from')}/blobs/${asked.query.get('mount')}`;
      const { status } = await pass({ method: 'HEAD', path, query: new URLSearchParams() });
      if (status !== 200) return refusal(404, 'BLOB_UNKNOWN', 'blob unknown to registry');
    }
    if (kind === 'tags') {
      const tags = await context.tags();
      if (tags === undefined) return refusal(404, 'NAME_UNKNOWN', 'repository name not known to registry');
      const last = asked.query.get('last');
      const sorted = [...tags].sort(order);
      const rest = last === null ? sorted : sorted.filter((tag) => order(tag, last) > 0);
      const n = pageSize(asked.query, MAX_PAGE);
      const shown = rest.slice(0, n);
      const link = `<https://${context.host}/v2/${repository}/tags/list?n=${n}&last=${shown.at(-1)}>; rel="next"`;
      return json(200, { name: repository, tags: shown }, { link: shown.length === n ? link : undefined });
    }
    return without(await pass(unconditional(asked)), 'etag');
  };
}
