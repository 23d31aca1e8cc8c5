import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RegistryBehaviour } from './behaviour.ts';
import { digestLike, type StoredRepository } from './store.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';

/** One request, routed. */
export interface Routed {
  readonly method: string;
  readonly repository: string;
  readonly store: StoredRepository;
  readonly url: URL;
  readonly request: IncomingMessage;
  readonly body: Buffer;
  readonly response: ServerResponse;
  readonly behaviour: RegistryBehaviour;
  /** Another repository, to mount from. */
  readonly other: (name: string) => StoredRepository | undefined;
}

export function fail(response: ServerResponse, status: number, code: string, message: string = code): void {
  response
    .writeHead(status, { 'content-type': 'application/json' })
    .end(JSON.stringify({ errors: [{ code, message }] }));
}

function resolveReference({ store, behaviour, method }: Routed, reference: string): string | undefined {
  if (reference.includes(':')) return reference;
  if (behaviour.gitlabTags === true && /^sha256-[0-9a-f]{64}$/.test(reference))
    return reference.replace('-', ':');
  if (method === 'GET' && (behaviour.staleReads ?? 0) > 0 && store.before.has(reference)) {
    behaviour.staleReads = (behaviour.staleReads ?? 0) - 1;
    return store.before.get(reference);
  }
  return store.tags.get(reference);
}

export function manifests(routed: Routed, reference: string): void {
  if (routed.method === 'PUT') putManifest(routed, reference);
  else if (routed.method === 'DELETE') deleteManifest(routed, reference);
  else getManifest(routed, reference);
}

function getManifest(routed: Routed, reference: string): void {
  const { request, response, store, behaviour, method } = routed;
  const digest = resolveReference(routed, reference);
  const found = digest === undefined ? undefined : store.manifests.get(digest);
  // As distribution has it: */* is no type that a manifest has.
  const accepted = found !== undefined && (request.headers.accept ?? '').includes(found.mediaType);
  if (found === undefined || digest === undefined || !accepted) {
    fail(response, 404, 'MANIFEST_UNKNOWN');
    return;
  }
  const headers = {
    'content-type': found.mediaType,
    'content-length': found.bytes.length,
    'docker-content-digest': digest,
    ...(behaviour.etag !== false && { etag: `"${digest}"` }),
  };
  if (behaviour.etag !== false && request.headers['if-none-match'] === `"${digest}"`) {
    response.writeHead(304, { etag: `"${digest}"`, 'docker-content-digest': digest }).end();
  } else {
    response.writeHead(200, headers).end(method === 'HEAD' ? undefined : found.bytes);
  }
}

function putManifest(routed: Routed, reference: string): void {
  const { request, response, store, behaviour, repository, body } = routed;
  const isTag = !reference.includes(':');
  const current = isTag ? store.tags.get(reference) : undefined;
  if (isTag && current !== undefined && behaviour.immutableTags?.test(reference) === true) {
    if (behaviour.immutableAnswer !== undefined) {
      const { status, body: words, type } = behaviour.immutableAnswer;
      response.writeHead(status, { 'content-type': type ?? 'application/json' }).end(words);
      return;
    }
    fail(
      response,
      400,
      'TAG_INVALID',
      `The image tag '${reference}' already exists and cannot be overwritten because the repository is immutable.`,
    );
    return;
  }
  if (behaviour.conditionalPut === true) {
    const match = request.headers['if-match'];
    const none = request.headers['if-none-match'];
    if ((match !== undefined && match !== `"${current}"`) || (none === '*' && current !== undefined)) {
      fail(response, 412, 'PRECONDITION_FAILED');
      return;
    }
  }
  const digest = digestLike(isTag ? 'sha256' : reference, body);
  if (!isTag && digest !== reference) {
    fail(response, 400, 'DIGEST_INVALID');
    return;
  }
  let manifest: {
    config?: { digest: string };
    layers?: { digest: string }[];
    manifests?: { digest: string }[];
    subject?: { digest: string };
  };
  try {
    manifest = JSON.parse(body.toString());
  } catch {
    fail(response, 400, 'MANIFEST_INVALID');
    return;
  }
  const blobs = [manifest.config, ...(manifest.layers ?? [])].filter((part) => part !== undefined);
  const whole =
    blobs.every((part) => store.blobs.has(part.digest)) &&
    (manifest.manifests ?? []).every((part) => store.manifests.has(part.digest));
  if (behaviour.checkParts !== false && !whole) {
    fail(response, 400, 'MANIFEST_BLOB_UNKNOWN');
    return;
  }
  store.manifests.set(digest, { bytes: body, mediaType: request.headers['content-type'] ?? '' });
  if (isTag) store.setTag(reference, digest);
  const headers: Record<string, string> = {
    location: `/v2/${repository}/manifests/${digest}`,
    'docker-content-digest': digest,
  };
  if (manifest.subject !== undefined && manifest.subject !== null) {
    const forgets = (behaviour.forgetReferrers ?? 0) > 0;
    if (forgets) behaviour.forgetReferrers = (behaviour.forgetReferrers ?? 0) - 1;
    else store.list(manifest.subject.digest, digest);
    if (behaviour.ociSubject ?? behaviour.referrersApi !== false)
      headers['oci-subject'] = manifest.subject.digest;
  }
  if (isTag) behaviour.afterTagPut?.(repository, reference);
  response.writeHead(201, headers).end();
}

