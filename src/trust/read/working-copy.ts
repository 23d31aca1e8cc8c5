import { BullaError, isBullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { CallOptions } from '../../oci/target.ts';
import { type Delegations, delegationOf, type SuccinctRoles } from '../../tuf/delegations.ts';
import type { RepositoryFiles } from '../../tuf/edit/repository.ts';
import { binFor, binNames } from '../../tuf/hash-bins.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { type MetadataFile, parseMetadataFile } from '../../tuf/metadata-file.ts';
import { metaPath } from '../../tuf/role-name.ts';
import type { Targets } from '../../tuf/targets.ts';
import { type Delegator, type Trusted, TrustedMetadata } from '../../tuf/trusted-metadata.ts';
import { collectionIdOf, createdIn } from '../format/binding.ts';
import { candidateOf } from '../format/candidate.ts';
import { type FoldedList, foldedDescriptorOf, readFolded } from '../format/folded.ts';
import { type ChangeLog, logDescriptorOf, MAX_LOG_BYTES, parseLog } from '../format/log.ts';
import { fetchFile } from '../format/object.ts';
import { candidateTag, NAMES_ROLE } from '../format/vocabulary.ts';
import type { Collection } from './collection.ts';
import { rootsOf } from './root-chain.ts';

/**
 * A verified collection, loaded to be changed: every root from the first, targets, `names` and the
 * signers' roles; bins and logs when they are asked for. Nothing here is used that TUF and the
 * binding did not verify.
 */
export class WorkingCopy {
  readonly collection: Collection;
  private readonly options: CallOptions;
  private readonly roots: readonly MetadataFile[];
  private readonly roles: Map<string, MetadataFile>;
  private readonly contents: Map<string, Targets>;
  private readonly logs = new Map<string, Promise<ChangeLog>>();
  private foldedList: Promise<FoldedList> | undefined;

  private constructor(
    collection: Collection,
    roots: readonly MetadataFile[],
    loaded: ReadonlyMap<string, Trusted<Targets>>,
    options: CallOptions,
  ) {
    this.collection = collection;
    this.options = options;
    this.roots = roots;
    this.roles = new Map([...loaded].map(([role, { file }]) => [role, file]));
    this.contents = new Map([...loaded].map(([role, { content }]) => [role, content]));
  }

  /** @throws BullaError trust-invalid, trust-expired, content-invalid; what the source throws */
  static async open(collection: Collection, options: CallOptions = {}): Promise<WorkingCopy> {
    const { client } = collection;
    const roots = await loadRoots(collection, options);
    const targets = await client.role('targets', client.trusted.targetsDelegator());
    const loaded = new Map([['targets', targets]]);
    for (const delegated of targets.content.delegations?.roles ?? []) {
      const delegator = client.trusted.delegatorFor('targets', targets.content, delegated);
      loaded.set(delegated.name, await client.role(delegated.name, delegator));
    }
    return new WorkingCopy(collection, roots, loaded, options);
  }

  /**
   * The loaded files; bins appear here once they were loaded. The map of roles is the one that
   * {@link loadBins} adds to.
   */
  get files(): RepositoryFiles {
    const { trusted } = this.collection.client;
    const { roots, roles } = this;
    return { roots, roles, timestamp: trusted.timestamp.file, snapshot: trusted.snapshot.file };
  }

  /** `names` and the signers, in the order in which they are asked. */
  get delegations(): Delegations {
    const { delegations } = this.contentOf('targets');
    return delegations ?? { keys: new Map(), roles: [] };
  }

  /** Verified content of targets, `names`, a signer, or a bin that was loaded. @throws BullaError usage */
  contentOf(role: string): Targets {
    const content = this.contents.get(role);
    if (content !== undefined) return content;
    throw new BullaError('usage', `${this.collection.place} has no role ${JSON.stringify(role)}`, {
      hint: `it has ${[...this.contents.keys()].filter((name) => name !== 'targets').join(', ')}; bulla signer add makes others`,
      details: { role },
    });
  }

  /** The bins of `names`, where it has any. */
  get bins(): SuccinctRoles | undefined {
    return this.contents.get(NAMES_ROLE)?.delegations?.succinct;
  }

  /** The log that a role's present file was signed with. @throws BullaError trust-invalid, content-invalid; what the source throws */
  log(role: string): Promise<ChangeLog> {
    let reading = this.logs.get(role);
    if (reading === undefined) {
      reading = this.readLog(role);
      this.logs.set(role, reading);
    }
    return reading;
  }

  /** Whether there is a role of this name, or was before it was removed: a snapshot lists every role for ever. */
  hasListed(role: string): boolean {
    return this.collection.client.trusted.snapshot.content.meta.has(metaPath(role));
  }

  /** The same, or why it cannot be read: that stops its role, and no other. @throws BullaError what the source throws */
  async readableLog(role: string): Promise<ChangeLog | BullaError> {
    try {
      return await this.log(role);
    } catch (error) {
      if (isUnreadable(error)) return error;
      throw error;
    }
  }

  /**
   * Tags beside the head that need not be read: what brought nothing that it does not hold, by its own
   * signed account, and what it was itself announced as; with when each was made.
   * @throws BullaError what the source throws
   */
  folded(): Promise<FoldedList> {
    this.foldedList ??= this.readFolded();
    return this.foldedList;
  }

  /** Where the log of a role is. @throws BullaError usage, trust-invalid */
  logDescriptor(role: string): Descriptor {
    this.contentOf(role);
    return logDescriptorOf(this.roles.get(role) as MetadataFile);
  }

  /** Brings the bins that hold these names; all of them where no names are given. */
  async loadBins(names?: Iterable<string>): Promise<void> {
    const { bins } = this;
    const { delegations } = this.contentOf(NAMES_ROLE);
    if (bins === undefined || delegations === undefined) return;
    const wanted =
      names === undefined ? new Set(binNames(bins)) : new Set([...names].map((name) => binFor(bins, name)));
    for (const bin of wanted) if (!this.contents.has(bin)) await this.loadBin(bin, delegations);
  }

  private async loadBin(bin: string, delegations: Delegations): Promise<void> {
    const { client } = this.collection;
    const delegated = delegationOf(delegations, bin);
    if (delegated === undefined) return;
    const delegator: Delegator = client.trusted.delegatorFor(
      NAMES_ROLE,
      this.contentOf(NAMES_ROLE),
      delegated,
    );
    const { file, content } = await client.role(bin, delegator);
    this.roles.set(bin, file);
    this.contents.set(bin, content);
  }

  private async readFolded(): Promise<FoldedList> {
    const { source, object, client } = this.collection;
    const { snapshot, timestamp } = client.trusted;
    const list = new Map(await readFolded(source, snapshot.file, this.options));
    const created = createdIn(timestamp.file);
    const candidate = candidateOf(object.content, foldedDescriptorOf(snapshot.file));
    if (created !== undefined) list.set(candidateTag(candidate.descriptor.digest), created);
    return list;
  }

  private async readLog(role: string): Promise<ChangeLog> {
    const { source, place } = this.collection;
    try {
      return parseLog(await fetchFile(source, this.logDescriptor(role), MAX_LOG_BYTES, this.options), role);
    } catch (error) {
      throw isUnreadable(error) ? unreadableLog(place, role, error) : error;
    }
  }
}

/** Whether a log is not what its role's file says, or nothing that can be understood, or gone. */
function isUnreadable(error: unknown): error is BullaError {
  return isBullaError(error, 'content-invalid', 'trust-invalid', 'not-found');
}

function unreadableLog(place: string, role: string, cause: BullaError): BullaError {
  return new BullaError(
    cause.code,
    `the log of ${JSON.stringify(role)} at ${place} cannot be read: ${cause.message}`,
    {
      cause,
      hint: `that role cannot be changed before it is repaired with the root key: bulla rotate ${place} ${role} --repair`,
      details: { ...cause.details, place, role, isLogUnreadable: true },
    },
  );
}

/** Every root from the first, verified as one chain that ends with the trusted one. */
async function loadRoots(collection: Collection, options: CallOptions): Promise<readonly MetadataFile[]> {
  const { client, object, source, id } = collection;
  const last = client.trusted.root;
  const roots = rootsOf(source, object, options);
  const first = await roots.load(1);
  if (collectionIdOf(first) !== id) throw brokenChain(collection, 1);
  const chain = new TrustedMetadata(first, client.trusted.now, { demand: collection.check });
  const files = [parseMetadataFile(first, 'root', DEFAULT_LIMITS.rootBytes)];
  for (let version = 2; version < last.content.version; version++) {
    const bytes = await roots.load(version);
    chain.updateRoot(bytes);
    files.push(parseMetadataFile(bytes, 'root', DEFAULT_LIMITS.rootBytes));
  }
  if (last.content.version === 1) return files;
  chain.updateRoot(last.file.bytes);
  return [...files, last.file];
}

function brokenChain({ place }: Collection, version: number): BullaError {
  return new BullaError('trust-invalid', `root ${version} at ${place} is not that of the collection`, {
    hint: 'the head was assembled by someone else; restore it from one that is intact',
    details: { role: 'root', reason: 'chain', version },
  });
}
