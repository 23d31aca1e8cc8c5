import { type BullaError, isBullaError } from '../errors.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { streamOf } from '../oci/content.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { ManifestContent } from '../oci/manifest.ts';
import { CARRIED_TYPES, isCarriedType } from '../oci/media-types.ts';
import type {
  AfterTag,
  Agreement,
  ListingFacts,
  ManifestFacts,
  PutFacts,
  PutOptions,
  ReferrersFacts,
  RepositoryProbes,
} from '../oci/probes.ts';
import { isTag, type Tag } from '../oci/reference.ts';
import type { CallOptions } from '../oci/target.ts';
import { readDecoded } from './decoded.ts';
import { failureError, type RegistryFailure } from './failure.ts';
import { fetchOnce } from './manifests.ts';
import { MAX_PAGE_BYTES, PAGE_SIZE, parsePage } from './pages.ts';
import type { Writers } from './push.ts';
import { askReferrersApi, readFallback } from './referrers.ts';
import { refusalError } from './refusal.ts';
import { lookBehind } from './refused-manifest.ts';
import type { RepositoryContext } from './repository-context.ts';
import type { RegistryCall } from './session.ts';
import { cancelUpload, pushBlob, tryMount } from './uploads.ts';
import { blobPath, manifestPath, tagsPath } from './urls.ts';

const ACCEPT = CARRIED_TYPES.join(', ');
/** A digest that no content has, for a condition that cannot hold. */
const OTHER = `sha256:${'0'.repeat(64)}`;

/** Looks at what one repository does; see {@link RepositoryProbes}. */
export class RepositoryProbe implements RepositoryProbes {
  readonly name: string;
  readonly repository: string;
  private readonly room: RepositoryContext;
  private readonly writers: Writers;

  constructor(room: RepositoryContext, writers: Writers) {
    this.room = room;
    this.writers = writers;
    this.name = room.name;
    this.repository = room.repository;
  }

  async listing(options: CallOptions = {}): Promise<ListingFacts> {
    const nothing = { tags: [], sorted: true, link: undefined } as const;
    const unknown = { limit: 'unknown', after: 'unknown', afterAbsent: 'unknown' } as const;
    const whole = await this.page(tagsPath(this.room.repository), options);
    if ('refusal' in whole) return { ...nothing, ...unknown, refusal: whole.refusal };
    const { tags } = whole;
    const first = tags[0];
    const sorted = tags.every((tag, at) => at === 0 || (tags[at - 1] as Tag) < tag);
    if (first === undefined || tags.length < 2)
      return { ...nothing, ...unknown, tags, sorted, refusal: undefined };
    const one = await this.page(`${tagsPath(this.room.repository)}?n=1`, options);
    const last = [...tags].sort().at(-2) ?? first;
    const after = await this.after(last, tags, options);
    if (after !== 'unknown' && after !== 'ignored')
      await this.room.dialect.learn({ tags: after === 'after' ? 'after' : 'whole' });
    return {
      refusal: undefined,
      tags,
      sorted,
      limit: 'refusal' in one ? 'refused' : one.tags.length <= 1 ? 'honoured' : 'ignored',
      link: 'refusal' in one || one.tags.length > 1 ? undefined : one.link,
      after,
      afterAbsent: await this.after(absentBeside(last, tags), tags, options),
    };
  }

  async manifest(version: Tag | Digest, options: CallOptions = {}): Promise<ManifestFacts> {
    const to = manifestPath(this.room.repository, version);
    const { descriptor } = await fetchOnce(this.room, version, options);
    const got = await this.ask({ method: 'GET', to, headers: { accept: ACCEPT } }, options);
    await got.body.discard();
    const asked = await this.ask({ method: 'HEAD', to, headers: { accept: ACCEPT } }, options);
    await asked.body.discard();
    const head = {
      status: asked.status,
      digest: agreement(asked.headers.get('docker-content-digest'), descriptor.digest),
      length: agreement(asked.headers.get('content-length'), String(descriptor.size)),
      type: agreement(typeOf(asked), descriptor.mediaType),
    };
    const isTelling = asked.status === 200 && head.digest === 'same' && head.length === 'same';
    const works = isTelling && isCarriedType(typeOf(asked) ?? '');
    const again = await this.ask(
      { method: 'GET', to, headers: { accept: ACCEPT, 'if-none-match': `"${descriptor.digest}"` } },
      options,
    );
    await again.body.discard();
    const notModified = again.status === 304;
    await this.room.dialect.learn({
      // A breakdown may not come again.
      ...(asked.status < 500 && { head: works ? 'works' : 'get' }),
      ...(again.status < 400 && { conditional: notModified ? 'etag' : 'head' }),
    });
    return {
      descriptor,
      head,
      etag: got.headers.get('etag') !== undefined,
      notModified,
      digest: agreement(got.headers.get('docker-content-digest'), descriptor.digest),
    };
  }

  async referrers(subject: Digest, options: CallOptions = {}): Promise<ReferrersFacts> {
    const answer = await askReferrersApi(this.room, subject, options);
    if (answer.supported) {
      await this.room.dialect.learn({ referrers: 'api' });
      return { by: 'api', isSubject: false, digests: answer.entries.map(({ digest }) => digest) };
    }
    const { entries, isSubject } = await readFallback(this.room, subject, options);
    if (answer.certain) await this.room.dialect.learn({ referrers: 'fallback' });
    const by = answer.certain ? 'fallback' : undefined;
    return { by, isSubject, digests: entries.map(({ digest }) => digest) };
  }

