import { BullaError } from '../../errors.ts';
import type { TufClient } from '../../tuf/client.ts';
import { createdIn } from '../format/binding.ts';

/** Whether what was read is of today. A file of its own, so that what only shows it loads nothing that reads. */
export type Freshness =
  | { readonly kind: 'fresh'; readonly until: Date }
  /** Expired `by` so many milliseconds ago, and verified as of a time when it was not. */
  | { readonly kind: 'stale'; readonly by: number; readonly asOf: Date };

/** Whether what has been verified of a collection so far was of the day on which it was read. */
export function freshnessOf({
  client,
  readAt,
}: {
  readonly client: Pick<TufClient, 'trusted'>;
  readonly readAt: Date;
}): Freshness {
  const { expires } = client.trusted;
  if (expires > readAt) return { kind: 'fresh', until: expires };
  return { kind: 'stale', by: readAt.getTime() - expires.getTime(), asOf: createdOf(client) };
}

/** When the timestamp says that it was made. @throws BullaError trust-invalid */
export function createdOf(client: Pick<TufClient, 'trusted'>): Date {
  const created = createdIn(client.trusted.timestamp.file);
  if (created !== undefined) return created;
  throw new BullaError('trust-invalid', 'the timestamp does not say when it was made', {
    hint: 'it was made by another tool, and can be verified only until it expires',
    details: { role: 'timestamp', reason: 'binding' },
  });
}
