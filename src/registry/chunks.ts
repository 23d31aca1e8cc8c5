import { BullaError } from '../errors.ts';
import type { HttpResponse } from '../http/exchange.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { hasBlob } from './blobs.ts';
import { checkServedDigest } from './manifests.ts';
import type { RepositoryContext } from './repository-context.ts';
import { closingLocation } from './urls.ts';

/** An upload that was begun. */
export interface Upload {
  readonly location: URL;
  /** Least size of a chunk that the registry takes, in bytes (OCI-Chunk-Min-Length). */
  readonly minChunk: number;
}

export interface ChunkedUpload {
  readonly upload: Upload;
  /** Size of each chunk but the last, in bytes. */
  readonly chunkBytes: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Sends a blob in chunks, in order (distribution-spec, "Pushing a blob in chunks"), holding one of them
 * in memory. `source` checks itself; where it fails, the upload is not closed and nothing is stored.
 */
export async function pushChunks(
  room: RepositoryContext,
  descriptor: Descriptor,
  source: AsyncIterable<Uint8Array>,
  { upload, chunkBytes, signal }: ChunkedUpload,
): Promise<void> {
  const { session } = room;
  let { location } = upload;
  let at = 0;
  for await (const chunk of regroup(source, chunkBytes)) {
    const response = await session.call({
      method: 'PATCH',
      to: location,
      access: room.scopes.write(),
      headers: {
        'content-type': 'application/octet-stream',
        // Without the "bytes" that RFC 9110 has: the specification says so.
        'content-range': `${at}-${at + chunk.byteLength - 1}`,
      },
      body: chunk,
      // ECR answers 201.
      expect: [202, 201],
      writes: 'blob',
      retry: 'throttled',
      signal,
    });
    await response.body.discard();
    location = session.location(response);
    at += chunk.byteLength;
  }
  const closed = await session.call({
    method: 'PUT',
    to: closingLocation(location, descriptor.digest),
    access: room.scopes.write(),
    headers: { 'content-length': '0' },
    expect: [200, 201, 202, 204],
    writes: 'blob',
    retry: 'throttled',
    signal,
  });
  await closed.body.discard();
  await checkStored(room, descriptor, closed, signal);
}

/**
 * Checks the answer to the last request of an upload. Another success than 201 may be "accepted": it is looked
 * whether the blob is there.
 * @throws BullaError content-invalid, registry-error
 */
export async function checkStored(
  room: RepositoryContext,
  descriptor: Descriptor,
  response: HttpResponse,
  signal: AbortSignal | undefined,
): Promise<void> {
  checkServedDigest(room, response, descriptor.digest);
  if (response.status === 201 || (await hasBlob(room, descriptor, { signal }))) return;
  throw new BullaError(
    'registry-error',
    `${room.name} took ${descriptor.digest}, answered ${response.status}, and does not have it`,
    { hint: 'the registry has a problem of its own; try again later', details: { status: 503 } },
  );
}

/** The same bytes in pieces of exactly `size`, but for the last. */
export async function* regroup(source: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  let gathered: Uint8Array[] = [];
  let length = 0;
  for await (const piece of source) {
    let rest = piece;
    while (length + rest.byteLength >= size) {
      const part = rest.subarray(0, size - length);
      yield Buffer.concat([...gathered, part], size);
      rest = rest.subarray(part.byteLength);
      gathered = [];
      length = 0;
    }
    if (rest.byteLength > 0) gathered.push(rest);
    length += rest.byteLength;
  }
  if (length > 0) yield Buffer.concat(gathered, length);
}
