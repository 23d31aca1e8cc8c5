import { isJsonObject, type JsonObject } from '../../encoding/json.ts';
import { defaultLifetime, type LifetimePolicy } from '../../tuf/edit/policy.ts';
import type { RepositoryFiles } from '../../tuf/edit/repository.ts';
import { isTopLevelRole } from '../../tuf/role-name.ts';
import { BINDING } from './binding.ts';

/** Member of `bulla` in root and targets: for how many seconds the roles that they delegate to are signed. */
const LIFETIMES = 'lifetimes';

/**
 * For how long new files of a collection are valid (spec/trust-roles.md, "Expiry"): what root says of the
 * top-level roles, what targets says of `names` and the signers, else the defaults.
 * @param files verified by the caller
 */
export function lifetimesOf({ roots, roles }: RepositoryFiles): LifetimePolicy {
  return (role) => lifetimeIn(role, roots.at(-1)?.signed, roles.get('targets')?.signed);
}

/** As {@link lifetimesOf}, from the signed parts of root and targets, in milliseconds. */
export function lifetimeIn(
  role: string,
  root: JsonObject | undefined,
  targets: JsonObject | undefined,
): number {
  const binding = (isTopLevelRole(role) ? root : targets)?.[BINDING];
  const lifetimes = isJsonObject(binding) ? binding[LIFETIMES] : undefined;
  const seconds = isJsonObject(lifetimes) ? lifetimes[role] : undefined;
  return typeof seconds === 'number' && Number.isSafeInteger(seconds) && seconds > 0
    ? seconds * 1000
    : defaultLifetime(role);
}

/**
 * The member that says so: `present` with some lifetimes set, or taken out where they are undefined.
 * @param changes milliseconds by role
 */
export function lifetimesBinding(
  changes: ReadonlyMap<string, number | undefined>,
  present: JsonObject = {},
): JsonObject {
  const before = present[LIFETIMES];
  const seconds: JsonObject = Object.assign(Object.create(null), isJsonObject(before) ? before : {});
  for (const [role, milliseconds] of changes) {
    if (milliseconds === undefined) delete seconds[role];
    else seconds[role] = Math.max(1, Math.floor(milliseconds / 1000));
  }
  const { [LIFETIMES]: _, ...rest } = present;
  return Object.keys(seconds).length === 0 ? rest : { ...rest, [LIFETIMES]: seconds };
}
