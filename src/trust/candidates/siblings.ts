import { BullaError, isBullaError, messageOf, throwIfAborted } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import { type ManifestContent, parseManifest } from '../../oci/manifest.ts';
import type { Tag } from '../../oci/reference.ts';
import { type CallOptions, MAX_TAGS } from '../../oci/target.ts';
import type { FoldedList } from '../format/folded.ts';
import { type ObjectSource, openTrustObject, type TrustObject } from '../format/object.ts';
import type { Random, TrustTarget } from '../format/ports.ts';
import { hasNewerTrust } from '../format/role-files.ts';
import { kindOfTag, LIST_AFTER, LIST_UNTIL, TRUST_TYPES } from '../format/vocabulary.ts';
import { CachedSource } from '../read/cached-source.ts';
import type { BlobCache } from '../read/memory.ts';
import type { WorkingCopy } from '../read/working-copy.ts';
import type { StructuralOffer } from './key-change-offer.ts';
import { type PartialRole, SiblingFiles, type SiblingRole, type SiblingTimestamp } from './sibling-files.ts';

/** Most objects of others that are looked at in one round; which of them is left to chance. */
export const MAX_FOREIGN = 256;
/** Most bytes of them in one round, beyond the manifests themselves. */
const MAX_ROUND_BYTES = 96 * 1024 * 1024;
/** Most bytes of their manifests in one round: those beyond it are looked at in another. */
const MAX_SIBLING_MANIFEST_BYTES: number = 48 * 1024 * 1024;
const AT_ONCE = 8;
/** Where one may be enough. */
const FEW_AT_ONCE = 2;

/** A candidate or stage beside the head, as far as it is verified under what the head delegates. */
export interface Sibling {
  readonly tag: Tag;
  readonly kind: 'candidate' | 'stage';
  readonly digest: Digest;
  readonly object: TrustObject;
  /** Files of `names` and signers that meet their threshold, with their logs. */
  readonly roles: ReadonlyMap<string, SiblingRole>;
  /** Files that some of the keys have signed, and too few. */
  readonly partial: ReadonlyMap<string, PartialRole>;
  /** Of a candidate, where it is verified. */
  readonly timestamp?: SiblingTimestamp | undefined;
  /** A change of keys or delegations that can be taken over as it is. */
  readonly structure?: StructuralOffer | undefined;
  /** Whether there is nothing else in it: no file that could not be verified. */
  readonly isWhole: boolean;
  /** A stage of root or targets that the head has. */
  readonly isTakenIn?: boolean | undefined;
}

/** An object at a tag of the collection that nothing can be done with. */
export interface RefusedSibling {
  readonly tag: Tag;
  /** Code of why: `trust-invalid`, `trust-expired`, `content-invalid`, … */
  readonly code: string;
  readonly message: string;
}

/** Tags of candidates and stages. */
export interface SiblingListing {
  readonly tags: readonly Tag[];
  /** Whether these are all of them: a log may only be cut where everything was looked at. */
  readonly isComplete: boolean;
}

/** What a round found beside the head. */
export interface FoundSiblings {
  readonly siblings: readonly Sibling[];
  readonly refused: readonly RefusedSibling[];
  /** Whether every listed object was looked at. */
  readonly isComplete: boolean;
  /** How many listed objects were not looked at because there was enough. */
  readonly unread: number;
  /** Whether the registry owes an answer about something that was to be looked at: another time it may tell. */
  readonly isUnanswered: boolean;
  /** All tags that were listed, read or not. */
  readonly tags: ReadonlySet<Tag>;
  /** Digests of what was read at tags, whatever it is. */
  readonly digests: ReadonlyMap<Tag, Digest>;
  /** Those of them that were not read, because the head says that it holds all that they brought. */
  readonly folded: FoldedList;
  /** Stages with a root or targets that the head has not, whether or not anything in them verifies. */
  readonly roleChanges: ReadonlyMap<Tag, TrustObject>;
}

/**
 * Lists the candidates and stages of a collection.
 * @param expected a tag of the collection that was written before; null where there may be no head, after
 *   whose tag others are listed, and everything has to be asked for
 * @throws BullaError what the target throws
 */
