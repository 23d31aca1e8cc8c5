const DAY_MS = 86_400_000;

/** Whether something still counts, and for how long. */
export type ExpiryState = 'fine' | 'soon' | 'expired';

/**
 * How long before its expiry a role is called to attention, in milliseconds: what machines sign anew in time
 * later than what needs a person.
 */
export function warningTime(role: string): number {
  return (role === 'snapshot' || role === 'timestamp' ? 3 : 30) * DAY_MS;
}

/** @param before milliseconds before the expiry from which on it is `soon`; by default as {@link warningTime} */
export function expiryState(
  role: string,
  expires: Date,
  now: Date,
  before: number = warningTime(role),
): ExpiryState {
  const left = expires.getTime() - now.getTime();
  if (left <= 0) return 'expired';
  return left < before ? 'soon' : 'fine';
}
