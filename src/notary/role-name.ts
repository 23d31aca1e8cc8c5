/** Longest name of a role that Notary takes. */
const MAX_NAME = 255;
const DELEGATION = /^targets(?:\/[-a-z0-9_]+)+$/;

/** The role that docker reads first: what is released. */
export const RELEASES_ROLE = 'targets/releases';

/**
 * Whether `name` can be the name of a delegation: `targets/a` or `targets/a/b`, in lower case. Notary
 * refuses metadata with others, and so no name can leave a folder or a URL.
 */
export function isDelegationName(name: string): boolean {
  return name.length <= MAX_NAME && DELEGATION.test(name);
}

/** Whether `name` is one level below `parent`. */
export function isChildOf(name: string, parent: string): boolean {
  return name.startsWith(`${parent}/`) && !name.slice(parent.length + 1).includes('/');
}

/** The roles between `targets` and a delegation, `targets` first, the delegation last. */
export function lineageOf(name: string): readonly string[] {
  const parts = name.split('/');
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}

/** What people call a role: `alice` for `targets/alice`. */
export function signerName(role: string): string {
  return role.replace(/^targets\//, '');
}

/** The role of a name as people write it: `alice` and `targets/alice` are the same. */
export function roleOfSigner(name: string): string {
  return name === 'targets' || name.startsWith('targets/') ? name : `targets/${name}`;
}
