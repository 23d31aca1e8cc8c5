import { distinctKeys, type RoleKeys } from '../../tuf/delegation-keys.ts';
import { delegationOf } from '../../tuf/delegations.ts';
import type { TufSigner } from '../../tuf/edit/signing.ts';
import type { TufKey } from '../../tuf/keys.ts';
import { isTopLevelRole } from '../../tuf/role-name.ts';
import { type Root, topLevelKeys } from '../../tuf/root.ts';
import type { WorkingCopy } from '../read/working-copy.ts';

/** How far the given keys go for a role: not at all, towards its threshold, or all the way. */
export type Ability = 'none' | 'some' | 'all';

/** What the given keys can sign in one state of a collection. */
export class Abilities {
  private readonly copy: WorkingCopy;
  private readonly fingerprints: ReadonlySet<string>;

  constructor(copy: WorkingCopy, signers: readonly TufSigner[]) {
    this.copy = copy;
    this.fingerprints = new Set(signers.flatMap(({ key }) => key.fingerprint ?? []));
  }

  /** For a top-level role, `names` or a signer. */
  of(role: string): Ability {
    const [keys, listed] = this.keysOf(role);
    return listed === undefined ? 'none' : this.judge(keys, listed);
  }

  private judge(keys: ReadonlyMap<string, TufKey>, listed: RoleKeys): Ability {
    const held = [...distinctKeys(keys, listed.keyids)].filter((key) => this.fingerprints.has(key)).length;
    if (held >= listed.threshold) return 'all';
    return held > 0 ? 'some' : 'none';
  }

  /** Whether a new head can be signed, as far as snapshot and timestamp go. */
  get isOnline(): boolean {
    return this.of('snapshot') === 'all' && this.of('timestamp') === 'all';
  }

  /** The same under another root, for changes of keys. */
  isOnlineUnder(root: Root): boolean {
    return (['snapshot', 'timestamp'] as const).every(
      (role) => this.judge(root.keys, topLevelKeys(root, role)) === 'all',
    );
  }

  /** Whether changes of others may be merged into a role: never where it takes several to sign. */
  canFold(role: string): boolean {
    const [, listed] = this.keysOf(role);
    return listed?.threshold === 1 && this.of(role) === 'all';
  }

  private keysOf(role: string): readonly [ReadonlyMap<string, TufKey>, RoleKeys | undefined] {
    if (isTopLevelRole(role)) {
      const root = this.copy.collection.client.trusted.root.content;
      return [root.keys, topLevelKeys(root, role)];
    }
    const { delegations } = this.copy;
    return [delegations.keys, delegationOf(delegations, role)];
  }
}
