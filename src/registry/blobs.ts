import { BullaError } from '../errors.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { isTransient } from '../http/failure.ts';
import { nextDelay } from '../http/retry.ts';
import { checkBound, readVerified, verifiedStream } from '../oci/content.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { CallOptions } from '../oci/target.ts';
import { isEncoded } from './decoded.ts';
import { checkServedDigest } from './manifests.ts';
import type { RepositoryContext } from './repository-context.ts';
import { blobPath } from './urls.ts';

/**
 * Whether the registry has a blob, of that size. A HEAD that is refused tells nothing, and one that was sent on to
 * a storage neither: addresses there are often good for GET alone. The first byte is asked for then.
 * @returns false also where the registry does not say: the blob is sent then
 */
export async function hasBlob(
  room: RepositoryContext,
  descriptor: Descriptor,
  options: CallOptions = {},
): Promise<boolean> {
  const { signal } = options;
  let response: HttpResponse;
  try {
    response = await room.session.call({
      method: 'HEAD',
      to: blobPath(room.repository, descriptor.digest),
      access: room.scopes.read(),
      expect: 'any',
      retry: 'throttled',
      signal,
    });
  } catch (error) {
    if (signal?.aborted === true || !isTransient(error)) throw error;
    return await hasFirstByte(room, descriptor, options);
  }
  await response.body.discard();
  const { status } = response;
  if (status === 404 && response.url.origin === room.session.base.origin) return false;
  if (status !== 200) return await hasFirstByte(room, descriptor, options);
  const size = isEncoded(response) ? undefined : response.headers.contentLength;
  // A proxy that counts the body of a HEAD says 0.
  if (size === 0 && descriptor.size > 0) return await hasFirstByte(room, descriptor, options);
  checkSize(room, descriptor, size);
  return true;
}

async function hasFirstByte(
  room: RepositoryContext,
  descriptor: Descriptor,
  { signal }: CallOptions,
): Promise<boolean> {
  const response = await room.session.call({
    method: 'GET',
    to: blobPath(room.repository, descriptor.digest),
    access: room.scopes.read(),
    headers: descriptor.size > 0 ? { range: 'bytes=0-0' } : {},
    expect: 'any',
    signal,
  });
  const { status } = response;
  response.body.abort(new Error('only its beginning was wanted'));
  return status === 200 || status === 206;
}

/** A whole blob within a bound. */
export async function fetchBlob(
  room: RepositoryContext,
  descriptor: Descriptor,
  maxBytes: number,
  options: CallOptions = {},
): Promise<Uint8Array> {
  checkBound(descriptor, maxBytes, room.name);
  return await readVerified(descriptor, await openBlob(room, descriptor, options), maxBytes, room.name);
}

/**
 * A blob as a stream that checks itself and goes on where a cut connection ended it.
 * The first answer is there when the promise is: an absent blob is known at once.
 */
export async function openBlob(
  room: RepositoryContext,
  descriptor: Descriptor,
  options: CallOptions = {},
): Promise<AsyncIterable<Uint8Array>> {
  const first = await requestBlob(room, descriptor, 0, options);
  return verifiedStream(descriptor, resuming(room, descriptor, first, options), room.name);
}

/** A blob is what its digest says: it must not be compressed on its way. */
const AS_IT_IS = { 'accept-encoding': 'identity' } as const;
/** A connection that brings less than this before it is cut has brought nothing, or a download would never end. */
const LEAST_PROGRESS_BYTES = 64 * 1024;

async function* resuming(
  room: RepositoryContext,
  descriptor: Descriptor,
  first: HttpResponse,
  options: CallOptions,
): AsyncGenerator<Uint8Array> {
  const { timing, retry } = room.session;
  let response = first;
  let at = 0;
  let failures = 0;
  for (;;) {
    // A server without ranges starts again; what was passed on already is not passed on twice.
    let skip = response.status === 206 ? 0 : at;
    let failure: unknown;
    const from = at;
    try {
      for await (const piece of response.body) {
        const rest = piece.subarray(Math.min(skip, piece.byteLength));
        skip -= piece.byteLength - rest.byteLength;
        if (rest.byteLength === 0) continue;
        at += rest.byteLength;
        if (at - from >= LEAST_PROGRESS_BYTES) failures = 0;
        yield rest;
      }
      return;
    } catch (error) {
      if (!isTransient(error)) throw error;
      failure = error;
    }
    failures++;
    const delay = nextDelay(retry, { attempt: failures, elapsedMs: 0 }, timing.random);
    if (delay === undefined) throw failure;
    room.session.noteRetry(`a blob was cut off after ${at} bytes`, delay);
    await timing.sleep(delay, options.signal);
    if (at >= descriptor.size) return;
    response = await requestBlob(room, descriptor, at, options);
  }
}

async function requestBlob(
  room: RepositoryContext,
  descriptor: Descriptor,
  from: number,
  { signal }: CallOptions,
): Promise<HttpResponse> {
  const response = await room.session.call({
    method: 'GET',
    to: blobPath(room.repository, descriptor.digest),
    access: room.scopes.read(),
    headers: { ...AS_IT_IS, ...(from > 0 && { range: `bytes=${from}-` }) },
    expect: [200, 206],
    signal,
  });
  try {
    checkServedDigest(room, response, descriptor.digest);
    if (response.status === 200) checkSize(room, descriptor, response.headers.contentLength);
    else checkRange(room, descriptor, response, from);
  } catch (error) {
    response.body.abort(new Error('refused'));
    throw error;
  }
  return response;
}

function checkRange(
  room: RepositoryContext,
  descriptor: Descriptor,
  response: HttpResponse,
  from: number,
): void {
  const range = response.headers.get('content-range') ?? '';
  if (new RegExp(`^bytes ${from}-${descriptor.size - 1}/(?:${descriptor.size}|\\*)$`).test(range)) return;
  throw new BullaError(
    'content-invalid',
    `${room.name}: asked for ${descriptor.digest} from byte ${from}, got "${range}"`,
    {
      hint: 'the registry answers with another part than was asked for',
    },
  );
}

function checkSize(room: RepositoryContext, descriptor: Descriptor, found: number | undefined): void {
  if (found === undefined || found === descriptor.size) return;
  throw new BullaError(
    'content-invalid',
    `${room.name}: ${descriptor.digest} should have ${descriptor.size} bytes and has ${found}`,
    { hint: 'the content was truncated or replaced, or the descriptor is wrong; it was not used' },
  );
}
