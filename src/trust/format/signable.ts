import { fromBase64 } from '../../encoding/bytes.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../../encoding/json.ts';
import { parseTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { type ExtraMember, extraMembers } from '../../tuf/edit/known-members.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';
import { isTopLevelRole } from '../../tuf/role-name.ts';
import { BINDING } from './binding.ts';
import { isBinName } from './bins.ts';
import { BIN_PREFIX, NAMES_ROLE } from './vocabulary.ts';

/** Longest path of a member that is told, in characters. */
const MAX_TOLD = 120;

/**
 * Refuses a signed part that a signer of a collection does not know all of (spec/trust-roles.md, "What is
 * signed"): members that neither TUF nor the binding defines, and delegations that other clients of TUF
 * would interpret differently from bulla. Signing such a part might sign a statement of another format.
 * @throws BullaError trust-invalid (details.reason `unknown-member`, details.member; or `delegations`)
 */
export function assertSignable(role: string, signed: JsonObject): void {
  const [unknown] = unknownMembers(role, signed);
  if (unknown !== undefined) throw unknownMember(role, unknown.path);
  const problem = problemWithDelegations(role, signed);
  if (problem !== undefined) throw oddDelegations(role, problem);
}

/** {@link assertSignable} of a file. @throws BullaError trust-invalid */
export function assertSignableFile({ role, signed }: Pick<MetadataFile, 'role' | 'signed'>): void {
  assertSignable(role, signed);
}

/** Members of a role's signed part that no version of bulla writes there. */
export function unknownMembers(role: string, signed: JsonObject): readonly ExtraMember[] {
  return extraMembers(role, signed).flatMap((extra) => unknownIn(role, extra));
}

function unknownIn(role: string, extra: ExtraMember): readonly ExtraMember[] {
  const { path, value, holder } = extra;
  const [first, , third] = path;
  if (path.length === 1 && first === BINDING && isJsonObject(value)) {
    const known = bindingMembers(role);
    return Object.entries<JsonValue>(value).flatMap(([name, member]) =>
      known.get(name)?.(member, role, holder) === true
        ? []
        : [{ path: [BINDING, name], value: member, holder: value }],
    );
  }
  const isCustom = path.length === 3 && first === 'targets' && third === 'custom';
  if (!isCustom || !isJsonObject(value)) return [extra];
  const members = Object.entries<JsonValue>(value);
  // An empty object says nothing, in a second spelling.
  if (members.length === 0) return [{ path, value, holder }];
  return members.flatMap(([name, member]) =>
    name === 'mediaType' && isMediaType(member)
      ? []
      : [{ path: [...path, name], value: member, holder: value }],
  );
}

/** @param signed all of the role's signed part; left out within a member of the binding */
type Check = (value: JsonValue, role: string, signed?: JsonObject) => boolean;
type Checks = ReadonlyMap<string, Check>;

const isHash: Check = (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
const isText: Check = (value) => typeof value === 'string';
const isCount: Check = (value) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
const isTime: Check = (value) => typeof value === 'string' && parseTime(value) !== undefined;
const isFile: Check = (value, role) =>
  isJsonObject(value) &&
  Object.keys(value).length === 2 &&
  isCount(value['length'] ?? null, role) &&
  isHash(value['sha256'] ?? null, role);
const isRoleOf: Check = (value, role) => value === role;
const isMediaType = (value: JsonValue): boolean =>
  typeof value === 'string' &&
  /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9!#$&^_.+-]{1,127}$/.test(value);
/**
 * How many names a role holds: if they are in its own file, as many as these. The next signer continues
 * from there, and makes bins for so many.
 */
const isNumberOfNames: Check = (value, role, { delegations, targets } = {}) => {
  if (!isCount(value, role)) return false;
  const isBinned = isJsonObject(delegations) && delegations['succinct_roles'] !== undefined;
  return isBinned || value === (isJsonObject(targets) ? Object.keys(targets).length : 0);
};
const areCertificates: Check = (value) =>
  isJsonObject(value) &&
  Object.values(value).every(
    (chain) =>
      Array.isArray(chain) && chain.every((der) => typeof der === 'string' && fromBase64(der) !== undefined),
  );
const areLifetimes: Check = (value, role) =>
  isJsonObject(value) &&
  Object.entries(value).every(
    ([name, seconds]) =>
      isTopLevelRole(name) === (role === 'root') && isCount(seconds, role) && seconds !== 0,
  );

/** Keys that `bulla docker-trust` has listed (spec/docker-trust.md, "In targets"). */
const areDockerKeys: Check = (value, role) =>
  isJsonObject(value) &&
  Object.keys(value).length > 0 &&
  Object.entries(value).every(
    ([name, ids]) =>
      (name === 'releases' || name === 'starters') &&
      Array.isArray(ids) &&
      ids.length > 0 &&
      ids.every((id, at) => isHash(id, role) && (at === 0 || String(ids[at - 1]) < String(id))),
  );

/** What a collection was imported from (spec/notary.md, "In targets"). */
const isNotaryOrigin: Check = (value, role) =>
  isJsonObject(value) &&
  Object.entries(value).every(([name, member]) =>
    name === 'gun'
      ? typeof member === 'string' && /^[!-~]{1,512}$/.test(member)
      : name === 'evidence'
        ? isHash(member, role)
        : name === 'asOf' && isTime(member, role),
  ) &&
  value['gun'] !== undefined &&
  value['evidence'] !== undefined;

const PLACE: readonly (readonly [string, Check])[] = [
  ['root', isHash],
  ['role', isRoleOf],
];
const ROOT: Checks = new Map([
  ['collection', isText],
  ['root', isHash],
  ['certificates', areCertificates],
  ['lifetimes', areLifetimes],
]);
const TARGETS: Checks = new Map([
  ...PLACE,
  ['after', isCount],
  ['lifetimes', areLifetimes],
  ['docker', areDockerKeys],
  ['notary', isNotaryOrigin],
]);
const NAMING: Checks = new Map([...PLACE, ['log', isFile], ['names', isNumberOfNames]]);
const BIN: Checks = new Map(PLACE);
const SNAPSHOT: Checks = new Map([...PLACE, ['folded', isFile]]);
const TIMESTAMP: Checks = new Map([...PLACE, ['created', isTime]]);

/** What `bulla` holds in a role's files (spec/trust.md, "Binding"). */
function bindingMembers(role: string): Checks {
  if (role === 'root') return ROOT;
  if (role === 'targets') return TARGETS;
  if (role === 'snapshot') return SNAPSHOT;
  if (role === 'timestamp') return TIMESTAMP;
  return isBinName(role) ? BIN : NAMING;
}

/** What is wrong with what a role delegates; undefined where nothing is. */
function problemWithDelegations(role: string, signed: JsonObject): string | undefined {
  const delegations = signed['delegations'];
  if (!isJsonObject(delegations)) return undefined;
  const roles = (delegations['roles'] ?? []) as readonly JsonObject[];
  const succinct = delegations['succinct_roles'] as JsonObject | undefined;
  if (role === 'targets') return problemWithRoles(roles, succinct);
  if (role !== NAMES_ROLE) return 'only targets and names delegate';
  if (roles.length > 0) return 'names delegates to bins alone';
  if (succinct !== undefined && succinct['name_prefix'] !== BIN_PREFIX)
    return `its bins are called ${JSON.stringify(succinct['name_prefix'])}-…`;
  return undefined;
}

function problemWithRoles(
  roles: readonly JsonObject[],
  succinct: JsonObject | undefined,
): string | undefined {
  if (succinct !== undefined) return 'targets delegates to roles by name';
  const [names] = roles;
  if (names?.['name'] !== NAMES_ROLE)
    return `${NAMES_ROLE} must be asked first, and ${JSON.stringify(names?.['name'] ?? null)} is`;
  const paths = names['paths'] as readonly string[] | undefined;
  if (paths?.length !== 1 || paths[0] !== '*') return `${NAMES_ROLE} is not trusted with "*"`;
  for (const one of roles) {
    const name = JSON.stringify(one['name']);
    if (one['terminating'] === true) return `${name} is terminating: who comes after it would not be asked`;
    if (one['path_hash_prefixes'] !== undefined) return `${name} is trusted with hashes instead of names`;
    if (isBinName(String(one['name']))) return `${name} could be a bin`;
  }
  return undefined;
}

function unknownMember(role: string, path: readonly string[]): BullaError {
  const member = JSON.stringify(path.join('.').slice(0, MAX_TOLD));
  return new BullaError(
    'trust-invalid',
    `metadata of ${JSON.stringify(role)} has a member that is not known here: ${member}`,
    {
      hint: `do not sign what you do not know; if it was published before, remove it with a key of that role: bulla rotate REPOSITORY ${roleInCommand(role)} --renew --drop-unknown`,
      details: { role, reason: 'unknown-member', member: path },
    },
  );
}

function oddDelegations(role: string, problem: string): BullaError {
  return new BullaError(
    'trust-invalid',
    `metadata of ${JSON.stringify(role)} delegates so that other clients of TUF would get other answers: ${problem}`,
    {
      hint: 'do not sign it; signers come after names, trusted with patterns of names: remove the signer and add it again',
      details: { role, reason: 'delegations' },
    },
  );
}

function roleInCommand(role: string): string {
  if (isBinName(role)) return NAMES_ROLE;
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,80}$/.test(role) ? role : 'ROLE';
}
