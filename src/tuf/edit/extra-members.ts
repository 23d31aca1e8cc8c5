import { BullaError } from '../../errors.ts';

/** Members that have a meaning in TUF, and are written only where that is meant. */
const RESERVED: ReadonlySet<string> = new Set([
  '_type',
  'consistent_snapshot',
  'delegations',
  'expires',
  'keys',
  'meta',
  'roles',
  'spec_version',
  'targets',
  'version',
]);

/**
 * Refuses to set members through a back door that would bypass the checks of the front door.
 * @throws BullaError usage
 */
export function assertExtraMembers(role: string, members: object): void {
  const reserved = Object.keys(members).find((name) => RESERVED.has(name));
  if (reserved === undefined) return;
  throw new BullaError('usage', `${reserved} is not an extra member of ${JSON.stringify(role)}`, {
    hint: 'TUF gives this name a meaning: choose another',
    details: { role, member: reserved },
  });
}
