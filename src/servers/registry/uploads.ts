import type { Digest, DigestAlgorithm } from '../../oci/digest.ts';
import { algorithmOf, isDigest } from '../../oci/digest.ts';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import { isRepositoryName } from '../../oci/reference.ts';
import { digestIn } from './blobs.ts';
import { bodyOf, contentLength, isBodiless } from './bodies.ts';
import { answer, refuseMethod, type ServerExchange } from './exchange.ts';
import { Fault } from './faults.ts';
import { etagOf } from './preconditions.ts';
import { chunkRangeOf } from './ranges.ts';
import type { Services } from './services.ts';
import type { StoredUpload } from './store/uploads.ts';

/** `POST /v2/<name>/blobs/uploads/`: starts an upload, mounts a blob, or takes a whole blob at once. */
export async function handleUploads(
  services: Services,
  exchange: ServerExchange,
  name: string,
): Promise<void> {
  if (exchange.request.method !== 'POST') refuseMethod('POST');
  const mount = exchange.query.get('mount');
  if (mount !== null) {
    if (await mountBlob(services, exchange, name, digestIn(mount))) return;
  }
  const digest = mount === null ? exchange.query.get('digest') : null;
  const wanted = digest === null ? undefined : digestIn(digest);
  const upload = services.uploads.start(name, algorithmFor(exchange, wanted));
  if (upload === undefined)
    throw new Fault(429, 'TOOMANYREQUESTS', 'too many uploads are in progress', { 'Retry-After': '10' });
  if (wanted === undefined) {
    answer(exchange, 202, uploadHeaders(upload));
    return;
  }
  try {
    await services.uploads.claim(upload, () => complete(services, exchange, upload, wanted));
  } finally {
    // The client did not learn where to continue.
    if (services.uploads.find(name, upload.id) !== undefined) await services.uploads.cancel(upload);
  }
}

/** `/v2/<name>/blobs/uploads/<id>` */
export async function handleUpload(
  services: Services,
  exchange: ServerExchange,
  name: string,
  id: string,
): Promise<void> {
  const { method } = exchange.request;
  if (method === undefined || !['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'].includes(method))
    refuseMethod('GET, PATCH, PUT, DELETE');
  const upload = services.uploads.find(name, id);
  if (upload === undefined)
    throw new Fault(404, 'BLOB_UPLOAD_UNKNOWN', 'there is no such upload; start anew');
  if (method === 'GET' || method === 'HEAD') {
    answer(exchange, 204, uploadHeaders(upload));
    return;
  }
  if (upload.busy)
    throw new Fault(409, 'BLOB_UPLOAD_INVALID', 'another request is working on this upload', {
      'Retry-After': '1',
    });
  await services.uploads.claim(upload, async () => {
    if (method === 'PATCH') await appendChunk(services, exchange, upload);
    else if (method === 'PUT') await finishUpload(services, exchange, upload);
    else {
      await services.uploads.cancel(upload);
      answer(exchange, 204);
    }
  });
}

function uploadHeaders(upload: StoredUpload): Record<string, string> {
  return {
    Location: `/v2/${upload.repository}/blobs/uploads/${upload.id}`,
    'Docker-Upload-UUID': upload.id,
    Range: `0-${Math.max(0, upload.offset - 1)}`,
  };
}

/** Algorithm to hash with on the way in; another one at the end costs reading the file again. */
function algorithmFor(exchange: ServerExchange, digest: Digest | undefined): DigestAlgorithm {
  if (digest !== undefined) return algorithmOf(digest);
  const asked = exchange.query.get('digest-algorithm');
  if (asked === null || asked === 'sha256') return 'sha256';
  if (asked === 'sha512') return 'sha512';
  throw new Fault(400, 'DIGEST_INVALID', 'digest-algorithm must be sha256 or sha512');
}

