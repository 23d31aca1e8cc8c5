import { BullaError, isBullaError } from '../errors.ts';
import { within } from '../http/deadline.ts';
import type { HttpResponse } from '../http/exchange.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../oci/manifest.ts';
import { MEDIA_TYPES } from '../oci/media-types.ts';
import { fallbackTag } from '../oci/reference.ts';
import {
  filterReferrers,
  MAX_PAGE_ENTRIES,
  MAX_REFERRERS,
  MAX_REFERRERS_ANNOTATIONS,
  MAX_REFERRERS_BYTES,
  parseReferrersIndex,
  referrerDescriptor,
  slimReferrer,
} from '../oci/referrers.ts';
import type { CallOptions, ReferrersOptions } from '../oci/target.ts';
import { readDecoded } from './decoded.ts';
import { failureError, isUnsupported } from './failure.ts';
import { nextLink, nextPage } from './link.ts';
import { fetchManifest, fetchOnce } from './manifests.ts';
import type { RepositoryContext } from './repository-context.ts';
import { referrersPath } from './urls.ts';

/** What the referrers API answered. */
export type ApiAnswer =
  | { readonly supported: true; readonly entries: readonly Descriptor[] }
  /** `certain`: it is the registry that has no such API, not the repository that is unknown to it. */
  | { readonly supported: false; readonly certain: boolean; readonly isDiverted: boolean };

/** What stands at the fallback tag. */
export interface FallbackIndex {
  readonly entries: readonly Descriptor[];
  /** Of the index; undefined where there is none. */
  readonly digest: Digest | undefined;
  /** The registry interprets the tag as the subject's digest (GitLab): there can't be an index. */
  readonly isSubject: boolean;
}

/** An index of signatures with more pages than this is an attack. */
export const MAX_REFERRERS_PAGES = 1000;
const REDIRECTS = [301, 302, 303, 307, 308];

/**
 * Asks the referrers API. It is used only if it answers 200 with an index: redirects to other
 * hosts, pages for people and "no such path" mean that there is none. A refusal or a breakdown is an
 * error: a failed search for signatures must never look like there are none.
 */
export async function askReferrersApi(
  room: RepositoryContext,
  subject: Digest,
  options: Omit<ReferrersOptions, 'fallbackToo'> = {},
): Promise<ApiAnswer> {
  const base = referrersPath(room.repository, subject);
  const kept = new KeptReferrers(options);
  let path: string | undefined = referrersPath(room.repository, subject, options.artifactType);
  for (let pages = 0; path !== undefined; pages++) {
    const response: HttpResponse = await room.session.call({
      method: 'GET',
      to: path,
      access: room.scopes.read(),
      headers: { accept: MEDIA_TYPES.ociIndex },
      expect: [200, 400, 404, 405, 406, 501, ...REDIRECTS],
      stayOnHost: true,
      signal: options.signal,
    });
    const found = await readPage(room, path, response);
    // A list that breaks off is not "no list": what it held so far must not be lost to the fallback tag.
    if (typeof found !== 'object' && pages > 0) throw brokenOff(room, subject);
    if (typeof found === 'string')
      return { supported: false, certain: found !== 'unknown', isDiverted: found === 'diverted' };
    const next = pageAfter(room, response, base);
    if (!kept.add(found) || (next !== undefined && (kept.isFull || pages + 1 >= MAX_REFERRERS_PAGES))) {
      const reason = tooMany(room, subject, kept.bytes);
      if (options.onCut === undefined) throw reason;
      options.onCut(reason);
      return { supported: true, entries: kept.entries };
    }
    path = next;
  }
  return { supported: true, entries: kept.entries };
}

interface Page {
  readonly entries: readonly Descriptor[];
  readonly bytes: number;
}

/** What is kept of the pages of a list, within what one list may cost. */
class KeptReferrers {
  readonly entries: Descriptor[] = [];
  bytes = 0;
  private annotations = 0;
  private readonly options: Pick<ReferrersOptions, 'artifactType' | 'keep'>;

  constructor(options: Pick<ReferrersOptions, 'artifactType' | 'keep'>) {
    this.options = options;
  }

  /** Whether no more is to be read. */
  get isFull(): boolean {
    return this.bytes >= MAX_REFERRERS_BYTES;
  }

  /** @returns false where not all of it could be kept */
  add({ entries, bytes }: Page): boolean {
    const { artifactType, keep } = this.options;
    this.bytes += bytes;
    for (const entry of filterReferrers(entries, artifactType)) {
      if (keep?.(entry) === false) continue;
      this.annotations += Object.keys(entry.annotations ?? {}).length;
      if (this.entries.length >= MAX_REFERRERS || this.annotations > MAX_REFERRERS_ANNOTATIONS) return false;
      this.entries.push(slimReferrer(entry));
    }
    return true;
  }
}

/**
 * Entries of a page; `missing` where it shows that there is no such API, `diverted` where it shows that by a redirect or
 * a page for people, as some registries do; `unknown` where it shows nothing.
 */
