import { type Dialect, json, moves, page, redirect, refusal, unconditional } from './proxy.ts';

/**
 * Google Artifact Registry. It has no referrers API (actions/attest-build-provenance#80); where tags are immutable, a
 * move is answered MANIFEST_INVALID in the words of cloud.google.com/artifact-registry/docs/docker/troubleshoot; lists
 * of tags have further members, `manifest` and `child` (as gcr.io had them, which go-containerregistry's google.List
 * reads), and are whole; blobs are at a storage, by 302.
 * @param immutable tags that cannot be moved
 */
export function gar(immutable: RegExp = /^$/): Dialect {
  return async (asked, context) => {
    const { kind, repository, reference, pass } = context;
    if (kind === 'referrers') return page(404, 'The requested URL was not found on this server.');
    if (await moves(asked, context, immutable)) {
      const message = `cannot update tag ${reference}. The repository has enabled tag immutability`;
      return refusal(400, 'MANIFEST_INVALID', message);
    }
    if (kind === 'tags') {
      const tags = (await context.tags()) ?? [];
      return json(200, { child: [], manifest: { 'sha256:0': { tag: tags } }, name: repository, tags });
    }
    const answer = await pass(unconditional(asked));
    if (kind === 'blobs' && asked.method === 'GET' && answer.status === 200)
      return redirect(302, context.storage());
    return answer;
  };
}
