import { type Dialect, json, pageSize, redirect, refusal } from './proxy.ts';

/**
 * GitHub's registry. No referrers API: 404, and in 2026 a redirect to another host, which answers no list
 * (actions/attest-build-provenance#91). Manifests are not removed over this API (405); blobs are at a storage, by 307.
 * Tags come in the order of their push, and pages begin after `last` in that order.
 */
export function ghcr(): Dialect {
  const order = new Map<string, string[]>();
  return async (asked, context) => {
    const { kind, repository, reference, pass } = context;
    const pushed = order.get(repository) ?? [];
    order.set(repository, pushed);
    if (kind === 'referrers')
      return redirect(303, context.storage().replace(/\/[0-9a-f]+\?/, '/-/not-here?'));
    if (kind === 'manifests' && asked.method === 'DELETE')
      return refusal(405, 'UNSUPPORTED', 'The operation is unsupported.');
    if (kind === 'tags') {
      const known = new Set((await context.tags()) ?? []);
      if (known.size === 0) return await pass();
      const tags = [...new Set([...pushed, ...known])].filter((tag) => known.has(tag));
      const last = asked.query.get('last');
      const rest = last === null ? tags : tags.includes(last) ? tags.slice(tags.indexOf(last) + 1) : [];
      const n = pageSize(asked.query, 1000);
      const link = `</v2/${repository}/tags/list?last=${rest[n - 1]}&n=${n}>; rel="next"`;
      return json(
        200,
        { name: repository, tags: rest.slice(0, n) },
        { link: rest.length > n ? link : undefined },
      );
    }
    const answer = await pass();
    if (kind === 'manifests' && asked.method === 'PUT' && answer.status < 300) {
      if (!pushed.includes(reference) && !reference.includes(':')) pushed.push(reference);
    }
    if (kind === 'blobs' && asked.method === 'GET' && answer.status === 200)
      return redirect(307, context.storage());
    return answer;
  };
}
