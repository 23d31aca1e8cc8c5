import { type Dialect, json, page, refusal, unconditional, without } from './proxy.ts';

/**
 * Cloudflare's serverless-registry, after its source (cloudflare/serverless-registry, src/router.ts): 50 tags to a page
 * unless asked for more; the Link of the next has no angle brackets; `last` may be anything. Bodies over a limit of the
 * plan (500 MB in its README) never reach it: 413, and not in JSON.
 * @param maxBody bytes of a body
 * @param maxPage tags in a page: 1000, which is what its storage lists at once
 */
export function cloudflare(maxBody: number, maxPage: number = 1000): Dialect {
  return async (asked, context) => {
    const { kind, repository } = context;
    if (asked.body.length > maxBody) return page(413, '<center><h1>413 Payload Too Large</h1></center>');
    if (kind === 'tags') {
      const n = Math.min(Number(asked.query.get('n') ?? 50), maxPage);
      if (Number.isNaN(n) || n <= 0) return refusal(400, 'UNSUPPORTED', "invalid 'n' parameter");
      const last = asked.query.get('last') ?? '';
      const rest = ((await context.tags()) ?? []).filter((tag) => tag > last);
      const shown = rest.slice(0, n);
      const link = `https://${context.host}/v2/${repository}/tags/list?n=${n}&last=${shown.at(-1) ?? ''}; rel=next`;
      return json(200, { name: repository, tags: shown }, { link: rest.length > n ? link : undefined });
    }
    return without(await context.pass(unconditional(asked)), 'etag');
  };
}
