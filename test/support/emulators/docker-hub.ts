import { type Dialect, isDigest, page, refusal, unconditional } from './proxy.ts';

/** GETs of manifests between two that are refused. */
const LIMIT = 25;

/**
 * Docker Hub. A GET of a manifest counts as a pull, a HEAD does not; over the limit it is answered 429 with
 * TOOMANYREQUESTS (docs.docker.com, docker-hub/usage/pulls: headers RateLimit-Limit and RateLimit-Remaining; Retry-After
 * in seconds). The limit here is over after a second, not after six hours. A PUT of a manifest with a subject is
 * answered with OCI-Subject, and the list of referrers is not there (seen in 2024: signatures were lost by clients that
 * believed it).
 */
export function dockerHub(): Dialect {
  let pulls = 0;
  return async (asked, context) => {
    const { kind, reference, pass } = context;
    if (kind === 'referrers') return page(404, '404 page not found');
    if (kind === 'manifests' && asked.method === 'GET') {
      pulls += 1;
      const left = LIMIT - (pulls % LIMIT);
      const limits = { 'ratelimit-limit': `${LIMIT};w=1`, 'ratelimit-remaining': `${left - 1};w=1` };
      if (left === LIMIT)
        return refusal(
          429,
          'TOOMANYREQUESTS',
          'You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit',
          { ...limits, 'retry-after': '1' },
        );
      const answer = await pass(unconditional(asked));
      return { ...answer, headers: { ...answer.headers, ...limits } };
    }
    const answer = await pass(unconditional(asked));
    if (kind !== 'manifests' || asked.method !== 'PUT' || answer.status !== 201) return answer;
    const subject = (JSON.parse(asked.body.toString()) as { subject?: { digest: string } }).subject?.digest;
    if (subject === undefined || !isDigest(reference)) return answer;
    return { ...answer, headers: { ...answer.headers, 'oci-subject': subject } };
  };
}
