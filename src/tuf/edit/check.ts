import { BullaError } from '../../errors.ts';
import { refresh } from '../client.ts';
import { type Delegations, delegationOf } from '../delegations.ts';
import { binNames } from '../hash-bins.ts';
import { MemoryFetcher, MemoryStateStore } from '../memory.ts';
import type { MetadataFile } from '../metadata-file.ts';
import { missingFile, unlistedRole } from '../refusals.ts';
import { metaPath } from '../role-name.ts';
import type { Targets } from '../targets.ts';
import { TrustedMetadata } from '../trusted-metadata.ts';
import { delegationsIn, type RepositoryFiles, writeRepositoryFiles } from './repository.ts';

/**
 * Goes through the client workflow with what an edit has made: once as a client that has seen the state
 * before it, and once as one that begins with the oldest loaded root. Every role in `roles` is verified
 * under everyone who delegates to it, and every delegation made in them leads to a listed file.
 * @throws BullaError what clients would be told: trust-invalid, trust-expired, trust-rollback, content-invalid
 */
export async function checkRepository(
  next: RepositoryFiles,
  base: RepositoryFiles,
  roles: ReadonlySet<string>,
  now: Date,
): Promise<void> {
  const oldest = (base.roots[0] ?? next.roots[0])?.bytes;
  if (oldest === undefined) throw missingFile('root', '1.root.json');
  if (next.timestamp === undefined && next.roles.size === 0) {
    checkRoots(next, oldest, now);
    return;
  }
  const fetcher = new MemoryFetcher(writeRepositoryFiles(next));
  await refresh(fetcher, new MemoryStateStore(), now, { initialRoot: oldest });
  const seen = await stateOf(base);
  const { trusted } = await refresh(fetcher, seen, now, { initialRoot: oldest });
  const check = new RoleCheck(next, trusted);
  for (const role of roles) check.assertDelegatesToListed(role);
}

/** A repository of root files only, as one is before its first targets role. */
function checkRoots(next: RepositoryFiles, oldest: Uint8Array, now: Date): void {
  const trusted = new TrustedMetadata(oldest, now);
  for (const root of next.roots.slice(1)) trusted.updateRoot(root.bytes);
  trusted.finishRoot();
}

/** What a client keeps that was up to date before the edit. */
async function stateOf(base: RepositoryFiles): Promise<MemoryStateStore> {
  const store = new MemoryStateStore();
  for (const file of [base.roots.at(-1), base.timestamp, base.snapshot]) {
    if (file !== undefined) await store.keep(file.role, file.bytes);
  }
  return store;
}

class RoleCheck {
  private readonly repository: RepositoryFiles;
  private readonly trusted: TrustedMetadata;
  private readonly delegators: readonly { readonly name: string; readonly delegations: Delegations }[];
  private readonly verified = new Map<string, Targets>();

  constructor(repository: RepositoryFiles, trusted: TrustedMetadata) {
    this.repository = repository;
    this.trusted = trusted;
    this.delegators = [...repository.roles.values()].flatMap((file) => {
      const delegations = delegationsIn(file);
      return delegations === undefined ? [] : [{ name: file.role, delegations }];
    });
  }

  /** Content of a role, verified under all of its delegators; `path` leads to it and is not entered again. */
  contentOf(role: string, path: readonly string[] = []): Targets {
    const known = this.verified.get(role);
    if (known !== undefined) return known;
    const file = this.repository.roles.get(role);
    if (file === undefined) throw unlistedRole(role);
    const content =
      role === 'targets' ? this.topLevelTargets(file) : this.delegatedContent(file, [...path, role]);
    this.verified.set(role, content);
    return content;
  }

  /** Verifies a role, and that what it delegates to is listed. */
  assertDelegatesToListed(role: string): void {
    const { delegations } = this.contentOf(role);
    const { meta } = this.trusted.snapshot.content;
    if (delegations === undefined) return;
    const { roles, succinct } = delegations;
    const names = succinct === undefined ? roles.map(({ name }) => name) : binNames(succinct);
    for (const name of names) if (!meta.has(metaPath(name))) throw unlistedRole(name);
  }

  private topLevelTargets(file: MetadataFile): Targets {
    const delegator = this.trusted.targetsDelegator();
    const trusted =
      this.trusted.knownRole('targets', delegator) ??
      this.trusted.updateRole('targets', file.bytes, delegator);
    return trusted.content;
  }

  private delegatedContent(file: MetadataFile, path: readonly string[]): Targets {
    let content: Targets | undefined;
    for (const { name, delegations } of this.delegators) {
      if (path.includes(name) || delegationOf(delegations, file.role) === undefined) continue;
      const above = this.contentOf(name, path);
      const delegated = above.delegations && delegationOf(above.delegations, file.role);
      if (delegated === undefined) continue;
      const delegator = this.trusted.delegatorFor(name, above, delegated);
      const known = this.trusted.knownRole(file.role, delegator);
      content = (known ?? this.trusted.updateRole(file.role, file.bytes, delegator)).content;
    }
    if (content !== undefined) return content;
    throw new BullaError('trust-invalid', `no role delegates to ${JSON.stringify(file.role)}`, {
      hint: 'make the delegation in the same edit as the file',
      details: { role: file.role, reason: 'undelegated' },
    });
  }
}
