import { equalBytes } from '../../encoding/bytes.ts';
import { canonicalOlpc } from '../../encoding/canonical.ts';
import { BullaError } from '../../errors.ts';
import { distinctKeys } from '../delegation-keys.ts';
import { type Delegations, delegationOf } from '../delegations.ts';
import { binNames } from '../hash-bins.ts';
import { isTopLevelRole } from '../role-name.ts';
import { type Root, topLevelKeys } from '../root.ts';
import { countSignatures } from '../threshold.ts';
import { delegationsIn, newestRoot, publishedVersion, type RepositoryFiles } from './repository.ts';
import type { SignatureDemand } from './signing.ts';

/** Who may sign what in one state of a repository, as far as its files are loaded. */
export class Keyring {
  private readonly root: Root | undefined;
  private readonly delegators: ReadonlyMap<string, Delegations>;

  /** @throws BullaError content-invalid */
  constructor(repository: RepositoryFiles) {
    this.root = newestRoot(repository);
    this.delegators = new Map(
      [...repository.roles].flatMap(([role, file]) => {
        const delegations = delegationsIn(file);
        return delegations === undefined ? [] : [[role, delegations] as const];
      }),
    );
  }

  /** All thresholds that a file of `role` has to meet; empty if no role delegates to it. */
  demandsOn(role: string): readonly SignatureDemand[] {
    if (isTopLevelRole(role)) {
      const { root } = this;
      return root === undefined
        ? []
        : [{ delegator: `root ${root.version}`, keys: root.keys, role: topLevelKeys(root, role) }];
    }
    return [...this.delegators].flatMap(([delegator, delegations]) => {
      const delegated = delegationOf(delegations, role);
      return delegated === undefined ? [] : [{ delegator, keys: delegations.keys, role: delegated }];
    });
  }

  /** Names that a role delegates to, bins included. */
  delegatedBy(role: string): Iterable<string> {
    const delegations = this.delegators.get(role);
    if (delegations === undefined) return [];
    const { roles, succinct } = delegations;
    return succinct === undefined ? roles.map(({ name }) => name) : binNames(succinct);
  }
}

/** What happens to a file whose delegation has changed. */
export type Aftermath =
  /** Its content has to be signed again, under other keys. */
  | 'sign-again'
  /** The role was not delegated to before, so it begins empty: its former names do not return by themselves. */
  | 'begin';

/**
 * Roles whose present files do not hold under the new delegations.
 * @param changed the roles whose content this edit changes, root included
 * @throws BullaError usage if such a file is not loaded
 */
export function* rolesToSignAgain(
  base: RepositoryFiles,
  before: Keyring,
  after: Keyring,
  changed: readonly string[],
): Generator<[string, Aftermath]> {
  for (const delegator of changed) {
    const delegated =
      delegator === 'root' ? ['targets', 'snapshot', 'timestamp'] : new Set(after.delegatedBy(delegator));
    for (const role of delegated) {
      const aftermath = aftermathFor(base, role, before.demandsOn(role), after.demandsOn(role));
      if (aftermath !== undefined) yield [role, aftermath];
    }
  }
}

function aftermathFor(
  base: RepositoryFiles,
  role: string,
  before: readonly SignatureDemand[],
  after: readonly SignatureDemand[],
): Aftermath | undefined {
  if (before.length > 0 && areSame(before, after)) return undefined;
  const isPublished = publishedVersion(base, role) > 0;
  if (isTopLevelRole(role) && !isPublished) return undefined;
  if (before.length === 0 || !isPublished) return 'begin';
  const file = role === 'snapshot' || role === 'timestamp' ? base[role] : base.roles.get(role);
  if (file === undefined) throw notInHand(role);
  const holds = after.every(({ keys, role: keyids }) => countSignatures(file, keys, keyids).isMet);
  return holds ? undefined : 'sign-again';
}

/** Whether two states demand the same of a role: the same keys by material, and the same thresholds. */
function areSame(a: readonly SignatureDemand[], b: readonly SignatureDemand[]): boolean {
  return equalBytes(describe(a), describe(b));
}

function describe(demands: readonly SignatureDemand[]): Uint8Array {
  return canonicalOlpc(
    demands.map(({ keys, role }) => [role.threshold, ...[...distinctKeys(keys, role.keyids)].sort()]),
  );
}

/** The error for a file that an edit needs and was not given. */
export function notInHand(role: string): BullaError {
  return new BullaError('usage', `the file of ${JSON.stringify(role)} is needed for this edit`, {
    hint: 'load the file of the role first: what it says would be lost otherwise',
    details: { role },
  });
}
