import type { Digest } from '../../../../src/oci/digest.ts';
import type { ManifestContent } from '../../../../src/oci/manifest.ts';
import type { Tag } from '../../../../src/oci/reference.ts';
import { FILE_NAME, HEAD_TAG } from '../../../../src/trust/format/vocabulary.ts';
import type { Pusher, RegistryObserver } from './registry.ts';
import {
  applyAll,
  type Entry,
  type FileFacts,
  meaningOf,
  namesIn,
  type RoleFile,
  readFacts,
  readRoleFile,
  sameNames,
} from './role-file.ts';

/** A role file, and all changes that ever led to it, in order: also those that its log lists no more. */
interface Known {
  readonly file: RoleFile;
  readonly history: readonly Entry[];
  readonly ids: ReadonlySet<string>;
}

/**
 * Sees everything that is ever pushed, knows what was asked for, and says what must never be. It shares
 * no code with what it judges but the names of annotations.
 */
export class Record implements RegistryObserver {
  /** What must never be and was, in order. */
  readonly violations: string[] = [];
  /** How often the tag of the head was moved by somebody honest. */
  headsWritten = 0;
  /** Who moved it last. */
  lastMover: Pusher | undefined;
  private readonly signedTexts: ReadonlySet<string>;
  private readonly versions = new Map<string, Digest>();
  private readonly blobs = new Map<Digest, Uint8Array>();
  private waiting: { readonly facts: FileFacts; readonly digest: Digest }[] = [];
  private readonly known = new Map<Digest, Known>();
  /** How often a change was asked for, by what it does. */
  private readonly requested = new Map<string, number>();
  /** Ids under which it was signed. */
  private readonly ids = new Map<string, Set<string>>();
  /** When a change was made and what it does, by its id. */
  private readonly facts = new Map<string, string>();
  private readonly listings = new Map<Digest, ReadonlyMap<string, Digest>>();
  /** What was known to whoever first signed a change, by its id. */
  private readonly bases = new Map<string, ReadonlySet<string>>();

  constructor(signedTexts: ReadonlySet<string>) {
    this.signedTexts = signedTexts;
  }

  /** Notes that somebody who may asks for a change, for the first time or again. */
  request(meaning: string): void {
    this.requested.set(meaning, (this.requested.get(meaning) ?? 0) + 1);
  }

  blobPushed(digest: Digest, bytes: Uint8Array): void {
    this.blobs.set(digest, bytes);
    const facts = readFacts(bytes);
    if (facts === undefined || !this.signedTexts.has(facts.signedText)) return;
    this.noteVersion(facts, digest);
    if (facts.log !== undefined) this.waiting.push({ facts, digest });
  }

  manifestPushed(): void {
    const ready = this.waiting.filter(({ facts }) => facts.log !== undefined && this.blobs.has(facts.log));
    if (ready.length === 0) return;
    this.waiting = this.waiting.filter((file) => !ready.includes(file));
    for (const { facts, digest } of ready.sort((a, b) => a.facts.version - b.facts.version))
      this.learn(readRoleFile(facts, digest, this.blobs.get(facts.log as Digest) as Uint8Array));
  }

  tagMoved(tag: Tag, to: Digest | undefined, by: Pusher): void {
    if (tag !== HEAD_TAG) return;
    this.lastMover = by;
    if (to !== undefined && !['attacker', 'borrower'].includes(by.name)) this.headsWritten++;
  }

  /** A file of a role that somebody who verifies has accepted. */
  accepted(who: string, role: string, digest: Digest): void {
    if (this.known.get(digest)?.file.role !== role)
      this.violate(`${who} accepted a file of ${role} that nobody signed as such`);
  }

  file(digest: Digest): RoleFile | undefined {
    return this.known.get(digest)?.file;
  }

  /** All changes that ever led to a role file. */
  history(digest: Digest): readonly Entry[] {
    return this.known.get(digest)?.history ?? [];
  }

  /** Whether a change is part of what a head says. @param head manifest of it */
  holds(head: ManifestContent, role: string, id: string): boolean {
    const digest = this.roleFiles(head).get(role);
    return digest !== undefined && this.known.get(digest)?.ids.has(id) === true;
  }

  /** Whether a change is in any signed file. */
  isKnown(id: string): boolean {
    return this.facts.has(id);
  }

