import type { Digest } from '../../oci/digest.ts';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import { digestIn, mustExist } from './blobs.ts';
import { answerPieces, refuseMethod, type ServerExchange } from './exchange.ts';
import { Fault } from './faults.ts';
import type { Services } from './services.ts';
import { annotationsLength } from './store/annotations.ts';
import type { ManifestEntry } from './store/repository.ts';
import type { SortedSet } from './store/sorted-set.ts';
import type { StoredRepository } from './store/store.ts';

/** Most names in one answer; the rest follows by Link. */
const MAX_PAGE = 100_000;
/** Clients read at most 4 MiB of an index, so that is where a page of referrers ends. */
const REFERRERS_PAGE_BYTES = 4 * 1024 * 1024 - 1024;
/** Looked up in an index, or written into an answer, at a time. */
const NAMES_AT_ONCE = 256;
const REFERRERS_AT_ONCE = 32;
/** Annotations that are read from their files at the same time for one answer, in bytes. */
const READ_AT_ONCE_BYTES = 64 * 1024;
const JSON_TYPE = 'application/json';

/** `GET /v2/_catalog` */
export async function handleCatalog(services: Services, exchange: ServerExchange): Promise<void> {
  mustBeGet(exchange);
  const page = pageOf(askedOf(exchange), services.store.catalog);
  await answerPieces(
    exchange,
    JSON_TYPE,
    namesIn('{"repositories":[', services.store.catalog, page),
    linkHeader('/v2/_catalog', page),
  );
}

/** `GET /v2/<name>/tags/list` */
export async function handleTags(services: Services, exchange: ServerExchange, name: string): Promise<void> {
  mustBeGet(exchange);
  const asked = askedOf(exchange);
  await services.store.use(name, async (repository) => {
    const { tagNames } = mustExist(repository, name).index;
    const page = pageOf(asked, tagNames);
    const start = `{"name":${JSON.stringify(name)},"tags":[`;
    await answerPieces(
      exchange,
      JSON_TYPE,
      namesIn(start, tagNames, page),
      linkHeader(`/v2/${name}/tags/list`, page),
    );
  });
}

function mustBeGet(exchange: ServerExchange): void {
  if (exchange.request.method !== 'GET' && !exchange.isHead) refuseMethod('GET, HEAD');
}

/** What is asked for of a list of names: so many, after this one. */
interface Asked {
  readonly limit: number;
  readonly after: string | undefined;
}

interface Page extends Asked {
  /** The last name in it; undefined where it is empty. */
  readonly last: string | undefined;
  /** Whether there are names after it. */
  readonly more: boolean;
}

/** @throws Fault 400 */
function askedOf(exchange: ServerExchange): Asked {
  const n = exchange.query.get('n');
  if (n !== null && !/^[0-9]{1,9}$/.test(n))
    throw new Fault(400, 'PAGINATION_NUMBER_INVALID', 'n must be a number that is not negative');
  const after = exchange.query.get('last') ?? undefined;
  return { limit: Math.min(n === null ? MAX_PAGE : Number(n), MAX_PAGE), after };
}

function pageOf(asked: Asked, names: SortedSet): Page {
  return { ...asked, ...names.pageAfter(asked.after, asked.limit) };
}

/** JSON of a page of names. It goes by the first and the last of them: the list may change meanwhile. */
async function* namesIn(start: string, names: SortedSet, page: Page): AsyncGenerator<string, void, void> {
  yield start;
  let separator = '';
  const { last } = page;
  for (let at = page.after; last !== undefined && (at === undefined || at < last); ) {
    const some = names.after(at, NAMES_AT_ONCE).filter((name) => name <= last);
    if (some.length === 0) break;
    yield `${separator}${some.map((name) => JSON.stringify(name)).join(',')}`;
    separator = ',';
    at = some.at(-1);
  }
  yield ']}';
}

function linkHeader(path: string, { last, more, limit }: Page): Record<string, string> {
  if (!more || last === undefined) return {};
  return { Link: `<${path}?n=${limit}&last=${encodeURIComponent(last)}>; rel="next"` };
}

