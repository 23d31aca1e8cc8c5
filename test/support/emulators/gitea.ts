import { type Dialect, json, page, refusal, unconditional, without } from './proxy.ts';

/**
 * Gitea and Forgejo, after their source (go-gitea/gitea, models/packages/container/search.go: GetImageTags,
 * routers/api/packages/container): tags in lower case and in that order, `last` compared in lower case, no Link however
 * many there are, `n=0` nothing; no referrers API; no ETag.
 */
export function gitea(): Dialect {
  return async (asked, context) => {
    const { kind, repository, pass } = context;
    if (kind === 'referrers') return page(404, 'Not Found');
    if (kind === 'tags') {
      const tags = await context.tags();
      if (tags === undefined) return refusal(404, 'NAME_UNKNOWN', 'repository name not known to registry');
      const lower = [...new Set(tags.map((tag) => tag.toLowerCase()))].sort();
      const last = asked.query.get('last')?.toLowerCase() ?? '';
      const rest = lower.filter((tag) => tag > last);
      const n = Number(asked.query.get('n') ?? rest.length);
      return json(200, { name: repository.toLowerCase(), tags: rest.slice(0, n) });
    }
    return without(await pass(unconditional(asked)), 'etag');
  };
}
