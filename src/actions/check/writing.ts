import { utf8 } from '../../encoding/bytes.ts';
import { type BullaError, isBullaError } from '../../errors.ts';
import {
  bareDescriptor,
  type Descriptor,
  describe,
  EMPTY_BYTES,
  EMPTY_DESCRIPTOR,
} from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { buildArtifact, buildIndex, type ManifestContent, parseManifest } from '../../oci/manifest.ts';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import type { PutFacts, RegistryProbes, RepositoryProbes } from '../../oci/probes.ts';
import { fallbackTag, type Tag } from '../../oci/reference.ts';
import { referrerDescriptor } from '../../oci/referrers.ts';
import type { CallOptions } from '../../oci/target.ts';
import { SIGNATURE_TYPES } from '../../signatures/formats.ts';
import { candidateTag, TRUST_TYPES } from '../../trust/format/vocabulary.ts';
import { type Ability, type Finding, failing, failureOf, words } from './finding.ts';
import { judgeListing, judgeManifest, judgeReferrers } from './reading.ts';

/** How often, and how long after each other, what was written is looked for, in milliseconds. */
const LOOKS_MS = [0, 250, 500, 1000, 2000] as const;
const WRITING: readonly Ability[] = ['signing', 'collections'];
const SIGNED: readonly Ability[] = ['signing'];

export interface TrialLimits {
  /** 16 hex digits, for tags and content of our own. */
  readonly id: string;
  /** Ends the clean-up, which goes on after an interruption. Left out, nothing does but its requests. */
  readonly cleanUpEnds?: (() => AbortSignal) | undefined;
}

export interface TrialOptions extends TrialLimits {
  /** Another repository to mount into; left out, it is tried within the one. */
  readonly elsewhere: string | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Pushes, moves and removes objects of its own in a repository, and sees what comes of it. */
export class Trial {
  private readonly probes: RegistryProbes;
  private readonly place: RepositoryProbes;
  private readonly options: TrialOptions;
  private readonly findings: Finding[] = [];
  private readonly tags = new Set<Tag>();
  /** In the order of their making: what refers to others comes later, and is removed first. */
  private readonly manifests = new Map<Digest, ManifestContent>();
  /** Lists of referrers at the fallback tag, the old ones too. */
  private readonly indexes = new Set<Digest>();
  private readonly layer: { readonly descriptor: Descriptor; readonly bytes: Uint8Array };
  private mounted: RepositoryProbes | undefined;
  /** Once the clean-up has begun: an interruption does not end it. */
  private cleaning: CallOptions | undefined;

  constructor(probes: RegistryProbes, place: RepositoryProbes, options: TrialOptions) {
    this.probes = probes;
    this.place = place;
    this.options = options;
    const bytes = utf8(`bulla check ${options.id}\n`);
    this.layer = { bytes, descriptor: describe(MEDIA_TYPES.octetStream, bytes) };
  }

  /** @returns what was seen, and what could not be removed afterwards */
  async run(): Promise<{ readonly findings: readonly Finding[]; readonly left: readonly string[] }> {
    let left: readonly string[] = [];
    try {
      await this.tryAll();
    } finally {
      left = await this.cleanUp();
    }
    return { findings: this.findings, left };
  }

  private async tryAll(): Promise<void> {
    const { place } = this;
    const { signal } = this.options;
    try {
      await place.pushBlob(EMPTY_DESCRIPTOR, EMPTY_BYTES, { signal });
      await place.pushBlob(this.layer.descriptor, this.layer.bytes, { signal });
    } catch (error) {
      this.findings.push(this.refusedPush(failureOf(error, signal)));
      return;
    }
    const [first, second] = [this.object('1'), this.object('2')];
    const tag = `bulla-check-${this.options.id}` as Tag;
    const trustTag = candidateTag(first.descriptor.digest);
    if (!(await this.tryTypes(first, tag, trustTag))) return;
    const stale = await this.looksFor(tag, first.descriptor.digest);
    await this.tryMoves(second, { tag, trustTag, stale });
    await this.tryReading(tag);
    await this.tryReferrers(first);
    await this.tryMount();
  }

  private refusedPush(error: BullaError): Finding {
    const finding = failing('push', error, WRITING);
    if (this.options.elsewhere === undefined) return finding;
    const name = `${this.probes.registry}/REPOSITORY`;
    return {
      ...finding,
      consequence: `${error.hint ?? ''}; or name a repository that you may push to: bulla check --write ${name}`,
    };
  }

