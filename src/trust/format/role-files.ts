import type { Descriptor } from '../../oci/descriptor.ts';
import { decodeRoleName } from '../../tuf/role-name.ts';
import type { TrustObject } from './object.ts';

/** A role's file in an object, by what its name claims. */
export interface ListedFile {
  readonly version: number;
  readonly descriptor: Descriptor;
}

/** The file of a role that an object lists; of several, the one that claims the highest version. */
export function findRoleFile(object: TrustObject, role: string): ListedFile | undefined {
  let found: ListedFile | undefined;
  for (const [name, descriptor] of object.files) {
    const match = /^([1-9][0-9]{0,15})\.([^/]+)\.json$/.exec(name);
    if (match === null || decodeRoleName(match[2] as string) !== role) continue;
    const version = Number(match[1]);
    if (found === undefined || version > found.version) found = { version, descriptor };
  }
  return found;
}
