import { createHash } from 'node:crypto';
import { isJsonObject, type JsonObject } from '../../encoding/json.ts';
import { BullaError } from '../../errors.ts';
import type { MetadataFile } from '../metadata-file.ts';
import { metaPath } from '../role-name.ts';
import { checkRepository } from './check.ts';
import type { Keyring } from './demands.ts';
import { assertExtraMembers } from './extra-members.ts';
import { jsonObject } from './key-list.ts';
import type { EditPolicy } from './policy.ts';
import { assertReadable, type RepositoryFiles, versionOf, withFiles } from './repository.ts';
import {
  type MissingSignatures,
  PendingFile,
  type SignatureDemand,
  signFiles,
  type TufSigner,
} from './signing.ts';

/** What a prepared edit takes from the edit that it was made of. */
export interface EditContents {
  readonly base: RepositoryFiles;
  readonly options: { readonly now: Date };
  readonly policy: EditPolicy;
  /** Signed parts of the new files of root and the roles that name targets; of adopted files, the files. */
  drafts(): Iterable<MetadataFile | { readonly role: string; readonly signed: JsonObject }>;
  /** The signatures that the previous root demands on the next one (TUF 1.0.34 §5.3.4). */
  previousRootDemand(): readonly SignatureDemand[];
  /** Signatures that would let the next root also follow other roots of the present version. */
  forkDemands(): readonly SignatureDemand[];
  /** Whether snapshot or timestamp were asked for, even if no other file needs a new one. */
  isAskedFor(role: 'snapshot' | 'timestamp'): boolean;
  /** The signed part of a new file: its content with the members that every file has. */
  signedPart(role: string, content: JsonObject, more?: JsonObject): JsonObject;
}

/** An edit whose contents are fixed, on its way to the signatures that it needs. */
export class PreparedEdit {
  private readonly edit: EditContents;
  private readonly keyring: Keyring;
  private readonly files = new Map<string, PendingFile>();
  private readonly adopted = new Set<string>();
  private readonly extensions = new Map<string, JsonObject>();

  /** Made by `RepositoryEdit.prepare`. @throws BullaError usage, content-invalid */
  constructor(edit: EditContents, keyring: Keyring) {
    this.edit = edit;
    this.keyring = keyring;
    for (const draft of edit.drafts()) this.add(draft);
  }

  /**
   * The files that this edit makes, with the signatures that are there: root, targets and delegated
   * roles; snapshot and timestamp once {@link publish} has made them.
   */
  pending(): readonly PendingFile[] {
    return [...this.files.values()];
  }

  /** The file of a role. @throws BullaError usage where this edit makes none */
  pendingFile(role: string): PendingFile {
    const file = this.files.get(role);
    if (file !== undefined) return file;
    throw new BullaError('usage', `this edit makes no file of ${JSON.stringify(role)}`, {
      hint: `it makes those of ${[...this.files.keys()].join(', ') || 'no role'}`,
      details: { role },
    });
  }

  /** Signatures that the files lack. */
  missing(): readonly MissingSignatures[] {
    return this.pending().flatMap((file) => file.missing());
  }

  /**
   * Signs every file that the signers may sign, adopted files included: calling this approves their content.
   * @returns the signatures that are still missing
   */
  async sign(signers: readonly TufSigner[]): Promise<readonly MissingSignatures[]> {
    await signFiles(this.pending(), signers);
    return this.missing();
  }

  /**
   * Extra members of snapshot or timestamp that depend on the files of the other roles.
   * @throws BullaError usage where the file is made already
   */
  extend(role: 'snapshot' | 'timestamp', members: { readonly [name: string]: JsonObject[string] }): void {
    if (this.files.has(role)) {
      throw new BullaError('usage', `${role} is made already`, {
        hint: 'give extra members before publishing',
        details: { role },
      });
    }
    assertExtraMembers(role, members);
    this.extensions.set(role, jsonObject({ ...this.extensions.get(role), ...members }));
  }

  /**
   * Signs every file that the signers may sign, except adopted files; makes snapshot and timestamp where
   * they are due, and checks the result with the client workflow. Where signatures are missing, add them to
   * the files of {@link pending} and call it again.
   * @throws BullaError threshold-not-met (details.missing); what clients would say about the result
   */
  async publish(signers: readonly TufSigner[]): Promise<RepositoryFiles> {
    const made = this.pending().filter(({ role }) => !this.adopted.has(role));
    await signFiles(made, signers);
    this.complete();
    if (this.result().roles.size > 0) {
      await this.make('snapshot', signers, () => this.snapshotContent());
      await this.make('timestamp', signers, () => this.timestampContent());
    }
    const next = this.result();
    const roles = new Set([...this.files.keys()].filter((role) => next.roles.has(role)));
    await checkRepository(next, this.edit.base, roles, this.edit.options.now);
    return next;
  }

