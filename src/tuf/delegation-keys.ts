import { type Fields, malformed } from './fields.ts';

/** Who may sign for a role: any `threshold` of these keys. */
export interface RoleKeys {
  readonly keyids: readonly string[];
  readonly threshold: number;
}

/**
 * `keyids` and `threshold` of a role. A threshold that can't be met and ids without a key are no
 * format errors: nothing verifies under them.
 * @throws BullaError content-invalid where a key id stands twice
 */
export function parseRoleKeys(fields: Fields, role: string): RoleKeys {
  const keyids = fields.strings('keyids');
  if (new Set(keyids).size !== keyids.length) throw malformed(role, 'a role lists one key id twice');
  return { keyids, threshold: fields.integer('threshold', 1) };
}