export async function listSiblings(
  target: TrustTarget,
  options: CallOptions = {},
  expected?: Tag | null,
): Promise<SiblingListing> {
  const range = expected === null ? {} : { last: LIST_AFTER, until: LIST_UNTIL, expected };
  const all = await target.listTags({ ...options, ...range });
  const tags = all.filter((tag) => {
    const kind = kindOfTag(tag);
    return kind === 'candidate' || kind === 'stage';
  });
  return { tags: [...new Set(tags)], isComplete: all.length < MAX_TAGS };
}

/**
 * Looks at what lies beside a head, over the rounds of one publish. Any account with push permission can put anything
 * there: what does not verify is skipped and reported, and none of it costs more than it is allowed to.
 */
export class SiblingReader {
  private readonly target: TrustTarget;
  private readonly source: ObjectSource;
  private readonly chance: Pick<Random, 'fraction'>;
  private readonly options: CallOptions;
  /** This publisher's own objects, as they were pushed: looked at first, and never left out. */
  readonly own: Map<Tag, ManifestContent> = new Map();
  /** Null for what is of no concern. */
  private known = new Map<Tag, Sibling | RefusedSibling | null>();
  private files: SiblingFiles | undefined;
  private roleChanges = new Map<Tag, TrustObject>();
  private readonly digests = new Map<Tag, Digest>();
  private copy: WorkingCopy | undefined;
  private manifestBytes = 0;

  /** @param cache of what was fetched or pushed before; nothing of what strangers pushed is put into it */
  constructor(
    target: TrustTarget,
    chance: Pick<Random, 'fraction'>,
    options: CallOptions = {},
    cache?: BlobCache,
  ) {
    this.target = target;
    this.source = cache === undefined ? target : new CachedSource(target, cache, false);
    this.chance = chance;
    this.options = options;
  }

  /**
   * @param isEnough ends the looking when it holds for any of them
   * @throws BullaError what listing throws; interrupted, unauthorized, forbidden
   */
  async read(copy: WorkingCopy, now: Date, isEnough?: (sibling: Sibling) => boolean): Promise<FoundSiblings> {
    const listing = await listSiblings(this.target, this.options, [...this.own.keys()].at(-1));
    if (this.files === undefined || !this.files.isFor(copy)) {
      // Who may sign has changed: everything has to be judged anew.
      this.known = new Map();
      this.roleChanges = new Map();
      this.copy = copy;
      this.files = new SiblingFiles(this.source, copy, now, MAX_ROUND_BYTES, this.options);
    }
    this.files.refill(now);
    const folded = await copy.folded();
    const open = listing.tags.filter((tag) => !folded.has(tag));
    const chosen = this.choose(open);
    const unread: RefusedSibling[] = [];
    this.manifestBytes = 0;
    const atOnce = isEnough === undefined ? AT_ONCE : FEW_AT_ONCE;
    let looked = 0;
    for (let at = 0; at < chosen.length; at += atOnce) {
      throwIfAborted(this.options.signal);
      const seen = chosen.flatMap((tag) => this.known.get(tag) ?? []);
      if (isEnough !== undefined && seen.some((one) => 'object' in one && isEnough(one))) break;
      looked = at + atOnce;
      const part = chosen.slice(at, at + atOnce).filter((tag) => !this.known.has(tag));
      if (this.manifestBytes >= MAX_SIBLING_MANIFEST_BYTES) {
        unread.push(...part.map(tooLateFor));
        continue;
      }
      unread.push(...(await Promise.all(part.map((tag) => this.open(tag)))).flat());
    }
    const skipped = chosen.slice(looked).filter((tag) => !this.known.has(tag)).length;
    const found = chosen.flatMap((tag) => this.known.get(tag) ?? []);
    const siblings = found.filter((one): one is Sibling => 'object' in one);
    const refused = [...found.filter((one): one is RefusedSibling => 'code' in one), ...unread];
    return {
      siblings: siblings.sort(inOrder),
      refused,
      isComplete: listing.isComplete && unread.length === 0 && chosen.length === open.length && skipped === 0,
      unread: skipped,
      isUnanswered: unread.some(({ code }) => TRANSIENT.has(code)),
      tags: new Set(listing.tags),
      digests: this.digests,
      folded: new Map(listing.tags.flatMap((tag) => pairOf(tag, folded.get(tag)))),
      roleChanges: new Map([...this.roleChanges].filter(([tag]) => chosen.includes(tag))),
    };
  }

  /** Looks at an object again in the next round: its tag may have been moved. */
  forget(tag: Tag): void {
    this.known.delete(tag);
  }