async function readPage(
  room: RepositoryContext,
  path: string,
  response: HttpResponse,
): Promise<Page | 'missing' | 'diverted' | 'unknown'> {
  if (REDIRECTS.includes(response.status)) {
    await response.body.discard();
    return 'diverted';
  }
  const where = room.session.where({ method: 'GET', to: path });
  if (response.status !== 200) {
    const failure = await room.session.failure(response);
    if (failure.codes.includes('NAME_UNKNOWN')) return 'unknown';
    if (response.status !== 400 || isUnsupported(failure)) return 'missing';
    throw failureError(failure, where);
  }
  const bytes = await readDecoded(response, MAX_MANIFEST_BYTES, where);
  try {
    return { entries: parseReferrersIndex(bytes, where, MAX_PAGE_ENTRIES), bytes: bytes.byteLength };
  } catch (error) {
    // A page for people says that there is no such API; a list that is too long or damaged does not.
    if (isBullaError(error, 'content-invalid') && !callsItselfIndex(response)) return 'diverted';
    throw error;
  }
}

function callsItselfIndex(response: HttpResponse): boolean {
  return (
    response.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase() === MEDIA_TYPES.ociIndex
  );
}

function diverted(room: RepositoryContext, subject: Digest): BullaError {
  return new BullaError(
    'registry-error',
    `${room.name}: in place of the list of what refers to ${subject}, which the registry has, there is a redirect or a page`,
    { hint: 'a proxy or a login page may be in between: try again later' },
  );
}

function brokenOff(room: RepositoryContext, subject: Digest): BullaError {
  return new BullaError('registry-error', `${room.name}: the list of what refers to ${subject} breaks off`, {
    hint: 'the registry gave the first part of it and not the next; try again later',
  });
}

function pageAfter(room: RepositoryContext, response: HttpResponse, base: string): string | undefined {
  const link = nextLink(response.headers.all('link'));
  if (link === undefined) return undefined;
  const next = nextPage(link, base);
  if (next !== undefined) return next;
  throw new BullaError(
    'registry-error',
    `${room.name}: the list of referrers continues on another endpoint, which is refused`,
    {
      hint: 'the registry is misconfigured or hostile; the list would be incomplete',
    },
  );
}

/**
 * Reads the fallback index of a subject.
 * @throws BullaError content-invalid where the tag holds something else
 */
export async function readFallback(
  room: RepositoryContext,
  subject: Digest,
  options: CallOptions = {},
): Promise<FallbackIndex> {
  const tag = fallbackTag(subject);
  try {
    const { descriptor, bytes } = await fetchOnce(room, tag, options);
    if (descriptor.digest === subject) return { entries: [], digest: undefined, isSubject: true };
    const what = `${room.name}:${tag}`;
    if (descriptor.mediaType !== MEDIA_TYPES.ociIndex) throw notAnIndex(what, descriptor.mediaType);
    return { entries: parseReferrersIndex(bytes, what), digest: descriptor.digest, isSubject: false };
  } catch (error) {
    if (!isBullaError(error, 'not-found')) throw error;
    return NO_INDEX;
  }
}

const NO_INDEX: FallbackIndex = { entries: [], digest: undefined, isSubject: false };

/** Begins what {@link listReferrers} would wait for beside the registry's answers. */
export async function prepareReferrers(room: RepositoryContext): Promise<void> {
  const { referrers } = await room.dialect.get();
  // Both places will be asked at the same time.
  if (referrers === undefined) room.session.connectEarly();
}

/** What refers to `subject`: see ReferrersLister, and spec/decisions on the order of asking. */
export function listReferrers(
  room: RepositoryContext,
  subject: Digest,
  options: ReferrersOptions = {},
): Promise<readonly Descriptor[]> {
  return within(room.searchMs, `${room.name}: what refers to ${subject}`, options.signal, (signal) =>
    listInTime(room, subject, { ...options, signal }),
  );
}

async function listInTime(
  room: RepositoryContext,
  subject: Digest,
  options: ReferrersOptions,
): Promise<readonly Descriptor[]> {
  const { artifactType, tags } = options;
  const { referrers } = await room.dialect.get();
  const index = (): Promise<FallbackIndex> => readListedFallback(room, subject, options);
  // Of a registry that has shown that it has no such API, the list of tags tells the rest.
  if (tags !== undefined && referrers === 'fallback' && room.dialect.wasSeen('referrers'))
    return unique(await withType(room, (await index()).entries, options));
  const both = options.fallbackToo === true || referrers === undefined;
  const asked = both || referrers === 'api' ? settle(askReferrersApi(room, subject, options)) : undefined;
  const looked = both || referrers === 'fallback' ? settle(index()) : undefined;
  const api = value(await (asked ?? undefined));
  const isDiverted = await learnReferrers(room, api);
  if (api?.supported === true) {
    const seen = await looked;
    // Where the API answers, the tag is a bonus, unless it was asked for.
    const extra =
      seen === undefined || ('error' in seen && options.fallbackToo !== true) ? undefined : value(seen);
    const typed = await withType(room, extra?.entries ?? [], options);
    return unique([...filterReferrers(api.entries, artifactType), ...typed]);
  }
  const fallback = value(await looked) ?? (await index());
  if (fallback.digest !== undefined) return unique(await withType(room, fallback.entries, options));
  if (isDiverted) throw diverted(room, subject);
  if (api !== undefined) return [];
  // What was remembered of the registry may be old; "none" is only said by one that was asked.
  const now = await askReferrersApi(room, subject, options);
  await learnReferrers(room, now);
  return now.supported ? unique(filterReferrers(now.entries, artifactType)) : [];
}