/** `GET /v2/<name>/referrers/<digest>`; a repository that is not there has no referrers. */
export async function handleReferrers(
  services: Services,
  exchange: ServerExchange,
  name: string,
  reference: string,
): Promise<void> {
  mustBeGet(exchange);
  const subject = digestIn(reference);
  const artifactType = exchange.query.get('artifactType') ?? undefined;
  const last = exchange.query.get('last') ?? undefined;
  await services.store.use(name, async (repository) => {
    const { entries, next } =
      repository === undefined
        ? { entries: [], next: undefined }
        : referrersPage(repository, subject, artifactType, last);
    const query = new URLSearchParams();
    if (artifactType !== undefined) query.set('artifactType', artifactType);
    if (next !== undefined) query.set('last', next);
    await answerPieces(exchange, MEDIA_TYPES.ociIndex, referrersIn(services, repository, entries), {
      ...(artifactType !== undefined && { 'OCI-Filters-Applied': 'artifactType' }),
      ...(next !== undefined && { Link: `</v2/${name}/referrers/${subject}?${query}>; rel="next"` }),
    });
  });
}

/** Referrers after `last`, as many as fit one answer; `next` is where the following page goes on. */
function referrersPage(
  repository: StoredRepository,
  subject: Digest,
  artifactType: string | undefined,
  last: string | undefined,
): { entries: readonly ManifestEntry[]; next: string | undefined } {
  const { index } = repository;
  const entries: ManifestEntry[] = [];
  let bytes = 0;
  let at = last;
  for (;;) {
    const digests = index.referrersOf(subject)?.after(at, NAMES_AT_ONCE) ?? [];
    if (digests.length === 0) return { entries, next: undefined };
    for (const digest of digests) {
      const entry = index.manifests.get(digest as Digest);
      if (entry !== undefined && (artifactType === undefined || entry.artifactType === artifactType)) {
        const length = Buffer.byteLength(headOf(entry)) + annotationsLength(entry.listed) + 32;
        if (bytes + length > REFERRERS_PAGE_BYTES && entries.length > 0) return { entries, next: at };
        bytes += length;
        entries.push(entry);
      }
      at = digest;
    }
  }
}

/** JSON of a page of referrers, in pieces. */
async function* referrersIn(
  { manifests }: Services,
  repository: StoredRepository | undefined,
  entries: readonly ManifestEntry[],
): AsyncGenerator<Uint8Array | string, void, void> {
  yield `{"schemaVersion":2,"mediaType":"${MEDIA_TYPES.ociIndex}","manifests":[`;
  let separator = '';
  for (let at = 0; repository !== undefined && at < entries.length; ) {
    const some = readTogether(entries, at);
    at += some.length;
    const [first] = some;
    if (some.length === 1 && first !== undefined) {
      yield separator;
      yield* descriptorIn(first, manifests.annotations(repository, first));
    } else {
      const texts = await Promise.all(
        some.map(async (entry) => {
          const pieces: (Uint8Array | string)[] = [];
          for await (const piece of descriptorIn(entry, manifests.annotations(repository, entry)))
            pieces.push(piece);
          return Buffer.concat(pieces.map((piece) => Buffer.from(piece)));
        }),
      );
      for (const text of texts) {
        yield separator;
        yield text;
        separator = ',';
      }
    }
    separator = ',';
  }
  yield ']}';
}

/** Entries from `at` whose annotations are read at the same time: one, or several that are small. */
function readTogether(entries: readonly ManifestEntry[], at: number): readonly ManifestEntry[] {
  let bytes = 0;
  let end = at;
  while (end < entries.length && end - at < REFERRERS_AT_ONCE) {
    bytes += annotationsLength(entries[end]?.listed);
    if (bytes > READ_AT_ONCE_BYTES && end > at) break;
    end++;
  }
  return entries.slice(at, end);
}

/** A referrer as it is listed (distribution-spec, "Listing Referrers"). */
async function* descriptorIn(
  entry: ManifestEntry,
  annotations: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array | string, void, void> {
  const head = headOf(entry);
  let isFirst = true;
  for await (const piece of annotations) {
    if (isFirst) yield `${head},"annotations":`;
    isFirst = false;
    yield piece;
  }
  yield isFirst ? `${head}}` : '}';
}

/** JSON of an entry without its annotations and its end. */
function headOf({ mediaType, digest, size, artifactType }: ManifestEntry): string {
  return JSON.stringify({ mediaType, digest, size, artifactType }).slice(0, -1);
}
