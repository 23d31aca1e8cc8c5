import { formatTime, parseTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { digestOf } from '../../oci/digest.ts';
import { Keyring } from '../../tuf/edit/demands.ts';
import { RepositoryEdit } from '../../tuf/edit/edit.ts';
import {
  delegationsIn,
  type RepositoryFiles,
  readRepositoryFiles,
  versionOf,
  withFiles,
} from '../../tuf/edit/repository.ts';
import {
  type MissingSignatures,
  type PendingFile,
  type SignatureDemand,
  signFiles,
  type TufSigner,
} from '../../tuf/edit/signing.ts';
import type { TufKey } from '../../tuf/keys.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { type MetadataFile, parseMetadataFile } from '../../tuf/metadata-file.ts';
import { isTopLevelRole } from '../../tuf/role-name.ts';
import { parseRoot } from '../../tuf/root.ts';
import { parseTargets } from '../../tuf/targets.ts';
import { assertThreshold } from '../../tuf/threshold.ts';
import { TrustedMetadata } from '../../tuf/trusted-metadata.ts';
import { isMadeAfter, isSameButSigned, sameNames } from '../candidates/key-change-offer.ts';
import { linesOf, type ToldChange, tellChange } from '../change/describe-change.ts';
import { assertLogStart } from '../change/log-start.ts';
import { bindingCheck, collectionIdOf, rootBindingOf } from '../format/binding.ts';
import { namesIn } from '../format/bins.ts';
import { lifetimeIn } from '../format/lifetimes.ts';
import { logDescriptorOf, parseLog } from '../format/log.ts';
import { assertPlainRoles } from '../format/plain-text.ts';
import { assertSignable, assertSignableFile } from '../format/signable.ts';
import { leavesVersions } from '../format/versions.ts';
import type { ChangeFile } from './change-file.ts';
import { changeIdOf } from './change-id.ts';

/**
 * A change on its way to its signatures, verified as far as it can be without the registry: its state of
 * before is one that the collection's own keys have signed, and the new files belong to that collection,
 * come after it, and say what {@link describe} tells.
 */
export class PendingChange {
  readonly change: ChangeFile;
  /** `HOST/REPOSITORY` that the collection's roots name. */
  readonly name: string;
  /** The state that it was made on. */
  readonly base: RepositoryFiles;
  private readonly files: readonly PendingFile[];
  private readonly demands: ReadonlyMap<string, readonly SignatureDemand[]>;

  private constructor(change: ChangeFile, base: RepositoryFiles, name: string, now: Date) {
    this.change = change;
    this.base = base;
    this.name = name;
    const edit = new RepositoryEdit(base, { now, policy: { check: assertSignable } });
    for (const [role, bytes] of change.files) edit.adopt(role, bytes);
    const prepared = edit.prepare();
    this.files = [...change.files.keys()].map((role) => prepared.pendingFile(role));
    const before = new Keyring(base);
    const after = new Keyring(
      withFiles(
        base,
        this.files.map(({ file }) => file),
      ),
    );
    this.demands = new Map(
      [...change.files.keys()].map((role) => [
        role,
        [...(role === 'root' ? before.demandsOn(role) : []), ...after.demandsOn(role)],
      ]),
    );
  }

  /**
   * Verifies a change.
   * @throws BullaError trust-invalid: its state of before is not one of the collection, or a new file belongs
   *   elsewhere; trust-rollback; content-invalid, usage
   */
  static open(change: ChangeFile, now: Date): PendingChange {
    const base = readRepositoryFiles(change.base);
    const name = verifyBase(change, base, now);
    const check = bindingCheck(change.id, (collection) => collection === name);
    const delegated = delegationsIn(base.roles.get('targets') as MetadataFile)?.roles ?? [];
    for (const [role, bytes] of change.files) {
      if (role === 'snapshot' || role === 'timestamp') throw notStructural(role);
      const isKnown = isTopLevelRole(role) || delegated.some((one) => one.name === role);
      if (isKnown && role !== 'root' && !base.roles.has(role)) throw withoutBase(role);
      const file = parseMetadataFile(bytes, role, DEFAULT_LIMITS.listedBytes);
      check(file);
      assertSignableFile(file);
      assertHonestKeys(file);
      if (role !== 'root') assertLeavesVersions(file, base.roles.get(role));
      if (role === 'targets') {
        const present = base.roles.get(role) as MetadataFile;
        assertMadeAfter(file, present);
        assertPlainRoles(delegationsIn(present), delegationsIn(file));
      }
      if (!isTopLevelRole(role)) checkLog(change, base, file, now);
    }
    return new PendingChange(change, base, name, now);
  }

  /** Roles whose files are to be signed. */
  get roles(): readonly string[] {
    return [...this.change.files.keys()];
  }

  /** Id of the whole change, the same for every set of signatures. */
  get digest(): string {
    return changeIdOf({
      collection: this.change.id,
      files: this.files.map(({ file }) => file),
      logs: this.change.logs,
    });
  }

  /** When the first of its files was signed. */
  get signedAt(): Date {
    return new Date(Math.min(...this.roles.map((role) => this.signedAtOf(role).getTime())));
  }

  /** When a role's file was signed first, by its expiry and the lifetime that the change itself gives the role. */
  signedAtOf(role: string): Date {
    const [root, targets] = ['root', 'targets'].map(
      (of) => (this.roles.includes(of) ? this.after(of) : this.before(of))?.signed,
    );
    const expires = parseTime(String(this.after(role).signed['expires']))?.getTime() ?? 0;
    return new Date(Math.max(0, expires - lifetimeIn(role, root, targets)));
  }

  /** What changes, worked out from the files. */
  tell(): readonly ToldChange[] {
    return this.files.map(({ file }) => {
      const told = tellChange(this.before(file.role), file, this.change.id);
      const log = this.change.logs.get(file.role);
      return log === undefined ? told : { ...told, other: [...told.other, sinceText(log, file.role)] };
    });
  }

  /** {@link tell} in sentences, complete. */
  describe(): readonly string[] {
    return this.tell().flatMap((told) => linesOf(told));
  }

  /** Who may sign, by role. */
  demandsOn(role: string): readonly SignatureDemand[] {
    return this.demands.get(role) ?? [];
  }

  /** All demands of all files. */
  allDemands(): readonly SignatureDemand[] {
    return [...this.demands.values()].flat();
  }

  /** Ids of keys that have signed a role's file. */
  signedBy(role: string): readonly string[] {
    return this.pending(role).file.signatures.map(({ keyid }) => keyid);
  }

  /** The present file of a role, where there is one. */
  before(role: string): MetadataFile | undefined {
    return role === 'root' ? this.base.roots.at(-1) : this.base.roles.get(role);
  }

  /** The new file of a role with the signatures that are there. */
  after(role: string): MetadataFile {
    return this.pending(role).file;
  }

  missing(role?: string): readonly MissingSignatures[] {
    return this.files
      .filter(({ role: of }) => role === undefined || of === role)
      .flatMap((file) => file.missing());
  }

  /** How far each demand on each file is met. */
  progress(): readonly MissingSignatures[] {
    return this.files.flatMap((file) => file.progress());
  }

  /** Signs whatever the signers may. @returns how many signatures there are more */
  async sign(signers: readonly TufSigner[]): Promise<number> {
    return await signFiles(this.files, signers);
  }

  /**
   * Pools the signatures of another copy of the same change: each is verified, over the same bytes, and
   * counts once for its key.
   * @throws BullaError signature-mismatch where it says anything else
   */
  pool(other: ChangeFile): void {
    const isSame =
      other.id === this.change.id &&
      other.files.size === this.change.files.size &&
      this.files.every(({ role }) => other.files.has(role));
    if (!isSame)
      throw new BullaError('signature-mismatch', 'the files are of different changes', {
        hint: 'import the signed copies of one export together, and each change by itself',
      });
    for (const file of this.files) file.addFile(other.files.get(file.role) as Uint8Array);
  }

  /** The change with the signatures that were gathered. */
  toFile(): ChangeFile {
    return { ...this.change, files: new Map(this.files.map(({ role, file }) => [role, file.bytes])) };
  }

  private pending(role: string): PendingFile {
    const file = this.files.find((one) => one.role === role);
    if (file !== undefined) return file;
    throw new BullaError('usage', `this change makes no file of ${JSON.stringify(role)}`, {
      hint: `it makes those of ${this.roles.join(', ')}`,
    });
  }
}

/** From when on changes of a new role are taken in: its log is told by its hash alone otherwise. */
function sinceText(log: Uint8Array, role: string): string {
  return `its changes that were made before ${formatTime(parseLog(log, role).since)} are never included`;
}

/** @returns the name of the collection */
function verifyBase({ id, base: files }: ChangeFile, base: RepositoryFiles, now: Date): string {
  const [first] = base.roots;
  const targets = base.roles.get('targets');
  if (first === undefined || collectionIdOf(first.bytes) !== id || targets === undefined)
    throw brokenBase(`it does not begin with the first root of ${id.slice(0, 12)}, or holds no targets`);
  const { collection } = rootBindingOf(first);
  const check = bindingCheck(id, (name) => name === collection);
  // An expired root is accepted: renewing it may be the purpose of the change.
  const chain = new TrustedMetadata(first.bytes, now, { demand: check });
  for (const root of base.roots.slice(1)) chain.updateRoot(root.bytes);
  const keyring = new Keyring(base);
  for (const file of [targets, ...base.roles.values()]) {
    const demands = keyring.demandsOn(file.role);
    if (demands.length === 0) throw brokenBase(`no role delegates to ${JSON.stringify(file.role)}`);
    for (const { keys, role, delegator } of demands) assertThreshold(file, keys, role, delegator);
    check(file);
  }
  if (files.size !== base.roots.length + base.roles.size)
    throw brokenBase('it holds files that are not of the state that it was made for');
  return collection;
}

/** After a version that is far above the present one few could come: a head with it would be the last. */
function assertLeavesVersions(file: MetadataFile, before: MetadataFile | undefined): void {
  const [version, published] = [versionOf(file), before === undefined ? 0 : versionOf(before)];
  if (leavesVersions(version, published)) return;
  throw new BullaError(
    'trust-invalid',
    `the change makes version ${version} of ${JSON.stringify(file.role)}`,
    {
      hint: 'do not sign it: few versions could come after that; have it exported again',
      details: { role: file.role, version, reason: 'version' },
    },
  );
}

/** Targets says itself on which version of itself it was made. */
function assertMadeAfter(file: MetadataFile, before: MetadataFile): void {
  if (isMadeAfter(file, versionOf(before)) || isSameButSigned(file, before)) return;
  throw new BullaError('trust-invalid', 'the new targets was made for another version of itself', {
    hint: 'do not sign it: what was changed since would be taken back; have it exported again',
    details: { role: 'targets', reason: 'base' },
  });
}

/** A key under another's id would be shown as that other key. */
function assertHonestKeys(file: MetadataFile): void {
  const keys: Iterable<TufKey> =
    file.role === 'root' ? parseRoot(file).keys.values() : (delegationsIn(file)?.keys.values() ?? []);
  for (const key of keys) {
    if (key.hasCorrectId && key.fingerprint !== undefined) continue;
    throw new BullaError(
      'trust-invalid',
      `${file.role} lists a key as ${key.keyid.slice(0, 12)} that is not that key, or that is unusable`,
      {
        hint: 'do not sign this: another key is disguised as one that you know',
        details: { role: file.role, reason: 'key-id', keyid: key.keyid },
      },
    );
  }
}

/**
 * A role that begins brings its log, without entries. One that is there keeps its log and its names: logs only
 * grow, and by changes of names alone, or what was taken out could come back.
 */
function checkLog(change: ChangeFile, base: RepositoryFiles, file: MetadataFile, now: Date): void {
  const before = base.roles.get(file.role);
  const descriptor = logDescriptorOf(file);
  const log = change.logs.get(file.role);
  if (before !== undefined) {
    if (log !== undefined) throw badLog(file, 'it brings a log, and the role has one');
    if (logDescriptorOf(before).digest !== descriptor.digest)
      throw badLog(file, 'it names another log than the one that the role has');
    const isSame = sameNames(parseTargets(file), parseTargets(before));
    if (!isSame || namesIn(file.signed) !== namesIn(before.signed))
      throw badLog(file, 'it changes names, which a change of roles must not do');
    return;
  }
  if (log === undefined || digestOf(log) !== descriptor.digest) throw badLog(file, 'its log is another');
  const begun = parseLog(log, file.role);
  if (begun.entries.length > 0) throw badLog(file, 'its log already has entries');
  assertLogStart(file.role, begun, base, now, undefined);
  if (parseTargets(file).targets.size > 0) throw badLog(file, 'it begins with names that no log lists');
}

function badLog({ role }: MetadataFile, why: string): BullaError {
  return new BullaError('trust-invalid', `metadata of ${JSON.stringify(role)} does not fit: ${why}`, {
    hint: 'have the change exported again',
    details: { role, reason: 'log' },
  });
}

function brokenBase(why: string): BullaError {
  return new BullaError('trust-invalid', `the change has an invalid base state: ${why}`, {
    hint: 'do not sign it; have it exported again from the collection itself',
    details: { reason: 'base' },
  });
}

function withoutBase(role: string): BullaError {
  return new BullaError('trust-invalid', `the change does not show what ${JSON.stringify(role)} says now`, {
    hint: 'do not sign what you cannot compare; have it exported again',
    details: { role, reason: 'base' },
  });
}

function notStructural(role: string): BullaError {
  return new BullaError('trust-invalid', `a change holds no ${role}: that is made when it is published`, {
    hint: 'do not sign it; have it exported again',
    details: { role, reason: 'role' },
  });
}