  /** Digests of the role files that a head lists. */
  roleFiles(head: ManifestContent): ReadonlyMap<string, Digest> {
    const known = this.listings.get(head.descriptor.digest);
    if (known !== undefined) return known;
    const { layers } = JSON.parse(Buffer.from(head.bytes).toString()) as ListingJson;
    const files = new Map(
      layers.flatMap(({ digest, annotations }) => {
        const role = /^[0-9]+\.(.+)\.json$/.exec(annotations?.[FILE_NAME] ?? '')?.[1];
        return role === undefined || role === 'root' ? [] : [[role, digest] as const];
      }),
    );
    this.listings.set(head.descriptor.digest, files);
    return files;
  }

  violate(what: string): void {
    this.violations.push(what);
  }

  /** Two files of one version would stop every client that saw the other. Roots are adopted, and may be two. */
  private noteVersion({ role, version }: FileFacts, digest: Digest): void {
    if (role === 'root') return;
    const name = `${role} ${version}`;
    const other = this.versions.get(name);
    if (other !== undefined && other !== digest) this.violate(`two files of ${name} were pushed`);
    this.versions.set(name, digest);
  }

  private noteEntry({ id, at }: Entry, meaning: string): void {
    const fact = `${at} ${meaning}`;
    const before = this.facts.get(id) ?? fact;
    this.facts.set(id, before);
    if (before !== fact) this.violate(`${id} is ${before} in one log, and ${fact} in another`);
    const ids = this.ids.get(meaning) ?? new Set();
    this.ids.set(meaning, ids.add(id));
    const asked = this.requested.get(meaning) ?? 0;
    if (ids.size > asked) this.violate(`${meaning} was asked for ${asked} times, and has ${ids.size} ids`);
  }

  private learn(file: RoleFile): void {
    const { role, since, entries } = file;
    for (const entry of entries) {
      this.noteEntry(entry, meaningOf(role, entry));
      if (entry.at < since) this.violate(`the log of ${role} lists ${entry.id}, which is older than it says`);
    }
    const parent = this.parentOf(file);
    const history = parent?.history ?? [];
    const ids = new Set(history.map(({ id }) => id));
    const added = entries.filter(({ id }) => !ids.has(id));
    for (const entry of added) {
      if (!this.bases.has(entry.id)) this.bases.set(entry.id, ids);
    }
    const next = [...history, ...added];
    for (const entry of added) this.assertNotRevoked(file, entry, next);
    this.known.set(file.digest, { file, history: next, ids: new Set(next.map(({ id }) => id)) });
  }

  /** The file that this one was made from: its names, and the changes that are new in the log, say all there is. */
  private parentOf(file: RoleFile): Known | undefined {
    if (file.entries.length === 0 && file.targets.size === 0) return undefined;
    const likely = [...this.known.values()].filter(({ file: other }) => isParent(other, file));
    const parents = likely.filter(({ file: { entries }, ids }) => {
      const listed = new Set(entries.map(({ id }) => id));
      return file.entries.every(({ id }) => listed.has(id) || !ids.has(id));
    });
    if (likely.length === 0)
      this.violate(`${file.role} ${file.version} is not what any file before it and its log come to`);
    else if (parents.length === 0)
      this.violate(`${file.role} ${file.version} applies a change again that its log had listed before`);
    // The nearest: whoever goes back further finds more of them.
    return parents.sort((a, b) => b.ids.size - a.ids.size)[0];
  }

  /** A name that was taken out is set only by somebody who knew that. */
  private assertNotRevoked(file: RoleFile, entry: Entry, history: readonly Entry[]): void {
    if (entry.set === undefined) return;
    const base = this.bases.get(entry.id);
    for (const earlier of history.slice(0, history.indexOf(entry))) {
      if (earlier.unset === undefined || base?.has(earlier.id)) continue;
      const names = namesIn(entry).filter((name) => earlier.unset?.has(name));
      if (names.length > 0)
        this.violate(
          `${file.role} ${file.version} sets ${names.join(', ')} by ${entry.id}, which ${earlier.id} had taken out`,
        );
    }
  }
}

interface ListingJson {
  readonly layers: readonly {
    readonly digest: Digest;
    readonly annotations?: Readonly<{ [name: string]: string }>;
  }[];
}

function isParent(parent: RoleFile, file: RoleFile): boolean {
  if (parent.role !== file.role || parent.version >= file.version || parent.since > file.since) return false;
  const kept = parent.entries.filter(({ at }) => at >= file.since);
  if (!kept.every(({ id }, index) => file.entries[index]?.id === id)) return false;
  return sameNames(applyAll(parent.targets, file.entries.slice(kept.length)), file.targets);
}