  private add(draft: MetadataFile | { readonly role: string; readonly signed: JsonObject }): void {
    const { role, signed } = draft;
    const demands = this.keyring.demandsOn(role);
    if (demands.length === 0) throw undelegated(role);
    const previous = role === 'root' ? this.edit.previousRootDemand() : [];
    const welcome = role === 'root' ? this.edit.forkDemands() : [];
    const pending = new PendingFile(role, signed, [...previous, ...demands], welcome, this.edit.policy.check);
    assertReadable(pending.file);
    if ('bytes' in draft) {
      pending.addFile(draft.bytes);
      this.adopted.add(role);
    }
    this.files.set(role, pending);
  }

  private async make(
    role: 'snapshot' | 'timestamp',
    signers: readonly TufSigner[],
    content: () => JsonObject,
  ): Promise<void> {
    if (!this.files.has(role) && this.isDue(role))
      this.add({ role, signed: this.edit.signedPart(role, content(), this.extensions.get(role)) });
    if (!this.adopted.has(role)) await this.files.get(role)?.sign(signers);
    this.complete();
  }

  private isDue(role: 'snapshot' | 'timestamp'): boolean {
    const { base } = this.edit;
    const isBelowNew =
      role === 'timestamp'
        ? this.files.has('snapshot')
        : [...this.files.keys()].some((name) => name !== 'root' && name !== 'timestamp');
    return base[role] === undefined || isBelowNew || this.extensions.has(role) || this.edit.isAskedFor(role);
  }

  /** Lists every role that was listed before: clients take one that disappears for a rollback (§5.5.5). */
  private snapshotContent(): JsonObject {
    const { base, policy } = this.edit;
    const present = base.snapshot?.signed;
    const isKnownOnly = policy.check !== undefined;
    const meta = jsonObject((present?.['meta'] as JsonObject | undefined) ?? {});
    if (isKnownOnly) for (const path of Object.keys(meta)) meta[path] = knownMeta(meta[path] as JsonObject);
    for (const [role, file] of this.result().roles) {
      const path = metaPath(role);
      if (path in meta && !this.files.has(role)) continue;
      meta[path] = metaEntry(meta[path], file, policy.hashesInSnapshot);
    }
    return jsonObject({ ...((isKnownOnly ? undefined : present) ?? { _type: 'snapshot' }), meta });
  }

  private timestampContent(): JsonObject {
    const present = this.edit.policy.check === undefined ? this.edit.base.timestamp?.signed : undefined;
    const snapshot = this.result().snapshot as MetadataFile;
    const meta = jsonObject((present?.['meta'] as JsonObject | undefined) ?? {});
    const path = metaPath('snapshot');
    meta[path] = metaEntry(meta[path], snapshot, true);
    return jsonObject({ ...(present ?? { _type: 'timestamp' }), meta });
  }

  private result(): RepositoryFiles {
    return withFiles(
      this.edit.base,
      this.pending().map(({ file }) => file),
    );
  }

  /** Demands every signature of the files so far, and fixes their bytes. */
  private complete(): void {
    const missing = this.missing();
    if (missing.length === 0) {
      for (const file of this.files.values()) file.seal();
      return;
    }
    const [first] = missing as [MissingSignatures];
    throw new BullaError(
      'threshold-not-met',
      `metadata of ${JSON.stringify(first.role)} has ${first.valid.length} of the ${first.threshold} signatures that ${first.delegator} demands${missing.length === 1 ? '' : `, and ${missing.length - 1} more of the kind`}`,
      {
        hint: 'have the owners of the missing keys sign the files, and add their signatures',
        details: { missing },
      },
    );
  }
}

function metaEntry(present: JsonObject[string] | undefined, file: MetadataFile, hashed: boolean): JsonObject {
  const entry = jsonObject(isJsonObject(present) ? present : {});
  delete entry['length'];
  delete entry['hashes'];
  entry['version'] = versionOf(file);
  if (hashed) {
    entry['length'] = file.bytes.byteLength;
    entry['hashes'] = jsonObject({ sha256: createHash('sha256').update(file.bytes).digest('hex') });
  }
  return entry;
}

/** What a snapshot says of a file that is not changed, and nothing that TUF does not define. */
function knownMeta(entry: JsonObject): JsonObject {
  const { version, length, hashes } = entry;
  const { sha256, sha512 } = isJsonObject(hashes) ? hashes : {};
  const known = jsonObject({
    ...(sha256 !== undefined && { sha256 }),
    ...(sha512 !== undefined && { sha512 }),
  });
  return jsonObject({
    version: version as number,
    ...(length !== undefined && { length }),
    ...(Object.keys(known).length > 0 && { hashes: known }),
  });
}

function undelegated(role: string): BullaError {
  return new BullaError('usage', `no role delegates to ${JSON.stringify(role)}`, {
    hint: 'make the delegation in the same edit, or leave the role alone',
    details: { role },
  });
}
