import { type BullaError, isBullaError } from '../errors.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { isTransient } from '../http/failure.ts';
import { isRetriableStatus, nextDelay } from '../http/retry.ts';
import { verifiedStream } from '../oci/content.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { BlobOutcome, PushBlobOptions } from '../oci/target.ts';
import type { Access } from './authenticator.ts';
import { hasBlob } from './blobs.ts';
import { type ChunkedUpload, checkStored, pushChunks, type Upload } from './chunks.ts';
import { checkServedDigest } from './manifests.ts';
import type { RepositoryContext } from './repository-context.ts';
import type { ReplayableBody } from './session.ts';
import { closingLocation, uploadsPath } from './urls.ts';

/** Source of a blob's bytes, opened anew for each try. */
export type OpenBlob = () => Promise<AsyncIterable<Uint8Array>>;

/** Repositories that a mount is tried from, before the bytes are sent. */
const MAX_MOUNTS = 3;
/** Pieces, in bytes, for a registry or a proxy before it that finds a whole blob too large for one request. */
const PIECES: readonly number[] = [16, 4, 1, 0.25].map((mebibytes) => mebibytes * 1024 * 1024);

/**
 * Stores a blob unless it is there: mounted where that works, else sent. An upload that failed on its
 * way is not taken up again (distribution 2.8 loses it with the answer) but begun anew, after a look
 * whether it arrived anyway.
 */
export async function pushBlob(
  room: RepositoryContext,
  descriptor: Descriptor,
  open: OpenBlob,
  options: PushBlobOptions = {},
): Promise<BlobOutcome> {
  const { recent, repository, session } = room;
  const { digest } = descriptor;
  if (options.known !== 'absent' && recent.hasBlob(repository, digest, session.timing.now())) return 'exists';
  const outcome = await store(room, descriptor, open, options);
  recent.noteBlob(repository, digest, session.timing.now());
  return outcome;
}

async function store(
  room: RepositoryContext,
  descriptor: Descriptor,
  open: OpenBlob,
  options: PushBlobOptions,
): Promise<BlobOutcome> {
  const { timing, retry } = room.session;
  if (options.known === undefined && (await hasBlob(room, descriptor, options))) return 'exists';
  const mounted = await mountBlob(room, descriptor, options);
  if (mounted === 'mounted') return 'mounted';
  const source = new Source(descriptor, open, room.name);
  const began = timing.now();
  let upload = mounted;
  for (let attempt = 1; ; attempt++) {
    try {
      upload ??= await beginUpload(room, options.signal);
      await send(room, source, upload, options);
      return 'pushed';
    } catch (error) {
      if (error === source.failure || !isWorthRepeating(error)) throw error;
      const elapsedMs = timing.now() - began;
      const { status } = error.details;
      const failed = {
        attempt,
        elapsedMs,
        retryAfterMs: askedFor(error),
        status: status as number | undefined,
      };
      const delay = nextDelay(retry, failed, timing.random);
      if (delay === undefined) throw error;
      upload = undefined;
      room.session.noteRetry(`the upload of ${descriptor.digest} failed: ${error.message}`, delay);
      await timing.sleep(delay, options.signal);
    }
    if (await hasBlob(room, descriptor, options)) return 'pushed';
  }
}

/** 404 on an upload means that the registry lost it; the status may also be one that asks for patience. */
function isWorthRepeating(error: unknown): error is BullaError {
  if (!isBullaError(error)) return false;
  const { status, reason } = error.details;
  // A rule of the registry stays what it is.
  if (reason !== undefined) return false;
  return (
    isTransient(error) ||
    (typeof status === 'number' && (isRetriableStatus(status) || status === 404 || status === 416))
  );
}

function askedFor(error: BullaError): number | undefined {
  const seconds = error.details['retryAfterSeconds'];
  return typeof seconds === 'number' ? seconds * 1000 : undefined;
}

/** A begun upload where the registry did not mount; undefined where nothing was tried. */
async function mountBlob(
  room: RepositoryContext,
  descriptor: Descriptor,
  options: PushBlobOptions,
): Promise<'mounted' | Upload | undefined> {
  let upload: Upload | undefined;
  const candidates = (options.mountFrom ?? []).filter((from) => from !== room.repository);
  for (const from of candidates.slice(0, MAX_MOUNTS)) {
    if (upload !== undefined) await cancelUpload(room, upload);
    const outcome = await tryMount(room, descriptor, from, options.signal);
    if (outcome === 'mounted') return 'mounted';
    upload = outcome;
  }
  return upload;
}

/**
 * Mounting only saves sending the bytes: whatever a registry says against it, or a token server that gives no
 * token for the other repository, they are sent. What is really wrong, the upload says.
 */
export async function tryMount(
  room: RepositoryContext,
  descriptor: Descriptor,
  from: string,
  signal: AbortSignal | undefined,
): Promise<'mounted' | Upload | undefined> {
  try {
    const response = await startUpload(room, {
      path: uploadsPath(room.repository, { digest: descriptor.digest, from }),
      access: room.scopes.mount(from),
      expect: 'any',
      retry: false,
      signal,
    });
    if (response.status === 201) {
      checkServedDigest(room, response, descriptor.digest);
      return 'mounted';
    }
    return response.status === 202 ? uploadOf(room, response) : undefined;
  } catch (error) {
    if (signal?.aborted === true || !isBullaError(error) || isBullaError(error, 'interrupted')) throw error;
    return undefined;
  }
}

