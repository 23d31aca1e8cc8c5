import { type Dialect, isDigest, json, refusal, unconditional, without } from './proxy.ts';

/**
 * zot, after its source (project-zot/zot, pkg/api/routes.go: ListTags, DeleteManifest): tags in byte order; `last` that
 * is not a tag is answered 404 with nothing, and a manifest that an index lists is not removed (405). ETags are not
 * sent, and conditions not looked at (measured, 2026-08).
 */
export function zot(): Dialect {
  const children = new Map<string, Set<string>>();
  return async (asked, context) => {
    const { kind, repository, reference, pass } = context;
    if (kind === 'tags') {
      const tags = await context.tags();
      const last = asked.query.get('last');
      if (tags === undefined) return refusal(404, 'NAME_UNKNOWN', 'repository name not known to registry');
      if (last !== null && !tags.includes(last)) return { status: 404, headers: {}, body: Buffer.alloc(0) };
      const rest = last === null ? tags : tags.slice(tags.indexOf(last) + 1);
      const n = Number(asked.query.get('n') ?? rest.length);
      const shown = rest.slice(0, n);
      const link = `</v2/${repository}/tags/list?n=${n}&last=${shown.at(-1)}>; rel="next"`;
      return json(
        200,
        { name: repository, tags: shown },
        { link: shown.length < rest.length ? link : undefined },
      );
    }
    if (kind === 'manifests' && asked.method === 'DELETE' && isDigest(reference)) {
      const held = [...(children.get(repository) ?? [])];
      if (held.includes(reference))
        return refusal(405, 'DENIED', 'requested access to the resource is denied');
    }
    if (kind === 'manifests' && asked.method === 'PUT') {
      const listed =
        (JSON.parse(asked.body.toString()) as { manifests?: { digest: string }[] }).manifests ?? [];
      const known = children.get(repository) ?? new Set();
      for (const { digest } of listed) known.add(digest);
      children.set(repository, known);
    }
    return without(await pass(unconditional(asked)), 'etag');
  };
}