function deleteManifest(routed: Routed, reference: string): void {
  const { response, store, behaviour } = routed;
  const deletion = behaviour.deletion ?? 'all';
  const isTag = !reference.includes(':');
  if (deletion === 'none') fail(response, 405, 'UNSUPPORTED', 'The operation is unsupported.');
  else if (isTag && deletion === 'manifests') fail(response, 400, 'DIGEST_INVALID');
  else if (isTag) {
    if (store.tags.delete(reference)) response.writeHead(202).end();
    else fail(response, 404, 'MANIFEST_UNKNOWN');
  } else if (store.manifests.has(reference)) {
    store.deleteManifest(reference);
    response.writeHead(202).end();
  } else fail(response, 404, 'MANIFEST_UNKNOWN');
}

export function referrers(routed: Routed, subject: string): void {
  const { response, store, behaviour, url, repository } = routed;
  if (behaviour.referrersApi === false) {
    response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' }).end('404 page not found\n');
    return;
  }
  const type = url.searchParams.get('artifactType');
  const filtered = behaviour.filters === true && type !== null;
  const all = store.referrersOf(subject).filter((entry) => !filtered || entry['artifactType'] === type);
  const from = Number(url.searchParams.get('page') ?? '0');
  const size = behaviour.referrersPage ?? all.length;
  const headers: Record<string, string> = { 'content-type': INDEX };
  if (filtered) headers['oci-filters-applied'] = 'artifactType';
  if (from + size < all.length) {
    const next = new URLSearchParams({
      ...(type !== null && { artifactType: type }),
      page: String(from + size),
    });
    headers['link'] = `</v2/${repository}/referrers/${subject}?${next}>; rel="next"`;
  }
  response
    .writeHead(200, headers)
    .end(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: all.slice(from, from + size) }));
}

export function tags(routed: Routed): void {
  const { response, store, behaviour, url, repository } = routed;
  const order = [...store.tags.keys()];
  if (store.manifests.size === 0) {
    fail(response, 404, 'NAME_UNKNOWN');
    return;
  }
  const body = (names: readonly string[] | null): string => JSON.stringify({ name: repository, tags: names });
  const own = behaviour.tagDialect?.(url.searchParams, order);
  if (own !== undefined && 'refuse' in own) {
    fail(response, own.refuse, own.code ?? 'UNSUPPORTED');
    return;
  }
  if (own !== undefined) {
    const link =
      own.next === undefined ? {} : { link: `</v2/${repository}/tags/list?${own.next}>; rel="next"` };
    response.writeHead(200, { 'content-type': 'application/json', ...link }).end(body(own.tags));
    return;
  }
  if (behaviour.unsortedTags === true) {
    response.writeHead(200, { 'content-type': 'application/json' }).end(body(order.reverse()));
    return;
  }
  const last = url.searchParams.get('last') ?? '';
  const sorted = order.sort().filter((tag) => tag > last);
  const n = Math.min(
    Number(url.searchParams.get('n') ?? '1000'),
    behaviour.tagsPage ?? Number.POSITIVE_INFINITY,
  );
  const page = sorted.slice(0, n);
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (page.length < sorted.length) {
    const next = new URLSearchParams({ n: String(n), last: page.at(-1) ?? '' });
    headers['link'] = `</v2/${repository}/tags/list?${next}>; rel="next"`;
  }
  response.writeHead(200, headers).end(body(page));
}

