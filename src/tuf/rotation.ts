import { distinctKeys } from './delegation-keys.ts';
import type { TopLevelRole } from './role-name.ts';
import { type Root, topLevelKeys } from './root.ts';

/**
 * Whether a role lost a key from one root to the next (TUF 1.0.34 §5.3.11): then the owner of that key may
 * have pushed versions far ahead, and what is cached of the role must not bound versions any more. A
 * key that only comes in, or a new threshold, recovers from nothing and keeps the bound.
 */
export function keysWereRemoved(before: Root, after: Root, role: TopLevelRole): boolean {
  const keysOf = (root: Root) => distinctKeys(root.keys, topLevelKeys(root, role).keyids);
  const now = keysOf(after);
  return [...keysOf(before)].some((key) => !now.has(key));
}
