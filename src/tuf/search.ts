import { BullaError } from '../errors.ts';
import { delegationsFor } from './delegations.ts';
import type { TargetFile, Targets } from './targets.ts';
import type { Delegator, TrustedMetadata } from './trusted-metadata.ts';

/** A target as a role has signed it. */
export interface FoundTarget {
  readonly path: string;
  readonly target: TargetFile;
  /** The role whose file holds it. */
  readonly role: string;
  /** The roles from top-level targets down to {@link role}. */
  readonly chain: readonly string[];
}

export interface SearchOptions {
  /** Go only through this delegation of top-level targets, as if the others were not there. */
  readonly through?: string;
}

/** Brings a role's verified content; fetches it if need be. @throws BullaError where it can't be had or verified */
export type RoleLoader = (role: string, delegator: Delegator) => Promise<Targets>;

interface Visit {
  readonly role: string;
  readonly delegator: Delegator;
  readonly chain: readonly string[];
}

/**
 * Every statement about a target path, in order of priority: pre-order and depth-first from top-level
 * targets (TUF 1.0.34 §5.6.7). The first is the one that TUF uses; the rest are for callers who ask
 * several signers. A role is visited once, so cycles end; after a terminating delegation only what it
 * leads to is visited.
 * @throws BullaError what `load` throws: a role that can't be verified ends the search; trust-invalid
 *   where more roles would be visited than the limits allow
 */
export async function* searchTargets(
  trusted: TrustedMetadata,
  path: string,
  load: RoleLoader,
  options: SearchOptions = {},
): AsyncGenerator<FoundTarget> {
  const visited = new Set<string>();
  let stack: Visit[] = [{ role: 'targets', delegator: trusted.targetsDelegator(), chain: ['targets'] }];
  for (let visit = stack.pop(); visit !== undefined; visit = stack.pop()) {
    const { role, delegator, chain } = visit;
    if (visited.has(role)) continue;
    if (visited.size >= trusted.limits.visitedRoles) throw tooManyRoles(path, visited.size);
    visited.add(role);
    const targets = await load(role, delegator);
    const target = targets.targets.get(path);
    if (target !== undefined && isAsked(role, options)) yield { path, target, role, chain };
    const children = childrenOf(trusted, visit, targets, path, options);
    // A terminating delegation drops what is still waiting, on every level.
    stack = children.terminates ? children.visits : [...stack, ...children.visits];
  }
}

/** With `through`, top-level targets itself is not asked. */
function isAsked(role: string, { through }: SearchOptions): boolean {
  return through === undefined || role !== 'targets';
}

/** Delegations to follow from a role; the first to visit stands last. */
function childrenOf(
  trusted: TrustedMetadata,
  { role, chain }: Visit,
  targets: Targets,
  path: string,
  { through }: SearchOptions,
): { readonly visits: Visit[]; readonly terminates: boolean } {
  const visits: Visit[] = [];
  for (const delegated of targets.delegations === undefined
    ? []
    : delegationsFor(targets.delegations, path)) {
    if (through !== undefined && role === 'targets' && delegated.name !== through) continue;
    visits.unshift({
      role: delegated.name,
      delegator: trusted.delegatorFor(role, targets, delegated),
      chain: [...chain, delegated.name],
    });
    if (delegated.terminating) return { visits, terminates: true };
  }
  return { visits, terminates: false };
}

function tooManyRoles(path: string, visited: number): BullaError {
  return new BullaError(
    'trust-invalid',
    `${visited} roles were asked about ${JSON.stringify(path)}, and more delegations follow`,
    {
      hint: 'the repository delegates in more steps than are allowed; name the role to ask, or raise the limit',
      details: { role: 'targets', reason: 'too-many-roles', path, visited },
    },
  );
}
