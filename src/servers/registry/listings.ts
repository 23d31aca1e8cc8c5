import { MEDIA_TYPES } from '../../oci/media-types.ts';
import { isRepositoryName } from '../../oci/reference.ts';
import { digestIn, mustExist } from './blobs.ts';
import { answerBytes, answerJson, type Exchange, refuseMethod } from './exchange.ts';
import { Fault } from './faults.ts';
import type { Services } from './services.ts';
import type { Repository } from './store/store.ts';

/** Most names in one answer; the rest follows by Link. */
const MAX_PAGE = 100_000;
/** Clients read at most 4 MiB of an index, so that is where a page of referrers ends. */
const REFERRERS_PAGE_BYTES = 4 * 1024 * 1024 - 1024;
const REFERRERS_AT_ONCE = 64;

/** `GET /v2/_catalog` */
export function handleCatalog(services: Services, exchange: Exchange): void {
  mustBeGet(exchange);
  const { limit, last } = pageOf(exchange);
  const names = services.store.catalog.after(last, limit + 1);
  const repositories = names.slice(0, limit);
  answerJson(
    exchange,
    { repositories },
    linkHeader('/v2/_catalog', repositories, names.length > limit, limit),
  );
}

/** `GET /v2/<name>/tags/list` */
export async function handleTags(services: Services, exchange: Exchange, name: string): Promise<void> {
  mustBeGet(exchange);
  const { limit, last } = pageOf(exchange);
  await services.store.use(name, async (repository) => {
    const found = mustExist(repository, name).index.tagNames.after(last, limit + 1);
    const tags = found.slice(0, limit);
    answerJson(
      exchange,
      { name, tags },
      linkHeader(`/v2/${name}/tags/list`, tags, found.length > limit, limit),
    );
  });
}

function mustBeGet(exchange: Exchange): void {
  if (exchange.request.method !== 'GET' && !exchange.isHead) refuseMethod('GET, HEAD');
}

function pageOf(exchange: Exchange): { limit: number; last: string | undefined } {
  const n = exchange.query.get('n');
  if (n !== null && !/^[0-9]{1,9}$/.test(n))
    throw new Fault(400, 'PAGINATION_NUMBER_INVALID', 'n must be a number that is not negative');
  const last = exchange.query.get('last') ?? undefined;
  return { limit: Math.min(n === null ? MAX_PAGE : Number(n), MAX_PAGE), last };
}

function linkHeader(
  path: string,
  page: readonly string[],
  more: boolean,
  limit: number,
): Record<string, string> {
  const last = page.at(-1);
  if (!more || last === undefined) return {};
  return { Link: `<${path}?n=${limit}&last=${encodeURIComponent(last)}>; rel="next"` };
}

/** `GET /v2/<name>/referrers/<digest>`; a repository that is not there has no referrers. */
export async function handleReferrers(
  services: Services,
  exchange: Exchange,
  name: string,
  reference: string,
): Promise<void> {
  mustBeGet(exchange);
  const subject = digestIn(reference);
  const artifactType = exchange.query.get('artifactType') ?? undefined;
  const last = exchange.query.get('last') ?? undefined;
  await services.store.use(name, async (repository) => {
    const { entries, next } =
      repository === undefined || !isRepositoryName(name)
        ? { entries: [], next: undefined }
        : await referrersPage(services, repository, subject, artifactType, last);
    const query = new URLSearchParams();
    if (artifactType !== undefined) query.set('artifactType', artifactType);
    if (next !== undefined) query.set('last', next);
    answerBytes(
      exchange,
      200,
      MEDIA_TYPES.ociIndex,
      `{"schemaVersion":2,"mediaType":"${MEDIA_TYPES.ociIndex}","manifests":[${entries.join(',')}]}`,
      {
        ...(artifactType !== undefined && { 'OCI-Filters-Applied': 'artifactType' }),
        ...(next !== undefined && { Link: `</v2/${name}/referrers/${subject}?${query}>; rel="next"` }),
      },
    );
  });
}

/** Referrers after `last`, as JSON, as many as fit one answer; `next` is where the following page goes on. */
async function referrersPage(
  services: Services,
  repository: Repository,
  subject: ReturnType<typeof digestIn>,
  artifactType: string | undefined,
  last: string | undefined,
): Promise<{ entries: readonly string[]; next: string | undefined }> {
  const entries: string[] = [];
  let bytes = 0;
  let at = last;
  for (;;) {
    const digests = repository.index.referrersOf(subject)?.after(at, REFERRERS_AT_ONCE) ?? [];
    if (digests.length === 0) return { entries, next: undefined };
    const texts = await Promise.all(
      digests.map(async (digest) => {
        const entry = repository.index.manifests.get(digestIn(digest));
        if (entry === undefined || (artifactType !== undefined && entry.artifactType !== artifactType))
          return undefined;
        return await services.manifests.referrer(repository, entry);
      }),
    );
    for (const [i, text] of texts.entries()) {
      const length = text === undefined ? 0 : Buffer.byteLength(text) + 1;
      if (bytes + length > REFERRERS_PAGE_BYTES && entries.length > 0) return { entries, next: at };
      bytes += length;
      if (text !== undefined) entries.push(text);
      at = digests[i];
    }
  }
}
