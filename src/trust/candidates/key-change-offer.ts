import { equalBytes } from '../../encoding/bytes.ts';
import { canonicalOlpc } from '../../encoding/canonical.ts';
import { isJsonObject, type JsonObject } from '../../encoding/json.ts';
import { BullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { RoleKeys } from '../../tuf/delegation-keys.ts';
import { distinctKeys } from '../../tuf/delegation-keys.ts';
import { type Delegations, delegationOf, type SuccinctRoles } from '../../tuf/delegations.ts';
import { publishedVersion, versionOf } from '../../tuf/edit/repository.ts';
import { binNames } from '../../tuf/hash-bins.ts';
import type { TufKey } from '../../tuf/keys.ts';
import { DEFAULT_LIMITS } from '../../tuf/limits.ts';
import { type MetadataFile, parseMetadataFile } from '../../tuf/metadata-file.ts';
import { assertUnexpired } from '../../tuf/refusals.ts';
import { metadataFileName } from '../../tuf/role-name.ts';
import { type Root, topLevelKeys } from '../../tuf/root.ts';
import { parseTargets, type TargetFile, type Targets } from '../../tuf/targets.ts';
import { assertThreshold, countSignatures } from '../../tuf/threshold.ts';
import { TrustedMetadata } from '../../tuf/trusted-metadata.ts';
import { assertLogStart } from '../change/log-start.ts';
import { BINDING } from '../format/binding.ts';
import { namesIn } from '../format/bins.ts';
import { logDescriptorOf, MAX_LOG_BYTES, parseLog } from '../format/log.ts';
import type { TrustObject } from '../format/object.ts';
import { assertPlainRoles } from '../format/plain-text.ts';
import { findRoleFile } from '../format/role-files.ts';
import { assertSignableFile } from '../format/signable.ts';
import { leavesVersions } from '../format/versions.ts';
import type { WorkingCopy } from '../read/working-copy.ts';

/** A change of keys or delegations that is signed, and whole: all that a head needs but snapshot and timestamp. */
export interface StructuralOffer {
  /** Root that it leads to; the present one where there is no next. */
  readonly root: Root;
  /** New files by role, root, targets and bins among them. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Logs of roles that are new, and of those whose log cannot be read. */
  readonly logs: ReadonlyMap<string, Uint8Array>;
}

/** Fetches a file of the object; the reader limits its size. */
export type FetchPart = (descriptor: Descriptor, maxBytes: number) => Promise<Uint8Array>;

/**
 * Reads what an object changes of keys and delegations, and demands that it was made for the present head
 * and is whole (spec/trust-publishing.md, "Structural changes").
 * @returns undefined where it changes nothing of the kind
 * @throws BullaError trust-invalid, trust-expired, content-invalid; what `fetch` throws
 */
export async function readStructuralOffer(
  object: TrustObject,
  copy: WorkingCopy,
  now: Date,
  fetch: FetchPart,
): Promise<StructuralOffer | undefined> {
  const reader = new OfferReader(object, copy, now, fetch);
  return reader.isOffered ? await reader.read() : undefined;
}

class OfferReader {
  private readonly object: TrustObject;
  private readonly copy: WorkingCopy;
  private readonly now: Date;
  private readonly fetch: FetchPart;
  private readonly files = new Map<string, Uint8Array>();
  private readonly logs = new Map<string, Uint8Array>();

  constructor(object: TrustObject, copy: WorkingCopy, now: Date, fetch: FetchPart) {
    this.object = object;
    this.copy = copy;
    this.now = now;
    this.fetch = fetch;
  }

  get isOffered(): boolean {
    return this.nextRoot !== undefined || this.newFile('targets') !== undefined;
  }

  async read(): Promise<StructuralOffer> {
    const root = await this.readRoot();
    const targets = await this.readTargets(root);
    const { delegations } = targets;
    for (const role of delegations?.roles ?? [])
      await this.readRole(role.name, (delegations as Delegations).keys, role);
    return { root, files: this.files, logs: this.logs };
  }

  private get present(): Root {
    return this.copy.collection.client.trusted.root.content;
  }

  private get nextRoot(): Descriptor | undefined {
    return this.object.files.get(metadataFileName('root', this.present.version + 1));
  }

  private async readRoot(): Promise<Root> {
    const { nextRoot, copy } = this;
    if (nextRoot === undefined) return this.present;
    const { file } = copy.collection.client.trusted.root;
    const chain = new TrustedMetadata(file.bytes, this.now, { demand: copy.collection.check });
    const bytes = await this.fetch(nextRoot, DEFAULT_LIMITS.rootBytes);
    chain.updateRoot(bytes);
    assertSignableFile(chain.root.file);
    assertUnexpired('root', chain.root.content.expires, this.now);
    this.files.set('root', bytes);
    return chain.root.content;
  }

  private async readTargets(root: Root): Promise<Targets> {
    const present = this.copy.files.roles.get('targets') as MetadataFile;
    const descriptor = this.newFile('targets');
    const keys = topLevelKeys(root, 'targets');
    if (descriptor === undefined) {
      assertThreshold(present, root.keys, keys, 'the next root');
      return this.copy.contentOf('targets');
    }
    const file = await this.readFile('targets', descriptor, root.keys, keys);
    // An older change that was never published could undo what has been published since.
    if (!isMadeAfter(file, publishedVersion(this.copy.files, 'targets')) && !isSameButSigned(file, present))
      throw outdated('targets');
    this.files.set('targets', file.bytes);
    const content = parseTargets(file);
    assertPlainRoles(this.copy.delegations, content.delegations);
    return content;
  }

  private async readRole(
    role: string,
    keys: ReadonlyMap<string, TufKey>,
    delegated: RoleKeys,
  ): Promise<void> {
    const present = this.copy.files.roles.get(role);
    const descriptor = this.newFile(role);
    if (descriptor === undefined) {
      if (present === undefined || !countSignatures(present, keys, delegated).isMet) throw incomplete(role);
      return;
    }
    const file = await this.readFile(role, descriptor, keys, delegated);
    const content = parseTargets(file);
    this.files.set(role, file.bytes);
    if (present === undefined) return await this.readNew(role, file, content);
    const before = this.copy.contentOf(role);
    if (!sameNames(content, before) || namesIn(file.signed) !== namesIn(present.signed)) throw outdated(role);
    if (!(await this.keepsLog(role, file))) await this.readRepair(role, file);
    await this.readBins(content, before);
  }

  private async keepsLog(role: string, file: MetadataFile): Promise<boolean> {
    if (logDescriptorOf(file).digest === this.copy.logDescriptor(role).digest) return true;
    const present = await this.copy.readableLog(role);
    // Any account with push permission can remove a log, so a missing log is not a reason to drop it.
    if ('entries' in present || present.code === 'not-found') throw outdated(role);
    return false;
  }

  /**
   * A new log, without entries, if the head's cannot be read by any client: otherwise nothing could be changed
   * any more. The targets of the offer agree to it.
   */
  private async readRepair(role: string, file: MetadataFile): Promise<void> {
    const log = await this.fetch(logDescriptorOf(file), MAX_LOG_BYTES);
    const begun = parseLog(log, role);
    if (!this.files.has('targets') || begun.entries.length > 0) throw outdated(role);
    assertLogStart(role, begun, this.copy.files, this.now, true);
    this.logs.set(role, log);
  }

  /** A role that was not delegated to before: it begins without names. */
  private async readNew(role: string, file: MetadataFile, content: Targets): Promise<void> {
    const log = await this.fetch(logDescriptorOf(file), MAX_LOG_BYTES);
    const begun = parseLog(log, role);
    if (content.targets.size > 0 || content.delegations !== undefined || begun.entries.length > 0)
      throw outdated(role);
    assertLogStart(role, begun, this.copy.files, this.now, this.copy.hasListed(role));
    this.logs.set(role, log);
  }

  /** Bins whose keys change are all signed anew, with the names that they have. */
  private async readBins(content: Targets, before: Targets): Promise<void> {
    const [next, present] = [content.delegations, before.delegations];
    if (next?.succinct?.bitLength !== present?.succinct?.bitLength) throw outdated('names');
    if (next?.succinct === undefined || present?.succinct === undefined) return;
    if (isSameChoice(next, next.succinct, present, present.succinct)) return;
    await this.copy.loadBins();
    for (const bin of binNames(next.succinct)) {
      const descriptor = this.newFile(bin);
      const delegated = delegationOf(next, bin);
      if (descriptor === undefined || delegated === undefined) throw incomplete(bin);
      const file = await this.readFile(bin, descriptor, next.keys, delegated);
      if (!sameNames(parseTargets(file), this.copy.contentOf(bin))) throw outdated(bin);
      this.files.set(bin, file.bytes);
    }
  }

  private async readFile(
    role: string,
    descriptor: Descriptor,
    keys: ReadonlyMap<string, TufKey>,
    delegated: RoleKeys,
  ): Promise<MetadataFile> {
    const bytes = await this.fetch(descriptor, DEFAULT_LIMITS.targetsBytes);
    const file = parseMetadataFile(bytes, role, DEFAULT_LIMITS.targetsBytes);
    assertThreshold(file, keys, delegated, 'the staged change');
    this.copy.collection.check(file);
    assertSignableFile(file);
    assertUnexpired(role, parseTargets(file).expires, this.now);
    const published = publishedVersion(this.copy.files, role);
    if (versionOf(file) <= published) throw outdated(role);
    if (!leavesVersions(versionOf(file), published)) throw tooHigh(role, versionOf(file));
    return file;
  }

  /** The object's file of a role, where its name says that it is newer than the head's. */
  private newFile(role: string): Descriptor | undefined {
    const found = findRoleFile(this.object, role);
    return found !== undefined && found.version > publishedVersion(this.copy.files, role)
      ? found.descriptor
      : undefined;
  }
}

/** Whether targets says that it was made for this version of itself. */
export function isMadeAfter({ signed }: Pick<MetadataFile, 'signed'>, version: number): boolean {
  const binding = signed[BINDING];
  return isJsonObject(binding) && binding['after'] === version;
}

/** Whether two files of a role differ in version and expiry alone. */
export function isSameButSigned(a: MetadataFile, b: MetadataFile): boolean {
  const content = ({ signed }: MetadataFile): Uint8Array => {
    const { version: _, expires: __, ...rest } = signed as JsonObject;
    return canonicalOlpc(rest as JsonObject);
  };
  return equalBytes(content(a), content(b));
}

/** Whether two files of a role name the same, in the same words. */
export function sameNames(a: Targets, b: Targets): boolean {
  if (a.targets.size !== b.targets.size) return false;
  for (const [name, target] of a.targets) {
    const other = b.targets.get(name);
    if (other === undefined || !equalBytes(knownOf(target), knownOf(other))) return false;
  }
  return true;
}

/** The known members of a name: unknown ones may be removed, and are not signed in any case. */
function knownOf({ json, custom }: TargetFile): Uint8Array {
  const { length, hashes } = json;
  const mediaType = custom?.['mediaType'] ?? null;
  return canonicalOlpc({ length: length ?? null, hashes: hashes ?? null, mediaType });
}

function isSameChoice(a: Delegations, one: SuccinctRoles, b: Delegations, other: SuccinctRoles): boolean {
  const material = ({ keys }: Delegations, { keyids }: SuccinctRoles): string =>
    [...distinctKeys(keys, keyids)].sort().join(' ');
  return one.threshold === other.threshold && material(a, one) === material(b, other);
}

function incomplete(role: string): BullaError {
  return new BullaError('trust-invalid', `a staged change of keys lacks a file of ${JSON.stringify(role)}`, {
    hint: 'it is left alone: its author has to make it again',
    details: { role, reason: 'missing' },
  });
}

function tooHigh(role: string, version: number): BullaError {
  return new BullaError('trust-invalid', `a staged change of keys has version ${version} of ${role}`, {
    hint: 'few versions remain after that: the owner of its key has to make the change again',
    details: { role, version, reason: 'version' },
  });
}

function outdated(role: string): BullaError {
  return new BullaError(
    'trust-invalid',
    `a staged change of keys was made for another state of ${JSON.stringify(role)}`,
    {
      hint: 'it is left alone: its author makes it again for the current one, or is doing so',
      details: { role, reason: 'outdated' },
    },
  );
}
