import type { JsonValue } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import type { NotaryTarget } from './content.ts';
import type { NotaryRepository, NotaryRole } from './repository.ts';
import { lineageOf, RELEASES_ROLE, roleOfSigner, signerName } from './role-name.ts';

/** What a role says that a name is. */
export interface NotaryName {
  readonly name: string;
  /** The role that says so. */
  readonly role: string;
  /** `sha256:…` of the manifest; undefined where the role signed none. */
  readonly digest: string | undefined;
  /** Bytes of the manifest. */
  readonly length: number;
  readonly hashes: ReadonlyMap<string, string>;
  readonly custom?: JsonValue | undefined;
}

/** A name as `docker trust inspect` shows it. */
export interface ReleasedName {
  readonly name: string;
  readonly digest: string;
  readonly length: number;
  /** Delegations that sign the same, without `targets/`; none: only an administrator signed it. */
  readonly signers: readonly string[];
  readonly roles: readonly string[];
}

/** A delegation as people know it. */
export interface NotarySigner {
  /** Without `targets/`. */
  readonly name: string;
  readonly role: string;
  readonly threshold: number;
  /** Ids of the bare keys, as `docker trust inspect` shows them. */
  readonly keyIds: readonly string[];
  readonly paths: readonly string[];
  readonly problem?: BullaError | undefined;
}

/**
 * All names with the role that decides, as `notary list` shows them: `targets` before delegations, those
 * breadth first; names outside of a role's paths are not there. In order of their names.
 */
export function listNotaryNames({ roles }: NotaryRepository): readonly NotaryName[] {
  const names = new Map<string, NotaryName>();
  for (const role of roles.values())
    for (const [name, target] of role.content?.targets ?? [])
      if (!names.has(name) && mayName(role, name)) names.set(name, nameOf(role, name, target));
  return [...names.values()].sort(byName);
}

/** Everything that any role states within its paths, role by role in their order. */
export function allStatements({ roles }: NotaryRepository): readonly NotaryName[] {
  return [...roles.values()].flatMap((role) =>
    [...(role.content?.targets ?? [])]
      .filter(([name]) => mayName(role, name))
      .map(([name, target]) => nameOf(role, name, target)),
  );
}

/** Names that a role has outside of its paths: they are ignored. */
export function hiddenNames({ roles }: NotaryRepository): readonly NotaryName[] {
  return [...roles.values()].flatMap((role) =>
    [...(role.content?.targets ?? [])]
      .filter(([name]) => !mayName(role, name))
      .map(([name, target]) => nameOf(role, name, target)),
  );
}

/**
 * Names that are released, with who signs them, as `docker trust inspect` shows them: what `targets` or
 * `targets/releases` state, each digest of a name by itself. In order of their names.
 */
export function releasedNames(repository: NotaryRepository): readonly ReleasedName[] {
  const statements = allStatements(repository).filter(({ digest }) => digest !== undefined);
  const rows = new Map<string, { name: NotaryName; signers: Set<string>; roles: Set<string> }>();
  const keyOf = ({ name, digest }: NotaryName): string => `${digest} ${name}`;
  for (const name of statements)
    if (isReleaseRole(name.role) && !rows.has(keyOf(name)))
      rows.set(keyOf(name), { name, signers: new Set(), roles: new Set() });
  for (const name of statements) {
    const row = rows.get(keyOf(name));
    row?.roles.add(name.role);
    if (!isReleaseRole(name.role)) row?.signers.add(signerName(name.role));
  }
  return [...rows.values()]
    .map(({ name: { name, digest, length }, signers, roles }) => ({
      name,
      digest: digest as string,
      length,
      signers: [...signers].sort(),
      roles: [...roles],
    }))
    .sort(byName);
}

/** Delegations but `targets/releases`, in their order. */
export function notarySigners({ roles }: NotaryRepository): readonly NotarySigner[] {
  return [...roles.values()]
    .filter(({ name }) => !isReleaseRole(name))
    .map((role) => ({
      name: signerName(role.name),
      role: role.name,
      threshold: role.threshold,
      keyIds: keystoreIds(role),
      paths: role.paths,
      problem: role.problem,
    }));
}

/** Ids of a role's bare keys; of one that cannot be used, the id that it is listed under. */
export function keystoreIds({ keyids, keys }: Pick<NotaryRole, 'keyids' | 'keys'>): readonly string[] {
  return keyids.map((keyid) => keys.get(keyid)?.key?.keystoreId ?? keyid);
}

export interface NotaryQuestion {
  /** Delegations that must all have signed the name: `alice` or `targets/alice`. */
  readonly delegations?: readonly string[] | undefined;
}

/** The digest of a name. */
export interface FoundNotaryName extends NotaryName {
  readonly digest: string;
  /** Delegations that sign the same digest, without `targets/`. */
  readonly signers: readonly string[];
}