  private object(text: string, subject?: Descriptor): ManifestContent {
    return buildArtifact({
      artifactType: subject === undefined ? TRUST_TYPES.probe : SIGNATURE_TYPES.bundle,
      layers: [this.layer.descriptor],
      annotations: { 'vnd.bulla.check': `${this.options.id} ${text}` },
      ...(subject !== undefined && { subject: bareDescriptor(subject) }),
    });
  }

  /** Puts a manifest, and remembers it to be removed. */
  private async put(
    content: ManifestContent,
    reference: Tag | Digest = content.descriptor.digest,
    condition?: 'if-match' | 'if-none-match',
  ): Promise<PutFacts> {
    const { digest } = content.descriptor;
    // It may have arrived although no answer came.
    this.manifests.set(digest, content);
    if (reference !== digest) this.tags.add(reference as Tag);
    return await this.place.put(content, reference, { condition, signal: this.options.signal });
  }

  /** @returns false where nothing more can be tried */
  private async tryTypes(first: ManifestContent, tag: Tag, trustTag: Tag): Promise<boolean> {
    const { signal } = this.options;
    try {
      for (const reference of [tag, trustTag]) {
        const { refusal } = await this.put(first, reference);
        if (refusal === undefined) continue;
        this.findings.push(
          isAboutContent(refusal)
            ? refusedType('artifacts (OCI 1.1)', refusal, WRITING)
            : this.refusedPush(refusal),
        );
        return false;
      }
      this.findings.push({ check: 'push', state: 'good', found: 'blobs and manifests are taken' });
      const index = buildIndex({
        artifactType: TRUST_TYPES.probe,
        manifests: [bareDescriptor(first.descriptor)],
        annotations: { 'vnd.bulla.check': this.options.id },
      });
      const { refusal } = await this.put(index);
      this.findings.push(
        refusal === undefined
          ? {
              check: 'types',
              state: 'good',
              found: 'OCI artifacts and indexes with a type of their own',
              facts: { artifact: true, index: true },
            }
          : refusedType('indexes with an artifactType', refusal, ['collections']),
      );
      return true;
    } catch (error) {
      this.findings.push(this.refusedPush(failureOf(error, signal)));
      return false;
    }
  }

  /** @returns for how long a tag did not show what was written, in milliseconds; undefined: never it did */
  private async looksFor(tag: Tag, digest: Digest): Promise<number | undefined> {
    const { signal } = this.options;
    let waited = 0;
    for (const ms of LOOKS_MS) {
      if (ms > 0) await this.probes.pause(ms, { signal });
      waited += ms;
      try {
        if ((await this.place.digestAt(tag, { signal })) === digest) return waited;
      } catch (error) {
        failureOf(error, signal);
      }
    }
    return undefined;
  }

  private async tryMoves(
    second: ManifestContent,
    what: { readonly tag: Tag; readonly trustTag: Tag; readonly stale: number | undefined },
  ): Promise<void> {
    const moved = await this.tries(() => this.put(second, what.tag));
    const trust = await this.tries(() => this.put(second, what.trustTag));
    const facts = { tags: moved === undefined, trustTags: trust === undefined };
    let stale = what.stale;
    if (moved === undefined) stale = later(stale, await this.looksFor(what.tag, second.descriptor.digest));
    if (trust !== undefined) {
      this.findings.push({
        check: 'tag-moves',
        state: 'bad',
        found: `tags that begin with "_trust" cannot be moved: ${words(trust)}`,
        consequence:
          trust.details['reason'] === 'immutable-tag'
            ? 'except tags that begin with "_trust" (and "sha256-") from immutability, or keep collections elsewhere: bulla init --at OTHER/REPO'
            : trust.hint,
        facts: { ...facts, ...trust.details },
        code: trust.code,
        breaks: ['collections'],
      });
    } else {
      this.findings.push(
        moved === undefined
          ? { check: 'tag-moves', state: 'good', found: 'tags can be moved', facts }
          : {
              check: 'tag-moves',
              state: 'around',
              found: 'tags are immutable but for those of collections',
              consequence: 'signing and collections need no others moved',
              facts,
            },
      );
    }
    this.findings.push(readAfterWrite(stale));
    if (moved === undefined) await this.tryConditions(second, what.tag);
  }