/** @returns whether a registry that is known to have the API sent us elsewhere: it did not lose it, something is in between */
async function learnReferrers(room: RepositoryContext, answer: ApiAnswer | undefined): Promise<boolean> {
  if (answer === undefined) return false;
  if (answer.supported) await room.dialect.learn({ referrers: 'api' });
  else if (answer.isDiverted && (await room.dialect.get()).referrers === 'api') return true;
  else if (answer.certain) await room.dialect.learn({ referrers: 'fallback' });
  return false;
}

/** As {@link readFallback}, without asking for a tag that is known not to be there. */
async function readListedFallback(
  room: RepositoryContext,
  subject: Digest,
  { tags, signal }: ReferrersOptions,
): Promise<FallbackIndex> {
  return tags?.has(fallbackTag(subject)) === false ? NO_INDEX : await readFallback(room, subject, { signal });
}

type Settled<T> = { readonly value: T } | { readonly error: unknown };

/** So that the failure of one of two requests is looked at when its turn comes, and not lost. */
async function settle<T>(work: Promise<T>): Promise<Settled<T>> {
  try {
    return { value: await work };
  } catch (error) {
    return { error };
  }
}

function value<T>(settled: Settled<T> | undefined): T | undefined {
  if (settled === undefined) return undefined;
  if ('error' in settled) throw settled.error;
  return settled.value;
}

/**
 * Entries of one type. Some tools lose the type of entries in a fallback index (cosign, skopeo): it is
 * then read from the manifest.
 */
async function withType(
  room: RepositoryContext,
  entries: readonly Descriptor[],
  { artifactType, signal, onCut }: ReferrersOptions,
): Promise<readonly Descriptor[]> {
  if (artifactType === undefined) return entries;
  const typed: Descriptor[] = [];
  let bytes = 0;
  for (const entry of entries) {
    if (entry.artifactType !== undefined) {
      typed.push(entry);
      continue;
    }
    if (bytes >= MAX_REFERRERS_BYTES) {
      const reason = tooMuchUntyped(room, bytes);
      if (onCut === undefined) throw reason;
      onCut(reason);
      break;
    }
    const read = await readType(room, entry, { signal });
    bytes += read.bytes;
    typed.push(...read.entries);
  }
  return filterReferrers(typed, artifactType);
}

async function readType(room: RepositoryContext, entry: Descriptor, options: CallOptions): Promise<Page> {
  let bytes = 0;
  try {
    const content = await fetchManifest(room, entry.digest, options);
    bytes = content.bytes.byteLength;
    return { entries: [slimReferrer(referrerDescriptor(content, parseManifest(content)))], bytes };
  } catch (error) {
    // An entry whose manifest is gone, or is invalid, refers to nothing.
    if (isBullaError(error, 'not-found', 'content-invalid')) return { entries: [], bytes };
    throw error;
  }
}

function unique(entries: readonly Descriptor[]): readonly Descriptor[] {
  const byDigest = new Map<Digest, Descriptor>();
  for (const entry of entries) if (!byDigest.has(entry.digest)) byDigest.set(entry.digest, entry);
  return [...byDigest.values()];
}

function tooMany(room: RepositoryContext, subject: Digest, bytes: number): BullaError {
  return new BullaError(
    'content-invalid',
    `${room.name}: the list of what refers to ${subject} continues after ${bytes} bytes; it is read only up to ${MAX_REFERRERS} entries, ${MAX_REFERRERS_ANNOTATIONS} annotations and ${MAX_REFERRERS_BYTES} bytes`,
    {
      hint: 'the list of signatures is flooded: what comes after that is not known; remove what does not belong there',
      details: { reason: 'budget' },
    },
  );
}

function tooMuchUntyped(room: RepositoryContext, bytes: number): BullaError {
  return new BullaError(
    'content-invalid',
    `${room.name}: the types of listed manifests are not told by the list, and ${bytes} bytes were read to learn them`,
    {
      hint: 'the list of referrers is flooded; remove what does not belong there',
      details: { reason: 'budget' },
    },
  );
}

function notAnIndex(what: string, mediaType: string): BullaError {
  return new BullaError('content-invalid', `${what} should be the list of referrers and is a ${mediaType}`, {
    hint: 'another object is at that tag; nothing is known about signatures until it is removed',
  });
}
