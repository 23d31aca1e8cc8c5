import { type Dialect, refusal, unconditional } from './proxy.ts';

/**
 * GitLab's registry, a fork of distribution. No referrers API; and the tag `sha256-<hex>` of a manifest that is there
 * names that manifest, not what was pushed to this tag (oras-project/oras-go#1396).
 */
export function gitlab(): Dialect {
  return async (asked, context) => {
    const { kind, repository, reference } = context;
    if (kind === 'referrers') return refusal(404, 'NOT_FOUND', 'not found');
    const hex = /^sha256-([0-9a-f]{64})$/.exec(reference)?.[1];
    if (kind === 'manifests' && hex !== undefined && (asked.method === 'GET' || asked.method === 'HEAD')) {
      const instead = await context.pass({
        ...unconditional(asked),
        path: `/v2/${repository}/manifests/sha256:${hex}`,
      });
      if (instead.status === 200) return instead;
    }
    return await context.pass(unconditional(asked));
  };
}