  async digestAt(reference: Tag | Digest, options: CallOptions = {}): Promise<Digest | undefined> {
    try {
      return (await fetchOnce(this.room, reference, options)).descriptor.digest;
    } catch (error) {
      if (isBullaError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  async pushBlob(descriptor: Descriptor, bytes: Uint8Array, options: CallOptions = {}): Promise<void> {
    await pushBlob(this.room, descriptor, async () => streamOf(bytes), options);
  }

  async put(
    { descriptor, bytes }: ManifestContent,
    reference: Tag | Digest,
    options: PutOptions = {},
  ): Promise<PutFacts> {
    const call = {
      method: 'PUT',
      to: manifestPath(this.room.repository, reference),
      headers: {
        'content-type': descriptor.mediaType,
        ...(options.condition === 'if-match' && { 'if-match': `"${OTHER}"` }),
        ...(options.condition === 'if-none-match' && { 'if-none-match': '*' }),
      },
      body: bytes,
    } as const;
    const response = await this.ask({ ...call, access: this.room.scopes.write() }, options);
    const { status } = response;
    const subject = response.headers.get('oci-subject');
    if (status < 200 || status >= 300) {
      const failure = await this.room.session.failure(response);
      const { reason } =
        options.condition === undefined
          ? await lookBehind(this.room, { descriptor, bytes }, reference, failure, options)
          : { reason: undefined };
      const where = this.room.session.where(call);
      return { status, subject, refusal: refusalError(failure, where, 'manifest', { reference, reason }) };
    }
    await response.body.discard();
    return { status, subject, refusal: undefined };
  }

  listInFallback(subject: Digest, entry: Descriptor, options: CallOptions = {}): Promise<void> {
    return this.writers.fallback.change(this.room, subject, { add: entry }, options);
  }

  async mount(
    descriptor: Descriptor,
    from: string,
    { signal }: CallOptions = {},
  ): Promise<'mounted' | 'upload' | 'refused'> {
    const outcome = await tryMount(this.room, descriptor, from, signal);
    if (outcome === undefined) return 'refused';
    if (outcome === 'mounted') return 'mounted';
    await cancelUpload(this.room, outcome);
    return 'upload';
  }

  async remove(
    what: 'manifest' | 'blob',
    reference: Tag | Digest,
    options: CallOptions = {},
  ): Promise<BullaError | undefined> {
    const path = what === 'blob' ? blobPath(this.room.repository, reference as Digest) : undefined;
    const to = path ?? manifestPath(this.room.repository, reference);
    const call = { method: 'DELETE', to, access: this.room.scopes.remove() } as const;
    try {
      const response = await this.ask(call, options);
      if (response.status === 404 || response.status < 300) {
        await response.body.discard();
        return undefined;
      }
      return await this.refusal(call, response);
    } catch (error) {
      if (isBullaError(error)) return error;
      throw error;
    }
  }

  /** Any answer, whatever its status; a breakdown is told rather than waited for. */
  private ask(
    call: Pick<RegistryCall, 'method' | 'to' | 'headers' | 'body'> & Partial<Pick<RegistryCall, 'access'>>,
    { signal }: CallOptions,
  ): Promise<HttpResponse> {
    const access = call.access ?? this.room.scopes.read();
    return this.room.session.call({ ...call, access, expect: 'any', retry: 'throttled', signal });
  }

  private async refusal(
    call: Pick<RegistryCall, 'method' | 'to'>,
    response: HttpResponse,
  ): Promise<BullaError> {
    const failure: RegistryFailure = await this.room.session.failure(response);
    return failureError(failure, this.room.session.where(call));
  }

  private async page(path: string, options: CallOptions): Promise<Page | { readonly refusal: BullaError }> {
    const call = { method: 'GET', to: path, headers: { accept: 'application/json' } } as const;
    const response = await this.ask(call, options);
    if (response.status !== 200) return { refusal: await this.refusal(call, response) };
    const what = `${this.room.session.where(call)}: the list`;
    const names = parsePage(await readDecoded(response, MAX_PAGE_BYTES, what), 'tags', what);
    return { tags: names.filter(isTag), link: response.headers.get('link') !== undefined };
  }

  /** What `last=` gives, with all tags that there are. */
  private async after(last: Tag, all: readonly Tag[], options: CallOptions): Promise<AfterTag> {
    const page = await this.page(tagsPath(this.room.repository, { n: PAGE_SIZE, last }), options);
    // A breakdown tells nothing of the question.
    if ('refusal' in page) return Number(page.refusal.details['status']) < 500 ? 'refused' : 'unknown';
    const { tags } = page;
    if (tags.length === 0) return all.some((tag) => tag > last) ? 'empty' : 'after';
    if (tags.every((tag, at) => ((at === 0 ? last : tags[at - 1]) as Tag) < tag)) return 'after';
    return tags.length >= all.length ? 'ignored' : 'unordered';
  }
}

interface Page {
  readonly tags: readonly Tag[];
  readonly link: boolean;
}

/** A tag that is not there and comes just after `tag`, in byte order. */
function absentBeside(tag: Tag, tags: readonly Tag[]): Tag {
  const before = `${tag.slice(0, 100)}-` as Tag;
  return tags.includes(before) ? (`${before}-` as Tag) : before;
}

function typeOf(response: HttpResponse): string | undefined {
  return response.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase();
}

function agreement(found: string | undefined, expected: string): Agreement {
  if (found === undefined || found === '') return 'missing';
  return found === expected ? 'same' : 'other';
}
