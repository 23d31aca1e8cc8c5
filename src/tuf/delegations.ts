import { parseRoleKeys, type RoleKeys } from './delegation-keys.ts';
import { type Fields, malformed } from './fields.ts';
import { type BinLayout, binFor, isBin, targetPathHash } from './hash-bins.ts';
import { parseKeys, type TufKey } from './keys.ts';
import { matchesPathPattern } from './path-pattern.ts';
import { problemWithDelegatedName } from './role-name.ts';

/** A role that targets, or a role below it, delegates to (TUF 1.0.34 §4.5). */
export interface DelegatedRole extends RoleKeys {
  readonly name: string;
  /** Ends the search: what comes after it is not asked about paths that it matches. */
  readonly terminating: boolean;
  /** Exactly one of the two, or neither: then it is trusted with no path. */
  readonly paths?: readonly string[];
  readonly pathHashPrefixes?: readonly string[];
}

/** Hash bins that share their keys (TAP 15). */
export interface SuccinctRoles extends RoleKeys, BinLayout {}

/** DELEGATIONS: either roles in order of priority, or succinct bins. */
export interface Delegations {
  readonly keys: ReadonlyMap<string, TufKey>;
  readonly roles: readonly DelegatedRole[];
  readonly succinct?: SuccinctRoles;
}

/** @throws BullaError content-invalid (details.role) */
export function parseDelegations(fields: Fields, role: string): Delegations {
  const succinct = fields.optionalObject('succinct_roles');
  const hasRoles = fields.json['roles'] !== undefined && fields.json['roles'] !== null;
  if (succinct !== undefined && hasRoles)
    throw malformed(role, 'delegations hold both roles and succinct_roles');
  return {
    keys: parseKeys(fields.object('keys')),
    roles: hasRoles ? parseRoles(fields, role) : [],
    ...(succinct !== undefined && { succinct: parseSuccinct(succinct, role) }),
  };
}

/** Whether a delegated role is trusted with a target path. */
export function isTrustedWith(delegated: DelegatedRole, targetPath: string): boolean {
  if (delegated.paths !== undefined) {
    return delegated.paths.some((pattern) => matchesPathPattern(pattern, targetPath));
  }
  if (delegated.pathHashPrefixes === undefined) return false;
  const hash = targetPathHash(targetPath);
  return delegated.pathHashPrefixes.some((prefix) => hash.startsWith(prefix));
}

/**
 * The roles to ask about a target path, in order of priority. A succinct bin is the last that is asked:
 * TAP 15's text calls bins non-terminating, but no delegation can follow them, and python-tuf and
 * tuf-js treat them as terminating.
 */
export function delegationsFor(delegations: Delegations, targetPath: string): readonly DelegatedRole[] {
  const { succinct } = delegations;
  if (succinct === undefined) return delegations.roles.filter((role) => isTrustedWith(role, targetPath));
  return [binRole(succinct, binFor(succinct, targetPath))];
}

/** The delegation of a role by name; undefined where there is none. */
export function delegationOf(delegations: Delegations, name: string): DelegatedRole | undefined {
  const { succinct } = delegations;
  if (succinct === undefined) return delegations.roles.find((role) => role.name === name);
  return isBin(succinct, name) ? binRole(succinct, name) : undefined;
}

function binRole(succinct: SuccinctRoles, name: string): DelegatedRole {
  return { name, keyids: succinct.keyids, threshold: succinct.threshold, terminating: true };
}

function parseRoles(fields: Fields, role: string): readonly DelegatedRole[] {
  const roles = fields.list('roles').map((entry) => parseRole(entry, role));
  if (new Set(roles.map(({ name }) => name)).size !== roles.length) {
    throw malformed(role, 'delegations name one role twice');
  }
  return roles;
}

function parseRole(fields: Fields, role: string): DelegatedRole {
  const name = fields.string('name');
  const problem = problemWithDelegatedName(name);
  if (problem !== undefined) throw malformed(role, problem);
  const hasPaths = isPresent(fields, 'paths');
  const hasPrefixes = isPresent(fields, 'path_hash_prefixes');
  if (hasPaths && hasPrefixes) throw malformed(role, 'a delegation has both paths and path_hash_prefixes');
  return {
    name,
    ...parseRoleKeys(fields, role),
    terminating: fields.boolean('terminating', false),
    ...(hasPaths && { paths: fields.strings('paths') }),
    ...(hasPrefixes && { pathHashPrefixes: parsePrefixes(fields) }),
  };
}

/** An empty prefix would match every path: for that, write the pattern. */
function parsePrefixes(fields: Fields): readonly string[] {
  const prefixes = fields.strings('path_hash_prefixes');
  return prefixes.every((prefix) => /^[0-9a-f]{1,64}$/.test(prefix))
    ? prefixes
    : fields.fail('path_hash_prefixes', 'an array of 1 to 64 lower-case hexadecimal digits each');
}

function parseSuccinct(fields: Fields, role: string): SuccinctRoles {
  const bitLength = fields.integer('bit_length', 1);
  if (bitLength > 32) fields.fail('bit_length', 'an integer from 1 to 32');
  const namePrefix = fields.string('name_prefix');
  return { ...parseRoleKeys(fields, role), bitLength, namePrefix };
}

function isPresent(fields: Fields, key: string): boolean {
  return fields.json[key] !== undefined && fields.json[key] !== null;
}