  private async tryConditions(current: ManifestContent, tag: Tag): Promise<void> {
    const match = await this.tries(() => this.put(current, tag, 'if-match'));
    const none = await this.tries(() => this.put(current, tag, 'if-none-match'));
    const holds = (refusal: BullaError | undefined): string =>
      refusal === undefined ? 'ignored' : refusal.details['status'] === 412 ? 'honoured' : 'refused';
    const facts = { ifMatch: holds(match), ifNoneMatch: holds(none) };
    const isGood = facts.ifMatch === 'honoured' && facts.ifNoneMatch === 'honoured';
    this.findings.push({
      check: 'conditional-put',
      state: isGood ? 'good' : 'around',
      found: `If-Match ${facts.ifMatch}, If-None-Match ${facts.ifNoneMatch}`,
      facts,
      ...(!isGood && {
        consequence: 'what was written is read back, and written again where others overwrote it',
      }),
    });
  }

  /** What reading shows about tags that exist by now. */
  private async tryReading(tag: Tag): Promise<void> {
    const { signal } = this.options;
    try {
      this.findings.push(judgeListing(await this.place.listing({ signal })));
    } catch (error) {
      this.findings.push(failing('listing', failureOf(error, signal), ['collections']));
    }
    try {
      this.findings.push(...judgeManifest(await this.place.manifest(tag, { signal })));
    } catch (error) {
      this.findings.push(failing('head', failureOf(error, signal), ['verifying']));
    }
  }

  private async tryReferrers(first: ManifestContent): Promise<void> {
    const { signal } = this.options;
    const subject = first.descriptor;
    const signatures = [this.object('signature 1', subject), this.object('signature 2', subject)];
    try {
      let said = true;
      for (const signature of signatures) {
        const put = await this.put(signature);
        if (put.refusal !== undefined) {
          this.findings.push(refusedType('manifests with a subject', put.refusal, SIGNED));
          return;
        }
        said = said && put.subject === subject.digest;
      }
      const before = await this.place.referrers(subject.digest, { signal });
      const facts = { by: before.by ?? null, ociSubject: said };
      if (before.by === 'api' && (await this.areListed(subject.digest, signatures))) {
        this.findings.push({ ...judgeReferrers(before), facts });
        return;
      }
      if (before.isSubject) {
        this.findings.push(judgeReferrers(before));
        return;
      }
      for (const signature of signatures) {
        const entry = referrerDescriptor(signature, parseManifest(signature));
        const tag = fallbackTag(subject.digest);
        this.tags.add(tag);
        await this.place.listInFallback(subject.digest, entry, { signal });
        await this.noteIndex(tag);
      }
      this.findings.push({
        ...judgeReferrers({ by: 'fallback', isSubject: false, digests: [] }),
        ...(before.by === 'api' && { found: 'the referrers API does not list what was pushed' }),
        facts,
      });
    } catch (error) {
      this.findings.push(failing('referrers', failureOf(error, signal), SIGNED));
    }
  }

  private async areListed(subject: Digest, signatures: readonly ManifestContent[]): Promise<boolean> {
    const { signal } = this.options;
    for (const ms of LOOKS_MS) {
      if (ms > 0) await this.probes.pause(ms, { signal });
      const { digests } = await this.place.referrers(subject, { signal });
      if (signatures.every(({ descriptor }) => digests.includes(descriptor.digest))) return true;
    }
    return false;
  }

  private async tryMount(): Promise<void> {
    const { elsewhere, signal } = this.options;
    const into = elsewhere === undefined ? this.place : this.probes.repository(elsewhere);
    if (into !== this.place) this.mounted = into;
    const outcome = await into.mount(this.layer.descriptor, this.place.repository, { signal });
    const how = into === this.place ? ' (tried within the repository)' : '';
    this.findings.push(
      outcome === 'mounted'
        ? { check: 'mount', state: 'good', found: `blobs are mounted${how}`, facts: { outcome } }
        : {
            check: 'mount',
            state: 'around',
            found: outcome === 'upload' ? `answered by an upload${how}` : `refused${how}`,
            consequence: 'blobs are sent again',
            facts: { outcome },
          },
    );
  }

  /** The refusal of one PUT; undefined where it was done. */
  private async tries(work: () => Promise<PutFacts>): Promise<BullaError | undefined> {
    try {
      return (await work()).refusal;
    } catch (error) {
      return failureOf(error, this.options.signal);
    }
  }