  /** Own objects, and of the others as many as a round may look at; those that are known cost nothing. */
  private choose(tags: readonly Tag[]): readonly Tag[] {
    const free = tags.filter((tag) => this.own.has(tag) || this.known.has(tag));
    const foreign = tags.filter((tag) => !this.own.has(tag) && !this.known.has(tag));
    for (let at = 0; at < Math.min(MAX_FOREIGN, foreign.length); at++) {
      const other = at + Math.floor(this.chance.fraction() * (foreign.length - at));
      [foreign[at], foreign[other]] = [foreign[other] as Tag, foreign[at] as Tag];
    }
    return [...free, ...foreign.slice(0, MAX_FOREIGN)].slice(0, MAX_FOREIGN * 4);
  }

  /** @returns what could not be read this time, and may be another time */
  private async open(tag: Tag): Promise<readonly RefusedSibling[]> {
    try {
      this.known.set(tag, await this.verify(tag));
    } catch (error) {
      if (isBullaError(error, 'not-found')) return [];
      const refused = refusal(tag, error);
      if (isUnanswered(error) || isSpent(error)) return [refused];
      this.known.set(tag, refused);
    }
    return [];
  }

  /** Of one's own only whether it is still what was pushed. */
  private async fetch(tag: Tag): Promise<ManifestContent> {
    const own = this.own.get(tag);
    if (own === undefined) return await this.source.fetchManifest(tag, this.options);
    return (await this.source.fetchManifestUnless(tag, own.descriptor.digest, this.options)) ?? own;
  }

  /** @returns null for what a registry was tried out with */
  private async verify(tag: Tag): Promise<Sibling | null> {
    const content = await this.fetch(tag);
    this.digests.set(tag, content.descriptor.digest);
    if (!this.own.has(tag)) this.manifestBytes += content.bytes.byteLength;
    if (parseManifest(content).artifactType === TRUST_TYPES.probe) return null;
    const object = await openTrustObject(this.source, content, this.options);
    const kind = kindOfTag(tag) as 'candidate' | 'stage';
    const isKind = kind === 'stage' ? object.kind === 'stage' : object.kind === 'head' && object.isCandidate;
    if (!isKind) throw notOfKind(tag, kind);
    if (kind === 'stage' && hasNewerTrust(object, (this.copy as WorkingCopy).files))
      this.roleChanges.set(tag, object);
    const verified = await (this.files as SiblingFiles).verify(object);
    return { tag, kind, digest: content.descriptor.digest, object, ...verified };
  }
}

function tooLateFor(tag: Tag): RefusedSibling {
  const message = `not read in this round: what lies beside the head has more than ${MAX_SIBLING_MANIFEST_BYTES} bytes of manifests`;
  return { tag, code: 'content-invalid', message };
}

function pairOf(tag: Tag, made: Date | undefined): [Tag, Date][] {
  return made === undefined ? [] : [[tag, made]];
}

/** By version of the timestamp, then by tag, so that all publishers fold in the same order; stages come last. */
function inOrder(a: Sibling, b: Sibling): number {
  const [first, second] = [a.timestamp?.version ?? Infinity, b.timestamp?.version ?? Infinity];
  if (first !== second) return first < second ? -1 : 1;
  return a.tag < b.tag ? -1 : 1;
}

const TRANSIENT: ReadonlySet<string> = new Set([
  ...['registry-unreachable', 'registry-throttled', 'registry-error', 'timeout'],
]);

/** Codes after which nothing is known about the content. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof BullaError && TRANSIENT.has(error.code);
}

function isSpent(error: unknown): boolean {
  return isBullaError(error) && error.details['reason'] === 'budget';
}

/** Codes that say nothing about one object, but end the work. */
const ABOUT_US: ReadonlySet<string> = new Set([
  'interrupted',
  'unauthorized',
  'forbidden',
  'registry-policy',
  'storage-error',
  'internal',
]);

function refusal(tag: Tag, error: unknown): RefusedSibling {
  if (!(error instanceof BullaError) || ABOUT_US.has(error.code)) throw error;
  return { tag, code: error.code, message: messageOf(error) };
}

function notOfKind(tag: Tag, kind: string): BullaError {
  return new BullaError('trust-invalid', `the object at ${tag} is not a ${kind}`, {
    hint: 'another object was pushed there; it is left alone',
    details: { tag, reason: 'object' },
  });
}
