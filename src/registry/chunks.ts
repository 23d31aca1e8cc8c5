import type { Descriptor } from '../oci/descriptor.ts';
import { checkServedDigest } from './manifests.ts';
import type { Room } from './room.ts';
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
  room: Room,
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
      retry: false,
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
    expect: [201],
    retry: false,
    signal,
  });
  await closed.body.discard();
  checkServedDigest(room, closed, descriptor.digest);
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