async function beginUpload(room: RepositoryContext, signal: AbortSignal | undefined): Promise<Upload> {
  const path = uploadsPath(room.repository);
  return uploadOf(
    room,
    await startUpload(room, { path, access: room.scopes.write(), expect: [202], writes: 'upload', signal }),
  );
}

async function startUpload(
  room: RepositoryContext,
  what: {
    readonly path: string;
    readonly access: Access;
    readonly expect: readonly number[] | 'any';
    readonly writes?: 'upload';
    readonly retry?: false;
    readonly signal: AbortSignal | undefined;
  },
): Promise<HttpResponse> {
  const { path, ...rest } = what;
  const response = await room.session.call({
    method: 'POST',
    to: path,
    headers: { 'content-length': '0' },
    ...rest,
  });
  await response.body.discard();
  return response;
}

export function uploadOf(room: RepositoryContext, response: HttpResponse): Upload {
  const least = response.headers.get('oci-chunk-min-length') ?? '';
  return {
    location: room.session.location(response),
    minChunk: /^\d{1,10}$/.test(least) ? Number(least) : 0,
  };
}

/** Best effort: the registry must clean up unfinished uploads. */
export async function cancelUpload(room: RepositoryContext, upload: Upload): Promise<void> {
  try {
    const response = await room.session.call({
      method: 'DELETE',
      to: upload.location,
      access: room.scopes.write(),
      expect: [200, 202, 204, 400, 401, 403, 404, 405],
      retry: false,
    });
    await response.body.discard();
  } catch (error) {
    if (!isBullaError(error)) throw error;
  }
}

/** What is to be sent, checked on the way; and why it could not be read, which no other try cures. */
class Source {
  readonly descriptor: Descriptor;
  failure: unknown;
  private readonly openBlob: OpenBlob;
  private readonly where: string;

  constructor(descriptor: Descriptor, openBlob: OpenBlob, destination: string) {
    this.descriptor = descriptor;
    this.openBlob = openBlob;
    this.where = `the source of ${descriptor.digest} for ${destination}`;
  }

  async open(): Promise<AsyncIterable<Uint8Array>> {
    try {
      return this.watch(verifiedStream(this.descriptor, await this.openBlob(), this.where));
    } catch (error) {
      this.failure = error;
      throw error;
    }
  }

  private async *watch(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* stream;
    } catch (error) {
      this.failure = error;
      throw error;
    }
  }
}

/**
 * Sends a blob whole, or in pieces where it is too large for one request. nginx takes 1 MiB unless it is told otherwise,
 * and so do other proxies: pieces get smaller until they pass, and later blobs begin with what passed.
 */
async function send(
  room: RepositoryContext,
  source: Source,
  begun: Upload,
  options: PushBlobOptions,
): Promise<void> {
  const { session } = room;
  const { size } = source.descriptor;
  let upload: Upload | undefined = begun;
  let limit = Math.min(room.chunkBytes ?? Number.POSITIVE_INFINITY, session.largestBody);
  let refusal = size <= limit ? await sendWhole(room, source, upload, options) : undefined;
  if (size <= limit && refusal === undefined) return;
  if (size <= limit) [limit, upload] = [size, undefined];
  for (const piece of [
    ...(refusal === undefined ? [limit] : []),
    ...PIECES.filter((bytes) => bytes < limit),
  ]) {
    upload ??= await beginUpload(room, options.signal);
    const chunkBytes = Math.max(piece, upload.minChunk);
    if (refusal !== undefined && chunkBytes >= limit) break;
    refusal = await sendPieces(room, source, { upload, chunkBytes, signal: options.signal });
    if (refusal === undefined) {
      if (piece < (room.chunkBytes ?? Number.POSITIVE_INFINITY)) session.largestBody = chunkBytes;
      return;
    }
    [limit, upload] = [chunkBytes, undefined];
  }
  throw refusal;
}

/** @returns the refusal of a blob that is too large for one request */
async function sendWhole(
  room: RepositoryContext,
  source: Source,
  upload: Upload,
  options: PushBlobOptions,
): Promise<BullaError | undefined> {
  try {
    const response = await putWhole(room, source, upload.location, options);
    await response.body.discard();
    await checkStored(room, source.descriptor, response, options.signal);
    return undefined;
  } catch (error) {
    if (!isTooLarge(error)) throw error;
    await cancelUpload(room, upload);
    return error;
  }
}

async function sendPieces(
  room: RepositoryContext,
  source: Source,
  how: ChunkedUpload,
): Promise<BullaError | undefined> {
  try {
    await pushChunks(room, source.descriptor, await source.open(), how);
    return undefined;
  } catch (error) {
    if (!isTooLarge(error)) throw error;
    await cancelUpload(room, how.upload);
    return error;
  }
}

function isTooLarge(error: unknown): error is BullaError {
  return isBullaError(error) && error.details['reason'] === 'too-large';
}

/** The whole blob in one PUT, streamed. */
async function putWhole(
  room: RepositoryContext,
  source: Source,
  location: URL,
  options: PushBlobOptions,
): Promise<HttpResponse> {
  return await room.session.call({
    method: 'PUT',
    to: closingLocation(location, source.descriptor.digest),
    access: room.scopes.write(),
    headers: { 'content-type': 'application/octet-stream' },
    body: await bodyOf(source),
    expect: [200, 201, 202, 204],
    writes: 'blob',
    retry: 'throttled',
    signal: options.signal,
  });
}

async function bodyOf(source: Source): Promise<ReplayableBody> {
  if (source.descriptor.size > 0) return { size: source.descriptor.size, open: () => source.open() };
  for await (const _ of await source.open()) {
    // A source that has bytes after all is refused by the check that it passes through.
  }
  return new Uint8Array(0);
}
