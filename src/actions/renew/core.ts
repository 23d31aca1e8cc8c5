import { lifetimesOf } from '../../trust/format/lifetimes.ts';
import type { TrustTarget } from '../../trust/format/ports.ts';
import type { PublishOptions } from '../../trust/publish/publish-options.ts';
import { dueAt, type Resigned, resignCollection } from '../../trust/publish/resign.ts';
import type { ReadOptions } from '../../trust/read/collection.ts';
import type { RenewedCollection } from './report.ts';

export interface CoreOptions extends PublishOptions {
  /** Re-sign although it may not be due. */
  readonly renew: boolean;
  /** Part of the lifetime after which it is. */
  readonly renewAt: number;
}

/**
 * One pass over one collection, as the schedule wants it told.
 * @throws BullaError untrusted-identity if the given keys are not the online keys; not-found if
 *   there is no collection; trust-expired, trust-rollback, trust-invalid; what target and state throw
 */
export async function resignOnce(
  target: TrustTarget,
  read: ReadOptions,
  { renew, renewAt, ...options }: CoreOptions,
): Promise<RenewedCollection> {
  const resigned = await resignCollection(target, read, { ...options, force: renew, dueAfter: renewAt });
  const { collection, outcome, folded, conflicts, expires, announced } = resigned;
  return {
    head: resigned.head,
    work: outcome,
    folded: folded.length,
    conflicts: conflicts.map(({ entry, reason, names }) => ({ id: entry.id, reason, names })),
    expiries: expires,
    renewAt: dueAt(collection, renewAt) ?? options.clock.now(),
    lifetimeMs: lifetimeOf(resigned),
    buriedBy: resigned.buriedBy?.message,
    ownTags: announced,
  };
}

function lifetimeOf({ collection }: Resigned): number {
  const { root, timestamp, snapshot } = collection.client.trusted;
  const lifetime = lifetimesOf({
    roots: [root.file],
    roles: new Map(),
    timestamp: timestamp.file,
    snapshot: snapshot.file,
  });
  return Math.min(lifetime('timestamp'), lifetime('snapshot'));
}