/**
 * Looks a name up as docker does: in `targets/releases`, then in `targets`. With delegations, each of them
 * must have signed it, all for one digest, which is also what is released, if anything is.
 * @throws BullaError name-not-signed; digest-mismatch where two digests are signed; trust-invalid where a
 *   name has no SHA-256; what is wrong with a role that must be asked
 */
export function findNotaryName(
  repository: NotaryRepository,
  name: string,
  question: NotaryQuestion = {},
): FoundNotaryName {
  const required = [...new Set((question.delegations ?? []).map(roleOfSigner))];
  const stated = required.map((role) => demand(repository, role, name));
  const released = releasedStatement(repository, name);
  const [first, ...others] = [...stated, ...(released === undefined ? [] : [released])];
  if (first === undefined) throw notSigned(repository, name, undefined);
  if (others.some(({ digest }) => digest !== first.digest))
    throw disagreement(repository, name, [first, ...others]);
  const { digest } = first;
  if (digest === undefined) throw noDigest(repository, first);
  const signers = allStatements(repository).filter(
    (other) => other.name === name && other.digest === digest && !isReleaseRole(other.role),
  );
  return { ...first, digest, signers: signers.map(({ role }) => signerName(role)) };
}

/** What docker would take. A delegation of `targets/releases` that has the name first hides it, as there. */
export function releasedStatement(repository: NotaryRepository, name: string): NotaryName | undefined {
  const { roles } = repository;
  const releases = roles.get(RELEASES_ROLE);
  if (releases?.problem !== undefined) throw releases.problem;
  if (releases !== undefined) {
    const below = [...roles.values()].filter(({ name: role }) => role.startsWith(`${RELEASES_ROLE}/`));
    for (const role of [releases, ...below]) {
      const found = statementOf(role, name);
      if (found === undefined) continue;
      if (role !== releases) throw notSigned(repository, name, RELEASES_ROLE);
      return found;
    }
  }
  const targets = roles.get('targets');
  return targets && statementOf(targets, name);
}

function demand(repository: NotaryRepository, role: string, name: string): NotaryName {
  for (const above of lineageOf(role)) {
    const problem = repository.roles.get(above)?.problem;
    if (problem !== undefined) throw problem;
  }
  const asked = repository.roles.get(role);
  const found = asked && statementOf(asked, name);
  if (found === undefined) throw notSigned(repository, name, role);
  return found;
}

function statementOf(role: NotaryRole, name: string): NotaryName | undefined {
  const target = role.content?.targets.get(name);
  return target !== undefined && mayName(role, name) ? nameOf(role, name, target) : undefined;
}

function mayName({ paths }: NotaryRole, name: string): boolean {
  return paths.some((prefix) => name.startsWith(prefix));
}

function nameOf(role: NotaryRole, name: string, { length, hashes, custom }: NotaryTarget): NotaryName {
  const sha256 = hashes.get('sha256');
  return {
    name,
    role: role.name,
    digest: sha256 === undefined ? undefined : `sha256:${sha256}`,
    length,
    hashes,
    ...(custom !== undefined && { custom }),
  };
}

function isReleaseRole(role: string): boolean {
  return role === 'targets' || role === RELEASES_ROLE;
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function notSigned({ gun, roles }: NotaryRepository, name: string, role: string | undefined): BullaError {
  const known = [...roles.keys()];
  const what = role === undefined ? 'targets/releases or targets' : JSON.stringify(role.slice(0, 80));
  const isUnknown = role !== undefined && !roles.has(role);
  return new BullaError(
    'name-not-signed',
    `${gun}: ${JSON.stringify(name.slice(0, 200))} is not signed by ${what}`,
    {
      hint: isUnknown
        ? `the repository has no such role; it has ${known
            .map((other) => JSON.stringify(other))
            .slice(0, 20)
            .join(', ')}`
        : 'check the name; if it is right, it was never signed, or it was revoked',
      details: { gun, name: name.slice(0, 200), role: role ?? null, roles: known },
    },
  );
}

function disagreement({ gun }: NotaryRepository, name: string, said: readonly NotaryName[]): BullaError {
  return new BullaError(
    'digest-mismatch',
    `${gun}: the signers of ${JSON.stringify(name.slice(0, 200))} do not agree: ${said.map(({ role, digest }) => `${role} says ${digest ?? 'no SHA-256'}`).join(', ')}`,
    {
      hint: 'have them sign the same image, or require fewer of them',
      details: {
        gun,
        signers: said.map(({ role, digest, length }) => ({ role, digest: digest ?? null, length })),
      },
    },
  );
}

function noDigest({ gun }: NotaryRepository, { name, role }: NotaryName): BullaError {
  return new BullaError(
    'trust-invalid',
    `${gun}: ${role} signed ${JSON.stringify(name.slice(0, 200))} without a SHA-256`,
    {
      hint: 'it names no image of a registry: have it signed again',
      details: { role, reason: 'target' },
    },
  );
}
