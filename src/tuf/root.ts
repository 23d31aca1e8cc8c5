import { parseRoleKeys, type RoleKeys } from './delegation-keys.ts';
import { parseKeys, type TufKey } from './keys.ts';
import type { MetadataFile } from './metadata-file.ts';
import { TOP_LEVEL_ROLES, type TopLevelRole } from './role-name.ts';
import { parseSigned, type Signed } from './signed.ts';

/** Content of root metadata (TUF 1.0.34 §4.3). */
export interface Root extends Signed {
  readonly type: 'root';
  /** Whether files but timestamp carry their version, and targets their hash, in their names. */
  readonly consistentSnapshot: boolean;
  readonly keys: ReadonlyMap<string, TufKey>;
  readonly roles: ReadonlyMap<TopLevelRole, RoleKeys>;
}

/**
 * Content of a root file, whose signatures the caller verifies with the keys found here (and there).
 * @throws BullaError content-invalid (details.role)
 */
export function parseRoot(file: MetadataFile): Root {
  const { fields, signed } = parseSigned(file, 'root');
  const roles = fields.object('roles');
  return {
    ...signed,
    type: 'root',
    consistentSnapshot: fields.boolean('consistent_snapshot', false),
    keys: parseKeys(fields.object('keys')),
    roles: new Map(TOP_LEVEL_ROLES.map((role) => [role, parseRoleKeys(roles.object(role), file.role)])),
  };
}

/** Keys and threshold of a top-level role; {@link parseRoot} has made sure that all four are there. */
export function topLevelKeys(root: Root, role: TopLevelRole): RoleKeys {
  return root.roles.get(role) as RoleKeys;
}