export function blobs(routed: Routed, digest: string): void {
  const { request, response, store, behaviour, method } = routed;
  const blob = store.blobs.get(digest);
  if (blob === undefined) {
    fail(response, 404, 'BLOB_UNKNOWN');
    return;
  }
  const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
  const from = range === undefined || behaviour.ranges === false ? 0 : Number(range);
  const part = blob.subarray(from);
  response.writeHead(from > 0 ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': part.length,
    'docker-content-digest': digest,
    ...(from > 0 && { 'content-range': `bytes ${from}-${blob.length - 1}/${blob.length}` }),
  });
  response.end(method === 'HEAD' ? undefined : part);
}

export function startUpload(routed: Routed): void {
  const { response, store, url, repository, behaviour, other } = routed;
  const mount = url.searchParams.get('mount');
  const source = mount === null ? undefined : other(url.searchParams.get('from') ?? '')?.blobs.get(mount);
  if (mount !== null && source !== undefined && behaviour.mounts !== false) {
    store.blobs.set(mount, source);
    response
      .writeHead(201, { location: `/v2/${repository}/blobs/${mount}`, 'docker-content-digest': mount })
      .end();
    return;
  }
  const id = randomUUID();
  store.uploads.set(id, []);
  response
    .writeHead(202, {
      location: `/v2/${repository}/blobs/uploads/${id}?_state=a%2Fb`,
      ...(behaviour.chunkMinLength !== undefined && {
        'oci-chunk-min-length': String(behaviour.chunkMinLength),
      }),
    })
    .end();
}

export function upload(routed: Routed, id: string): void {
  const { response, store, method, body, request, url, repository, behaviour } = routed;
  const pieces = store.uploads.get(id);
  if (pieces === undefined || url.searchParams.get('_state') !== 'a/b') {
    fail(response, 404, 'BLOB_UPLOAD_UNKNOWN');
    return;
  }
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (body.length > (behaviour.maxBody ?? Number.POSITIVE_INFINITY)) {
    response
      .writeHead(413, { 'content-type': 'text/html' })
      .end('<html><h1>413 Request Entity Too Large</h1></html>');
  } else if (method === 'DELETE') {
    store.uploads.delete(id);
    response.writeHead(204).end();
  } else if (method === 'PATCH') {
    const range = /^(\d+)-(\d+)$/.exec(request.headers['content-range'] ?? '');
    if (Number(range?.[1]) !== length || Number(range?.[2]) !== length + body.length - 1) {
      fail(response, 416, 'BLOB_UPLOAD_INVALID');
      return;
    }
    pieces.push(body);
    response.writeHead(202, { location: `/v2/${repository}/blobs/uploads/${id}?_state=a%2Fb` }).end();
  } else if (body.length > (behaviour.maxWholeBlob ?? Number.POSITIVE_INFINITY)) {
    response.writeHead(413).end();
  } else {
    const digest = url.searchParams.get('digest') ?? '';
    const blob = Buffer.concat([...pieces, body]);
    store.uploads.delete(id);
    if (digestLike(digest, blob) !== digest) {
      fail(response, 400, 'DIGEST_INVALID');
      return;
    }
    store.blobs.set(digest, blob);
    response
      .writeHead(201, { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest })
      .end();
  }
}