  /**
   * Removes all that was pushed, also after an interruption, and notes what can be removed.
   * @returns what could not
   */
  private async cleanUp(): Promise<readonly string[]> {
    if (this.manifests.size === 0) return [];
    const { place } = this;
    const options = { signal: this.options.cleanUpEnds?.() };
    this.cleaning = options;
    for (const tag of this.tags) if (tag.startsWith('sha256-')) await this.noteIndex(tag);
    const indexes = [...this.indexes].reverse();
    const refusedTags: BullaError[] = [];
    for (const tag of this.tags) {
      const refusal = await place.remove('manifest', tag, options);
      if (refusal !== undefined) refusedTags.push(refusal);
    }
    this.noteRemoval('delete-tags', refusedTags[0], await this.remaining([...this.tags]));
    const refused: BullaError[] = [];
    for (const digest of [...indexes, ...[...this.manifests.keys()].reverse()]) {
      const refusal = await place.remove('manifest', digest, options);
      if (refusal !== undefined) refused.push(refusal);
    }
    const left = await this.remaining([...indexes, ...this.manifests.keys()]);
    this.noteRemoval('delete-manifests', refused[0], left);
    if (left.length === 0) await place.remove('blob', this.layer.descriptor.digest, options);
    if (this.mounted !== undefined) await this.mounted.remove('blob', this.layer.descriptor.digest, options);
    return [...(await this.remaining([...this.tags])), ...left];
  }

  /** What the fallback tag names now: an index that is not of our making, and has to go as well. */
  private async noteIndex(tag: Tag): Promise<void> {
    const digest = await this.tryDigestAt(tag);
    if (digest !== undefined && digest !== 'unknown') this.indexes.add(digest);
  }

  private noteRemoval(
    check: 'delete-tags' | 'delete-manifests',
    refusal: BullaError | undefined,
    left: readonly string[],
  ): void {
    const what = check === 'delete-tags' ? 'tags' : 'manifests';
    if (left.length === 0) {
      this.findings.push({ check, state: 'good', found: `${what} can be removed`, facts: { works: true } });
      return;
    }
    this.findings.push({
      check,
      state: 'around',
      found: `${what} cannot be removed: ${refusal === undefined ? 'they are still there' : words(refusal)}`,
      consequence:
        what === 'tags'
          ? 'the manifest is removed by its digest, and its tags with it'
          : 'signature rm does not work, and finished changes of collections stay: have the registry remove tags that begin with "_trust.next." and "_trust.stage." after two days',
      facts: { works: false, ...refusal?.details },
    });
  }

  /** Those of our objects that are still there, or may be. */
  private async remaining(references: readonly (Tag | Digest)[]): Promise<readonly string[]> {
    const left: string[] = [];
    for (const reference of references) {
      if ((await this.tryDigestAt(reference)) === undefined) continue;
      left.push(`${this.place.name}${reference.includes(':') ? '@' : ':'}${reference}`);
    }
    return left;
  }

  private async tryDigestAt(reference: Tag | Digest): Promise<Digest | 'unknown' | undefined> {
    try {
      return await this.place.digestAt(reference, this.cleaning ?? { signal: this.options.signal });
    } catch (error) {
      if (isBullaError(error)) return 'unknown';
      throw error;
    }
  }
}

/** Whether a refusal is about what was sent, and not about who sent it or when. */
function isAboutContent(refusal: BullaError): boolean {
  const { reason } = refusal.details;
  if (reason !== undefined) return reason === 'type-refused';
  const status = Number(refusal.details['status']);
  return status >= 400 && status < 500 && ![401, 403, 404, 408, 429].includes(status);
}

function refusedType(what: string, refusal: BullaError, breaks: readonly Ability[]): Finding {
  return {
    check: 'types',
    state: 'bad',
    found: `${what} are refused: ${refusal.message}`,
    consequence: 'allow OCI artifacts in the settings of the registry or its project, or use another one',
    facts: { artifact: what.startsWith('index'), index: false, ...refusal.details },
    code: refusal.code,
    breaks,
  };
}

function later(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : Math.max(a, b);
}

function readAfterWrite(stale: number | undefined): Finding {
  const check = 'read-after-write';
  if (stale === 0) return { check, state: 'good', found: 'at once', facts: { staleMs: 0 } };
  if (stale !== undefined) {
    return {
      check,
      state: 'around',
      found: `a tag showed what was before for up to ${stale / 1000} s`,
      consequence: 'what was written is looked for again before it is taken for lost',
      facts: { staleMs: stale },
    };
  }
  const waited = LOOKS_MS.reduce<number>((sum, ms) => sum + ms, 0);
  return {
    check,
    state: 'bad',
    found: `a tag did not show what was written for ${waited / 1000} s`,
    consequence:
      'a cache or a lagging replica stands between: have tags of manifests not cached, or write and read at one place',
    facts: { staleMs: null },
    code: 'registry-error',
    breaks: ['collections'],
  };
}