async function mountBlob(
  services: Services,
  exchange: ServerExchange,
  name: string,
  digest: Digest,
): Promise<boolean> {
  const { store } = services;
  const from = exchange.query.get('from');
  if (from !== null && !isRepositoryName(from)) return false;
  const mounted = await store.use(from ?? name, async (source) => {
    if (from !== null && source === undefined) return false;
    // Looked at first, so that no repository is made for a mount that fails.
    if (!(await store.blobs.canMount(from === null ? undefined : source?.layout, digest))) return false;
    return await store.useOrCreate(name, (target) =>
      target.pins.hold([digest], () =>
        store.blobs.mount(from === null ? undefined : source?.layout, target.layout, digest),
      ),
    );
  });
  if (!mounted) return false;
  answer(exchange, 201, blobHeaders(name, digest));
  services.events.emit(
    { action: 'mount', repository: name, digest, mediaType: MEDIA_TYPES.octetStream },
    exchange,
  );
  return true;
}

function blobHeaders(name: string, digest: Digest): Record<string, string> {
  return {
    Location: `/v2/${name}/blobs/${digest}`,
    'Docker-Content-Digest': digest,
    ETag: etagOf(digest),
  };
}

async function appendChunk(
  services: Services,
  exchange: ServerExchange,
  upload: StoredUpload,
): Promise<void> {
  await receive(services, exchange, upload);
  answer(exchange, 202, uploadHeaders(upload));
}

async function finishUpload(
  services: Services,
  exchange: ServerExchange,
  upload: StoredUpload,
): Promise<void> {
  const digest = exchange.query.get('digest');
  if (digest === null || !isDigest(digest))
    throw new Fault(
      400,
      'DIGEST_INVALID',
      'the request must end the upload with ?digest=sha256:… or sha512:…',
    );
  await complete(services, exchange, upload, digest);
}

async function complete(
  services: Services,
  exchange: ServerExchange,
  upload: StoredUpload,
  digest: Digest,
): Promise<void> {
  if (!isBodiless(exchange)) await receive(services, exchange, upload);
  // Making a large file durable takes a while in which nothing moves on the connection.
  exchange.request.socket.setTimeout(0);
  const size = upload.offset;
  const path = await services.uploads.finish(upload, digest);
  if (path === undefined)
    throw new Fault(400, 'DIGEST_INVALID', `the content is not ${digest}; nothing was stored`);
  await services.store.useOrCreate(upload.repository, (repository) =>
    repository.pins.hold([digest], () => services.store.blobs.adopt(path, repository.layout, digest)),
  );
  answer(exchange, 201, blobHeaders(upload.repository, digest));
  services.events.emit(
    { action: 'push', repository: upload.repository, digest, size, mediaType: MEDIA_TYPES.octetStream },
    exchange,
  );
}

async function receive(services: Services, exchange: ServerExchange, upload: StoredUpload): Promise<void> {
  const header = exchange.request.headers['content-range'];
  const announced = contentLength(exchange);
  let exactly: number | undefined;
  if (header !== undefined) {
    const range = chunkRangeOf(header);
    if (range === undefined)
      throw new Fault(400, 'BLOB_UPLOAD_INVALID', 'Content-Range must be <first byte>-<last byte>');
    exactly = range.end - range.start + 1;
    if (range.start !== upload.offset) {
      throw new Fault(
        416,
        'BLOB_UPLOAD_INVALID',
        `the next byte of this upload is ${upload.offset}, and the chunk starts at ${range.start}`,
        uploadHeaders(upload),
      );
    }
    if (announced !== undefined && announced !== exactly) throw wrongLength(exactly);
  }
  const body = bodyOf(exchange, services.limits.blobBytes - upload.offset, services.limits);
  if (!(await services.uploads.append(upload, body, exactly))) throw wrongLength(exactly ?? 0);
}

function wrongLength(expected: number): Fault {
  return new Fault(
    400,
    'SIZE_INVALID',
    `Content-Range announces ${expected} bytes, and the body has another length; the chunk was not taken`,
  );
}
