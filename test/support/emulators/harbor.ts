import { type Dialect, moves, refusal, unconditional } from './proxy.ts';

export interface HarborOptions {
  /** Tags that a rule makes immutable. */
  readonly immutable?: RegExp;
  /** Bytes of blobs that the project may hold. */
  readonly quota?: number;
}

/**
 * Harbor. Immutable tags: 412 with PRECONDITION and the words of its source (goharbor/harbor,
 * src/server/middleware/immutable). Quota of a project: 403 with DENIED (harbor#8802, #11527). A robot account belongs to
 * one project: mounting from another is refused (harbor#22078). Manifests by tag are found by HEAD and GET; conditions
 * are not looked at.
 */
export function harbor(options: HarborOptions = {}): Dialect {
  let used = 0;
  return async (asked, context) => {
    const { kind, repository, reference } = context;
    const { immutable = /^$/, quota = Number.POSITIVE_INFINITY } = options;
    if (await moves(asked, context, immutable)) {
      const message = `Failed to process request due to '${repository}:${reference}' configured as immutable.`;
      return refusal(412, 'PRECONDITION', message);
    }
    if (kind === 'uploads' && asked.method === 'POST' && asked.query.has('mount')) {
      const from = asked.query.get('from') ?? '';
      if (from.split('/')[0] !== repository.split('/')[0])
        return refusal(403, 'FORBIDDEN', `not permitted to pull from ${from}`);
    }
    if (kind === 'uploads' && asked.method !== 'GET' && asked.method !== 'DELETE') {
      if (used + asked.body.length > quota) {
        const message = `adding ${asked.body.length} B of storage resource, which when updated to current usage of ${used} B will exceed the configured upper limit of ${quota} B.`;
        return refusal(403, 'DENIED', message);
      }
      used += asked.body.length;
    }
    return await context.pass(unconditional(asked));
  };
}
