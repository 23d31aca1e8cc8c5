import type { Certificate } from '../../crypto/certificate.ts';
import type { JsonObject } from '../../encoding/json.ts';
import { BullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { digestOf } from '../../oci/digest.ts';
import { removeTargetFrom, setTargetIn, spreadOverBins } from '../../tuf/edit/bins.ts';
import { RepositoryEdit } from '../../tuf/edit/edit.ts';
import type { KeyChoice } from '../../tuf/edit/key-list.ts';
import type { EditPolicy } from '../../tuf/edit/policy.ts';
import type { PreparedEdit } from '../../tuf/edit/prepared-edit.ts';
import { publishedVersion, type RepositoryFiles } from '../../tuf/edit/repository.ts';
import type { RootContent } from '../../tuf/edit/root-content.ts';
import type { NewDelegation, NewTarget } from '../../tuf/edit/targets-content.ts';
import { binNames } from '../../tuf/hash-bins.ts';
import { copyJson, type MetadataFile } from '../../tuf/metadata-file.ts';
import { isTopLevelRole } from '../../tuf/role-name.ts';
import { type Assembly, assembleHead, type BinParts, type LogPart, spreadBins } from '../format/assemble.ts';
import { BINDING, certifiedBinding, roleBinding, rootBinding } from '../format/binding.ts';
import { binBitsFor, isBinName, namesIn } from '../format/bins.ts';
import { encodeFolded, type FoldedList } from '../format/folded.ts';
import { lifetimeIn, lifetimesBinding } from '../format/lifetimes.ts';
import {
  type ChangeLog,
  emptyLog,
  encodeLog,
  type LogEntry,
  logBinding,
  logDescriptorOf,
  type NamedContent,
  parseLog,
} from '../format/log.ts';
import { openShard, placeOfBin } from '../format/object.ts';
import { assertSignable, unknownMembers } from '../format/signable.ts';
import { BIN_PREFIX, NAMES_ROLE } from '../format/vocabulary.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import { bindOnline } from './create.ts';
import { extendLog } from './fold.ts';
import { assertLogStart, startAfterAll } from './log-start.ts';

export interface CollectionEditOptions {
  readonly now: Date;
  /** Versions must not collide: see {@link collisionFreeVersions}. */
  readonly policy: Pick<EditPolicy, 'versions'> & Partial<EditPolicy>;
  /** Highest versions that verified files have had anywhere. */
  readonly tops?: ReadonlyMap<string, number> | undefined;
  /** Roles whose versions begin anew (TUF 1.0.34 §5.3.11). */
  readonly restart?: ReadonlySet<string> | undefined;
  /** Other roots of the present root's version, which clients may have seen. */
  readonly forks?: readonly MetadataFile[] | undefined;
}

/** A change of a collection on top of one verified state of it: names, delegations, keys, renewals. */
export class CollectionEdit {
  readonly copy: WorkingCopy;
  /** For changes of keys and delegations; whatever is new in it must be bound: {@link bind}. */
  readonly edit: RepositoryEdit;
  private readonly now: Date;
  private newRoot: RootContent | undefined;
  private folded: Uint8Array | undefined;
  private readonly logs = new Map<string, Uint8Array>();
  private readonly changed = new Map<string, ChangeLog>();

  constructor(copy: WorkingCopy, options: CollectionEditOptions) {
    const { now, policy, tops, restart, forks } = options;
    this.copy = copy;
    this.now = now;
    this.edit = new RepositoryEdit(copy.files, {
      now,
      policy: { lifetime: (role) => this.lifetimeOf(role), ...policy, check: assertSignable },
      ...(tops !== undefined && { tops }),
      ...(restart !== undefined && { restart }),
      ...(forks !== undefined && { forks }),
    });
  }

  /** The log of a role as this edit leaves it. @throws BullaError trust-invalid, content-invalid; what the source throws */
  async log(role: string): Promise<ChangeLog> {
    return this.changed.get(role) ?? (await this.copy.log(role));
  }

  /**
   * Applies changes of names to a role, in order, and lists them in its log.
   * @param cut entries made before it leave the log; only where all tags of the collection were listed
   * @throws BullaError usage, content-invalid; what the source throws
   */
  async apply(role: string, entries: readonly LogEntry[], cut?: Date): Promise<void> {
    const names = entries.flatMap(({ set, unset }) => [...(set?.keys() ?? unset ?? [])]);
    if (role === NAMES_ROLE) await this.copy.loadBins(names);
    this.copy.contentOf(role);
    let count = this.countOf(role);
    for (const { set, unset } of entries) {
      for (const [name, content] of set ?? []) {
        if (!this.removes(role, name)) count++;
        setTargetIn(this.edit, role, name, targetOf(content));
      }
      for (const name of unset ?? []) if (this.removes(role, name)) count--;
    }
    // What it said of itself before may have been too few.
    count = Math.max(count, 0);
    this.noteLog(role, extendLog(await this.log(role), entries, cut), { names: count });
    if (role === NAMES_ROLE) await this.spread(count);
  }

  /**
   * Takes a staged file of a role as it is, signatures included, with its log and the bins that came
   * along. The caller has verified that it may replace the present one.
   * @throws BullaError content-invalid, trust-rollback
   */
  adopt(
    role: string,
    file: Uint8Array,
    log: Uint8Array,
    bins: ReadonlyMap<string, Uint8Array> = new Map(),
  ): void {
    for (const [bin, bytes] of bins) this.edit.adopt(bin, bytes);
    this.edit.adopt(role, file);
    this.logs.set(role, log);
  }

  /**
   * Takes the first file of a role as it was signed, with its log.
   * @throws BullaError trust-invalid where the role is there: its log only grows, and by changes of names alone
   */
  adoptNew(role: string, file: Uint8Array, log: Uint8Array): void {
    if (this.copy.files.roles.has(role)) throw replacedLog(role);
    assertLogStart(role, parseLog(log, role), this.copy.files, this.now, this.copy.hasListed(role));
    this.adopt(role, file, log);
  }

  /**
   * Gives a role a new log, from now on, where the one that it has cannot be read; its names stay as they are.
   * What was made before counts as old then, and is never folded.
   * @throws BullaError usage where it can be read; what the source throws
   */
  async restartLog(role: string): Promise<void> {
    this.copy.contentOf(role);
    const present = await this.copy.readableLog(role);
    if ('entries' in present) throw intactLog(role);
    this.noteLog(role, emptyLog(startAfterAll(this.now)), { names: this.countOf(role) });
  }

  /** The next root, for changes. @throws BullaError usage */
  root(): RootContent {
    const root = this.edit.root();
    const { id, name } = this.copy.collection;
    root.json[BINDING] = { ...(root.json[BINDING] as JsonObject | undefined), ...rootBinding(name, id) };
    this.newRoot = root;
    return root;
  }

  /**
   * Gives root keys certificates, by key id; others keep those that they have, and those of keys that have
   * gone go. Call it after the keys were changed.
   * @throws BullaError usage
   */
  setRootCertificates(certificates: ReadonlyMap<string, readonly Certificate[]>): void {
    const { json } = this.root();
    json[BINDING] = certifiedBinding(json, certificates);
  }

  /** Fixes for how long files of a role are signed from now on. @param milliseconds the default where it is left out */
  setLifetime(role: string, milliseconds: number | undefined): void {
    const { json } = isTopLevelRole(role) ? this.root() : this.edit.targets('targets');
    const present = json[BINDING] as JsonObject | undefined;
    json[BINDING] = lifetimesBinding(new Map([[role, milliseconds]]), present);
  }

  /**
   * Removes from a role's file what this version does not know, so that it can be signed ({@link assertSignable}).
   * @throws BullaError usage where it is in a key, whose id would change with it
   */
  dropUnknown(role: string): void {
    const { json } = role === 'root' ? this.root() : this.edit.targets(role);
    const kept = copyJson(json);
    // What is left empty says nothing, and goes as well.
    for (let found = unknownMembers(role, kept); found.length > 0; found = unknownMembers(role, kept)) {
      for (const { path, holder } of found) {
        if (path[0] === 'keys' || (path[0] === 'delegations' && path[1] === 'keys')) throw strangeKey(role);
        delete holder[path.at(-1) as string];
      }
    }
    for (const member of Object.keys(json)) delete json[member];
    Object.assign(json, kept);
  }

  /** Adds a signer's role, empty. @throws BullaError usage, key-invalid */
  addSigner(delegation: NewDelegation): void {
    if (isBinName(delegation.name)) throw takenName(delegation.name);
    this.edit.targets('targets').delegate(delegation);
    this.beginSigner(delegation.name);
  }

  /** Makes the first file of a signer that is delegated to in this edit, empty. @throws BullaError usage */
  beginSigner(role: string): void {
    this.edit.replaceTargets(role);
    // What a role of that name has said before it was removed must not come back.
    this.noteLog(role, emptyLog(this.copy.hasListed(role) ? startAfterAll(this.now) : this.now), {
      names: 0,
    });
  }

  /** Gives `names` other keys, its bins included. @throws BullaError usage, key-invalid; what the source throws */
  async rekeyNames(choice: KeyChoice): Promise<void> {
    this.edit.targets('targets').setDelegationKeys(NAMES_ROLE, choice);
    await this.rekeyBins(choice);
  }

  /** Gives the bins of `names`, where there are any, other keys. @throws BullaError usage, key-invalid; what the source throws */
  async rekeyBins(choice: KeyChoice): Promise<void> {
    const { bins } = this.copy;
    if (bins === undefined) return;
    await this.copy.loadBins();
    this.edit.targets(NAMES_ROLE).setBins(bins, choice);
    for (const bin of binNames(bins)) this.edit.renew(bin);
  }

  /** Lists what need not be read again beside the new head. @returns the list's bytes, if there is anything in it */
  noteFolded(list: FoldedList): Uint8Array | undefined {
    this.folded = list.size === 0 ? undefined : encodeFolded(list);
    return this.folded;
  }

  /** Fixes what the new files say; snapshot and timestamp are made anew in any case. @throws BullaError usage, content-invalid */
  prepare(): PreparedCollectionEdit {
    this.noteBase();
    bindOnline(this.edit, this.copy.collection.id, this.now, this.folded);
    return new PreparedCollectionEdit(this.copy, this.edit.prepare(), this.logs);
  }

  /** Says of a new file of a role where it belongs. */
  bind(role: string, more: JsonObject = {}): void {
    this.edit.extend(role, { [BINDING]: roleBinding(this.copy.collection.id, role, more) });
  }

  /** Targets say after which version of themselves they were made: else an older change could undo a later one. */
  private noteBase(): void {
    const isMade = [...this.edit.drafts()].some((draft) => draft.role === 'targets' && !('bytes' in draft));
    if (!isMade) return;
    const { json } = this.edit.targets('targets');
    const after = publishedVersion(this.copy.files, 'targets');
    json[BINDING] = { ...(json[BINDING] as JsonObject | undefined), after };
  }

  private lifetimeOf(role: string): number {
    const root = this.newRoot?.json ?? this.copy.files.roots.at(-1)?.signed;
    return lifetimeIn(role, root, this.edit.look('targets').json);
  }

  private noteLog(role: string, log: ChangeLog, more: JsonObject): void {
    const bytes = encodeLog(log);
    this.changed.set(role, log);
    this.logs.set(role, bytes);
    this.bind(role, { ...more, ...logBinding(bytes) });
  }

  private removes(role: string, name: string): boolean {
    return removeTargetFrom(this.edit, role, name);
  }

  /** How many names a role holds: where bins hold them it says so itself, so that they need not be read. */
  private countOf(role: string): number {
    const { json, paths } = this.edit.look(role);
    return namesIn(json) ?? paths.length;
  }

  /** Bins where there are so many names that they save bytes; more of them where there are far more names. */
  private async spread(count: number): Promise<void> {
    const bits = binBitsFor(count);
    const present = this.copy.bins?.bitLength ?? 0;
    if (bits === undefined || bits <= present) return;
    await this.copy.loadBins();
    const { keys, roles } = this.copy.delegations;
    const delegated = roles.find(({ name }) => name === NAMES_ROLE);
    const choice = {
      threshold: delegated?.threshold ?? 1,
      keys: (delegated?.keyids ?? []).flatMap((keyid) => keys.get(keyid) ?? []),
    };
    const layout = { bitLength: bits, namePrefix: BIN_PREFIX };
    spreadOverBins(this.edit, NAMES_ROLE, layout, choice);
    for (const bin of binNames(layout)) this.bind(bin);
  }
}

/** A change whose files are fixed, on its way to signatures and to the registry. */
class PreparedCollectionEdit {
  readonly copy: WorkingCopy;
  readonly edit: PreparedEdit;
  private readonly newLogs: ReadonlyMap<string, Uint8Array>;

  constructor(copy: WorkingCopy, prepared: PreparedEdit, newLogs: ReadonlyMap<string, Uint8Array>) {
    this.copy = copy;
    this.edit = prepared;
    this.newLogs = newLogs;
  }

  /** New logs by role; those of other roles are where they were. */
  get logs(): ReadonlyMap<string, Uint8Array> {
    return this.newLogs;
  }

  /**
   * Puts the published files together as a head.
   * @param files what {@link PreparedEdit.publish} returned
   * @throws BullaError what the source throws
   */
  async assemble(files: RepositoryFiles): Promise<Assembly> {
    const delegations = files.roles.get('targets');
    if (delegations === undefined) throw noTargets();
    const listed = listedRoles(files);
    const logs = new Map<string, LogPart>();
    for (const role of listed) {
      if (role === 'targets') continue;
      const part = this.newLogs.get(role) ?? this.copy.logDescriptor(role);
      assertNamed(files.roles.get(role), part);
      logs.set(role, part);
    }
    const roles = new Map(
      [...files.roles].filter(([role]) => listed.has(role) || this.isChanged(files, role)),
    );
    const bins = await this.binParts({ ...files, roles });
    return assembleHead({ files: { ...files, roles }, logs, bins });
  }

  /** Files of bins that this change did not make are where they were, and are neither listed nor pushed anew. */
  private isChanged(files: RepositoryFiles, role: string): boolean {
    return files.roles.get(role) !== this.copy.files.roles.get(role);
  }

  private async binParts(files: RepositoryFiles): Promise<BinParts | undefined> {
    const bits = bitsOf(files);
    if (bits === undefined) return undefined;
    const { source, object } = this.copy.collection;
    const present = object.bins?.bits === bits ? object.bins : undefined;
    const opened = new Map<number, readonly Descriptor[]>();
    for (const role of files.roles.keys()) {
      if (present === undefined || !isBinName(role)) continue;
      const { shard } = placeOfBin(bits, Number.parseInt(role.slice(BIN_PREFIX.length + 1), 16));
      if (!opened.has(shard))
        opened.set(shard, await openShard(source, present, present.shards[shard] as Descriptor));
    }
    return spreadBins(files, bits, present?.shards, opened);
  }
}

function listedRoles(files: RepositoryFiles): ReadonlySet<string> {
  const delegated = (files.roles.get('targets')?.signed['delegations'] as JsonObject | undefined)?.['roles'];
  const names = ((delegated ?? []) as JsonObject[]).map((role) => role['name'] as string);
  return new Set(['targets', ...names]);
}

function bitsOf(files: RepositoryFiles): number | undefined {
  const delegations = files.roles.get(NAMES_ROLE)?.signed['delegations'] as JsonObject | undefined;
  const succinct = delegations?.['succinct_roles'] as JsonObject | undefined;
  return succinct?.['bit_length'] as number | undefined;
}

function targetOf({ length, sha256, mediaType }: NamedContent): NewTarget {
  return { length, hashes: { sha256 }, ...(mediaType !== undefined && { custom: { mediaType } }) };
}

function takenName(name: string): BullaError {
  return new BullaError(
    'usage',
    `${JSON.stringify(name)} cannot be the name of a signer: bins are called so`,
    {
      hint: 'choose another name, such as ci or alice',
      details: { role: name },
    },
  );
}

function strangeKey(role: string): BullaError {
  return new BullaError(
    'usage',
    `a key that ${JSON.stringify(role)} lists has members that are not known here`,
    {
      hint: 'give that role other keys: bulla rotate REPOSITORY ROLE --drop KEYID --key NEW',
      details: { role, reason: 'unknown-member' },
    },
  );
}

function intactLog(role: string): BullaError {
  return new BullaError('usage', `the log of ${JSON.stringify(role)} can be read, and needs no repair`, {
    hint: 'bulla status shows what is wrong with a collection, if anything is',
    details: { role },
  });
}

/** On top of a file whose log is missing, nothing more could be published. */
function assertNamed(file: MetadataFile | undefined, part: LogPart): void {
  const digest = 'digest' in part ? part.digest : digestOf(part);
  if (file !== undefined && logDescriptorOf(file).digest !== digest) throw replacedLog(file.role);
}

function replacedLog(role: string): BullaError {
  return new BullaError(
    'trust-invalid',
    `a change would give ${JSON.stringify(role)} another log than the one that it has`,
    {
      hint: 'do not sign it: removed names could return; have the change made again',
      details: { role, reason: 'log' },
    },
  );
}

function noTargets(): BullaError {
  return new BullaError('internal', 'a collection without targets was to be put together', {
    hint: 'please report this with the command that was run',
  });
}
