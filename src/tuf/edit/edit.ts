import type { JsonObject } from '../../encoding/json.ts';
import { formatTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { DEFAULT_LIMITS } from '../limits.ts';
import { composeMetadataFile, type MetadataFile, parseMetadataFile } from '../metadata-file.ts';
import { assertVersion } from '../refusals.ts';
import { isTopLevelRole, type TopLevelRole } from '../role-name.ts';
import { SPEC_VERSION } from '../signed.ts';
import { Keyring, notInHand, rolesToSignAgain } from './demands.ts';
import { assertExtraMembers } from './extra-members.ts';
import { jsonObject, type KeyChoice } from './key-list.ts';
import { DEFAULT_POLICY, type EditPolicy } from './policy.ts';
import { PreparedEdit } from './prepared-edit.ts';
import {
  assertReadable,
  publishedVersion,
  type RepositoryFiles,
  versionOf,
  withFiles,
} from './repository.ts';
import { RootContent } from './root-content.ts';
import type { SignatureDemand } from './signing.ts';
import { TargetsContent } from './targets-content.ts';

export interface EditOptions {
  /** When the new files are made: their expiry counts from it, and the result is judged by it. */
  readonly now: Date;
  readonly policy?: Partial<EditPolicy>;
  /** Highest versions that verified files of roles have had elsewhere, where they are above the base's. */
  readonly tops?: ReadonlyMap<string, number>;
  /**
   * Roles whose versions begin anew: recovery from a thief who pushed them up. Clients follow only where
   * keys of snapshot or timestamp are removed in the same edit (TUF 1.0.34 §5.3.11).
   */
  readonly restart?: ReadonlySet<string>;
  /**
   * Other files of the present root's version, signed like it, which clients may have seen: the next root
   * is signed with their keys too, as far as these are available, so that both lead to it.
   */
  readonly forks?: readonly MetadataFile[];
}

/**
 * Changes of a repository that belong together: each file that they touch gets one new version. First
 * come the changes; {@link prepare} fixes versions and expiry, and then it can be signed and published.
 */
export class RepositoryEdit {
  readonly base: RepositoryFiles;
  readonly options: EditOptions;
  readonly policy: EditPolicy;
  private rootContent: RootContent | undefined;
  private readonly contents = new Map<string, TargetsContent>();
  private readonly adopted = new Map<string, MetadataFile>();
  private readonly extensions = new Map<string, JsonObject>();
  private readonly versions = new Map<string, number>();
  private readonly restarted: Set<string>;
  private isPrepared = false;

  /** @param base verified by the caller: whatever is wrong in it would be signed anew */
  constructor(base: RepositoryFiles, options: EditOptions) {
    this.base = base;
    this.options = options;
    this.policy = { ...DEFAULT_POLICY, ...options.policy };
    this.restarted = new Set(options.restart);
  }

  /** Makes the first root. @throws BullaError usage, key-invalid */
  createRoot(choices: Readonly<Record<TopLevelRole, KeyChoice>>, consistentSnapshot = true): RootContent {
    this.assertOpen('root');
    if (this.base.roots.length > 0 || this.rootContent !== undefined)
      throw refused('root', 'there is one already; change that one');
    this.rootContent = RootContent.create(choices, consistentSnapshot);
    return this.rootContent;
  }

  /** The next root, for changes. @throws BullaError usage where there is none yet */
  root(): RootContent {
    this.assertOpen('root');
    const last = this.base.roots.at(-1);
    if (this.rootContent === undefined && last === undefined)
      throw refused('root', 'there is none yet; make one');
    this.rootContent ??= RootContent.from((last as MetadataFile).signed);
    return this.rootContent;
  }

  /**
   * The next version of targets or a delegated role, for changes; a new role begins empty.
   * @throws BullaError usage if the repository has a file of the role that is not loaded
   */
  targets(role: string): TargetsContent {
    const draft = this.contents.get(role);
    if (draft !== undefined) return draft;
    const file = this.base.roles.get(role);
    if (file === undefined) {
      if (publishedVersion(this.base, role) > 0) throw notInHand(role);
      return this.replaceTargets(role);
    }
    return this.keep(role, TargetsContent.from(file.signed));
  }

  /**
   * Begins a role anew without names and delegations, whatever its present file holds; its versions go
   * on, and extra members stay.
   * @throws BullaError usage
   */
  replaceTargets(role: string): TargetsContent {
    return this.keep(role, TargetsContent.create(this.base.roles.get(role)?.signed));
  }

  /**
   * What a role's file holds in this edit so far, for looking only.
   * @throws BullaError usage if the repository has a file of the role that is not loaded
   */
  look(role: string): TargetsContent {
    const draft = this.contents.get(role);
    if (draft !== undefined) return draft;
    const signed = (this.adopted.get(role) ?? this.base.roles.get(role))?.signed;
    if (signed === undefined && publishedVersion(this.base, role) > 0) throw notInHand(role);
    return signed === undefined ? TargetsContent.create() : TargetsContent.from(signed);
  }

  /** Takes back what this edit does to a role that names targets. @throws BullaError usage */
  discard(role: string): void {
    this.assertOpen(role);
    this.contents.delete(role);
    this.adopted.delete(role);
    this.extensions.delete(role);
  }

  /** Lets the versions of a role begin anew, as {@link EditOptions.restart}. @throws BullaError usage */
  restart(role: string): void {
    this.assertOpen(role);
    this.restarted.add(role);
  }

  /** Gives a role a new version and expiry, with the same content. @throws BullaError usage */
  renew(role: string): void {
    if (role === 'root') this.root();
    else if (role === 'snapshot' || role === 'timestamp') this.extend(role, {});
    else this.targets(role);
  }

  /**
   * Sets extra members of a role's signed part (`bulla`, `x-…`), which other clients of TUF ignore.
   * @throws BullaError usage for a member that has a meaning in TUF
   */
  extend(role: string, members: { readonly [name: string]: JsonObject[string] }): void {
    this.assertOpen(role);
    assertExtraMembers(role, members);
    if (role !== 'snapshot' && role !== 'timestamp') this.renew(role);
    this.extensions.set(role, jsonObject({ ...this.extensions.get(role), ...members }));
  }

  /**
   * Takes a file that another edit of the same base has made, signed or not, as this edit's version of
   * its role: to collect its missing signatures, or to publish what others have staged.
   * @throws BullaError content-invalid; trust-rollback where its version is not above the published one;
   *   trust-invalid for a root that is not the next one; usage where this edit changes the role itself
   */
  adopt(role: string, bytes: Uint8Array): void {
    this.assertOpen(role);
    if (this.contents.has(role) || (role === 'root' && this.rootContent !== undefined))
      throw refused(role, 'this edit changes it, and that would be lost');
    const file = parseMetadataFile(bytes, role, DEFAULT_LIMITS.listedBytes);
    assertReadable(file);
    const published = publishedVersion(this.base, role);
    if (role === 'root') assertVersion('root', published + 1, versionOf(file));
    else if (versionOf(file) <= published) throw outdated(file, published);
    this.adopted.set(role, file);
  }

  /**
   * Fixes what the new files say: versions, expiry, files of roles that are new, and new versions of
   * those whose keys have changed. Nothing can be changed in this edit afterwards.
   * @throws BullaError usage, content-invalid
   */
  prepare(): PreparedEdit {
    this.assertOpen('targets');
    const changed = [...(this.rootContent === undefined ? [] : ['root']), ...this.contents.keys()];
    const after = this.keyring();
    const delegators = [...changed, ...this.adopted.keys()];
    for (const [role, what] of rolesToSignAgain(this.base, new Keyring(this.base), after, delegators)) {
      if (this.contents.has(role) || this.adopted.has(role)) continue;
      if (what === 'begin') this.replaceTargets(role);
      else this.renew(role);
    }
    this.isPrepared = true;
    return new PreparedEdit(this, this.keyring());
  }

  /** Signed parts of the new files of root and the roles that name targets; of adopted files, the files. */
  *drafts(): Generator<MetadataFile | { readonly role: string; readonly signed: JsonObject }> {
    if (this.rootContent !== undefined)
      yield { role: 'root', signed: this.signedPart('root', this.rootContent.json) };
    yield* this.adopted.values();
    for (const [role, { json }] of this.contents) yield { role, signed: this.signedPart(role, json) };
  }

  /** The root before demands a threshold of its own keys on the next one (TUF 1.0.34 §5.3.4). */
  previousRootDemand(): readonly SignatureDemand[] {
    return new Keyring({ ...this.base, roles: new Map() }).demandsOn('root');
  }

  /** What would let the next root follow other roots of the present version, too. */
  forkDemands(): readonly SignatureDemand[] {
    return (this.options.forks ?? []).flatMap((fork) =>
      new Keyring({ ...this.base, roots: [fork], roles: new Map() }).demandsOn('root'),
    );
  }

  /** Whether snapshot or timestamp were asked for, beyond what the other files need. */
  isAskedFor(role: 'snapshot' | 'timestamp'): boolean {
    return this.extensions.has(role);
  }

  /** The signed part of a new file: its content with the members that every file has. */
  signedPart(role: string, content: JsonObject, more?: JsonObject): JsonObject {
    return jsonObject({
      spec_version: SPEC_VERSION,
      ...content,
      ...this.extensions.get(role),
      ...more,
      version: this.nextVersion(role),
      expires: formatTime(new Date(this.options.now.getTime() + this.policy.lifetime(role))),
    });
  }

  /** Who may sign what once this edit is published. */
  private keyring(): Keyring {
    const delegating = [...this.drafts()].filter(
      ({ role, signed }) =>
        signed['delegations'] !== undefined || this.base.roles.get(role)?.signed['delegations'] !== undefined,
    );
    const root = [...this.drafts()].find(({ role }) => role === 'root');
    const files = [...(root === undefined ? [] : [root]), ...delegating];
    return new Keyring(
      withFiles(
        this.base,
        files.map(({ role, signed }) => composeMetadataFile(role, signed, [])),
      ),
    );
  }

  private nextVersion(role: string): number {
    const known = this.versions.get(role);
    if (known !== undefined) return known;
    const published = publishedVersion(this.base, role);
    const { tops } = this.options;
    const top = this.restarted.has(role) ? 0 : Math.max(published, tops?.get(role) ?? 0);
    const version = role === 'root' ? published + 1 : this.policy.versions(top, role);
    if (!Number.isSafeInteger(version) || version <= top) throw refused(role, `no version can follow ${top}`);
    this.versions.set(role, version);
    return version;
  }

  private keep(role: string, content: TargetsContent): TargetsContent {
    this.assertOpen(role);
    if (role !== 'targets' && isTopLevelRole(role)) throw refused(role, 'it does not name targets');
    if (this.adopted.has(role)) throw refused(role, 'its file was adopted, and is what was signed');
    this.contents.set(role, content);
    return content;
  }

  private assertOpen(role: string): void {
    if (this.isPrepared) throw refused(role, 'this edit is prepared; begin a new one');
  }
}

function refused(role: string, why: string): BullaError {
  return new BullaError('usage', `metadata of ${JSON.stringify(role)} cannot be changed so: ${why}`, {
    hint: 'look at the present state of the repository and make the change for that',
    details: { role },
  });
}

function outdated(file: MetadataFile, published: number): BullaError {
  const [role, version] = [file.role, versionOf(file)];
  return new BullaError(
    'trust-rollback',
    `metadata of ${JSON.stringify(role)} has version ${version}, and version ${published} is published`,
    {
      hint: 'the file was made for an older state: make the change again',
      details: { role, from: published, to: version },
    },
  );
}
