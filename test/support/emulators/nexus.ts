import { type Dialect, isDigest, json, pageSize, refusal, unconditional } from './proxy.ts';

/**
 * Nexus, a Docker connector at a port of its own. Links are absolute and have an inner path that this port does not serve
 * (sonatype/nexus-public#1011); HEAD by tag is not answered as GET is (merll/docker-registry-util#3).
 */
export function nexus(): Dialect {
  return async (asked, context) => {
    const { kind, repository, reference } = context;
    if (kind === 'other') return refusal(400, 'UNSUPPORTED', 'not a docker request');
    if (kind === 'manifests' && asked.method === 'HEAD' && !isDigest(reference))
      return refusal(404, 'MANIFEST_UNKNOWN', 'manifest unknown');
    if (kind === 'tags') {
      const tags = await context.tags();
      if (tags === undefined) return refusal(404, 'NAME_UNKNOWN', 'repository name not known to registry');
      const last = asked.query.get('last') ?? '';
      const rest = tags.filter((tag) => tag > last);
      const n = pageSize(asked.query, 1000);
      const link = `<http://${context.host}/repository/docker-hosted/v2/${repository}/tags/list?n=${n}&last=${rest[n - 1]}>; rel="next"`;
      return json(
        200,
        { name: repository, tags: rest.slice(0, n) },
        { link: rest.length > n ? link : undefined },
      );
    }
    return await context.pass(unconditional(asked));
  };
}
