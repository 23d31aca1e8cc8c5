import { type Dialect, isDigest, json, moves, pageSize, refusal, unconditional, without } from './proxy.ts';

export interface EcrOptions {
  /** Repositories that were created; no others can be pushed to. All, if left out. */
  readonly repositories?: readonly string[];
  /** Tags that cannot be moved. */
  readonly immutable?: RegExp;
}

const MAX_PAGE = 1000;

/**
 * Amazon ECR. A repository has to be created before its first push; its words, those of immutable tags and the code
 * TAG_INVALID are in aws/containers-roadmap#862 and docker/buildx#663. Pages of more than 1000 are refused, and a GET by
 * tag has no digest (cuelabs.dev/go/oci/ociregistry, which says so of ECR where it imitates it). `last` is the token of
 * a page, not a tag; lists are in no order (docs.aws.amazon.com, ListImages: nextToken). PATCH is answered 201.
 */
export function ecr(options: EcrOptions = {}): Dialect {
  const pages = new Map<string, readonly string[]>();
  return async (asked, context) => {
    const { kind, repository, reference, pass } = context;
    const { repositories, immutable = /^$/ } = options;
    if (repositories !== undefined && repository !== '' && !repositories.includes(repository)) {
      const message = `The repository with name '${repository}' does not exist in the registry with id '123456789012'`;
      return refusal(404, 'NAME_UNKNOWN', message);
    }
    if (await moves(asked, context, immutable)) {
      const message = `The image tag '${reference}' already exists in the '${repository}' repository and cannot be overwritten because the tag is immutable.`;
      return refusal(400, 'TAG_INVALID', message);
    }
    if (kind === 'tags') {
      if (Number(asked.query.get('n') ?? 1) > MAX_PAGE)
        return refusal(400, 'UNSUPPORTED', `Invalid parameter at 'maxResults' failed to satisfy constraint`);
      const token = asked.query.get('last');
      if (token !== null && !pages.has(token))
        return refusal(400, 'UNSUPPORTED', `Invalid parameter at 'nextToken' failed to satisfy constraint`);
      const tags = token === null ? inNoOrder((await context.tags()) ?? []) : (pages.get(token) ?? []);
      const n = pageSize(asked.query, MAX_PAGE);
      const next = Buffer.from(`${repository} ${tags[n]}`).toString('base64url');
      if (tags.length > n) pages.set(next, tags.slice(n));
      const link = `<https://${context.host}/v2/${repository}/tags/list?last=${next}&n=${n}>; rel="next"`;
      const headers = { link: tags.length > n ? link : undefined };
      return json(200, { name: repository, tags: tags.slice(0, n) }, headers);
    }
    const answer = await pass(unconditional(asked));
    if (kind === 'uploads' && asked.method === 'PATCH' && answer.status === 202)
      return { ...answer, status: 201 };
    if (kind === 'manifests' && asked.method === 'GET' && !isDigest(reference))
      return without(answer, 'docker-content-digest', 'etag');
    return answer;
  };
}

function inNoOrder(tags: readonly string[]): readonly string[] {
  const rank = (tag: string): number =>
    [...tag].reduce((sum, one) => (sum * 31 + one.charCodeAt(0)) % 997, 7);
  return [...tags].sort((a, b) => rank(a) - rank(b));
}
