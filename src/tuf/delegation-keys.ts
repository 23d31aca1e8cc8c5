import { type Fields, malformed } from './fields.ts';

/** Who may sign for a role: any `threshold` of these keys. */
export interface RoleKeys {
  readonly keyids: readonly string[];
  readonly threshold: number;
}

/**
 * The keys that these ids list, each once. A role may list one key under several ids, and it counts as one: by its
 * material, or by its id where the key is missing or cannot be used. Every count of keys is made with this.
 */
export function distinctKeys(
  keys: { get(keyid: string): { readonly fingerprint: string | undefined } | undefined },
  keyids: Iterable<string>,
): ReadonlySet<string> {
  return new Set([...keyids].map((keyid) => keys.get(keyid)?.fingerprint ?? keyid));
}

/**
 * `keyids` and `threshold` of a role. A threshold that cannot be met and ids without a key are not
 * errors of the format: nothing verifies under them.
 * @throws BullaError content-invalid where a key id stands twice
 */
export function parseRoleKeys(fields: Fields, role: string): RoleKeys {
  const keyids = fields.strings('keyids');
  if (new Set(keyids).size !== keyids.length) throw malformed(role, 'a role lists one key id twice');
  return { keyids, threshold: fields.integer('threshold', 1) };
}
