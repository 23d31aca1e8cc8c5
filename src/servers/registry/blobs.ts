import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import { answer, flushed, refuseMethod, type ServerExchange } from './exchange.ts';
import { Fault } from './faults.ts';
import { etagOf, isKnown } from './preconditions.ts';
import { type ByteRange, rangeOf } from './ranges.ts';
import type { Services } from './services.ts';
import type { StoredRepository } from './store/store.ts';

const READ_BYTES = 256 * 1024;

/** `/v2/<name>/blobs/<digest>` */
export async function handleBlob(
  services: Services,
  exchange: ServerExchange,
  name: string,
  reference: string,
): Promise<void> {
  const digest = digestIn(reference);
  await services.store.use(name, async (repository) => {
    switch (exchange.request.method) {
      case 'GET':
      case 'HEAD':
        return await getBlob(services, exchange, repository, digest);
      case 'DELETE':
        return await deleteBlob(services, exchange, repository, digest);
      default:
        return refuseMethod('GET, HEAD, DELETE');
    }
  });
}

/** @throws Fault 400 DIGEST_INVALID */
export function digestIn(text: string): Digest {
  if (isDigest(text)) return text;
  throw new Fault(
    400,
    'DIGEST_INVALID',
    'not a digest: sha256: and 64, or sha512: and 128, lower-case hex digits',
  );
}

/** @throws Fault 404 NAME_UNKNOWN */
export function mustExist(repository: StoredRepository | undefined, name: string): StoredRepository {
  if (repository !== undefined) return repository;
  throw new Fault(404, 'NAME_UNKNOWN', `there is no repository ${name}`);
}

function unknownBlob(digest: Digest): Fault {
  return new Fault(404, 'BLOB_UNKNOWN', `the repository has no blob ${digest}`);
}

async function getBlob(
  services: Services,
  exchange: ServerExchange,
  repository: StoredRepository | undefined,
  digest: Digest,
): Promise<void> {
  if (repository === undefined) throw unknownBlob(digest);
  if (exchange.isHead) {
    const size = await services.store.blobs.size(repository.layout, digest);
    if (size === undefined) throw unknownBlob(digest);
    answerHead(exchange, digest, size);
    return;
  }
  const opened = await services.store.blobs.open(repository.layout, digest);
  if (opened === undefined) throw unknownBlob(digest);
  try {
    await sendBlob(exchange, opened.file, opened.size, digest);
  } finally {
    await opened.file.close();
  }
  services.events.emit(
    {
      action: 'pull',
      repository: repository.name,
      digest,
      size: opened.size,
      mediaType: MEDIA_TYPES.octetStream,
    },
    exchange,
  );
}

function headersOf(digest: Digest): Record<string, string> {
  return {
    'Docker-Content-Digest': digest,
    ETag: etagOf(digest),
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'max-age=31536000, immutable',
  };
}

function answerHead(exchange: ServerExchange, digest: Digest, size: number): void {
  if (isKnown(exchange.request.headers, digest)) {
    answer(exchange, 304, headersOf(digest));
    return;
  }
  answer(exchange, 200, {
    ...headersOf(digest),
    'Content-Type': MEDIA_TYPES.octetStream,
    'Content-Length': size,
  });
}

async function sendBlob(
  exchange: ServerExchange,
  file: FileHandle,
  size: number,
  digest: Digest,
): Promise<void> {
  const { headers } = exchange.request;
  if (isKnown(headers, digest)) {
    answer(exchange, 304, headersOf(digest));
    return;
  }
  const sameAsBefore = headers['if-range'] === undefined || headers['if-range'] === etagOf(digest);
  const range = sameAsBefore ? rangeOf(headers.range, size) : undefined;
  if (range === 'unsatisfiable') {
    throw new Fault(416, 'RANGE_INVALID', `the blob has ${size} bytes`, {
      'Content-Range': `bytes */${size}`,
    });
  }
  const { start, end } = range ?? { start: 0, end: size - 1 };
  exchange.response.writeHead(range === undefined ? 200 : 206, {
    ...headersOf(digest),
    'Content-Type': MEDIA_TYPES.octetStream,
    'Content-Length': end - start + 1,
    ...(range !== undefined && { 'Content-Range': `bytes ${start}-${end}/${size}` }),
  });
  await sendFile(exchange, file, { start, end });
}

/**
 * Sends a part of a file through two buffers that take turns, one being read while the other is being
 * sent: a hundred slow clients cost a hundred times 512 KiB, whatever they fetch.
 */
export async function sendFile(exchange: ServerExchange, file: FileHandle, range: ByteRange): Promise<void> {
  const { response } = exchange;
  const length = Math.min(READ_BYTES, range.end - range.start + 1);
  const buffers = [Buffer.allocUnsafeSlow(length), Buffer.allocUnsafeSlow(length)] as const;
  let sent: Promise<void> = Promise.resolve();
  for (let at = range.start, turn = 0; at <= range.end; turn ^= 1) {
    const buffer = buffers[turn as 0 | 1];
    const wanted = Math.min(buffer.byteLength, range.end - at + 1);
    const { bytesRead } = await file.read(buffer, 0, wanted, at);
    if (bytesRead === 0) {
      response.destroy(new Error('the file of the blob is shorter than it was'));
      return;
    }
    await sent;
    if (response.destroyed) return;
    sent = flushed(response, buffer.subarray(0, bytesRead));
    at += bytesRead;
    exchange.traffic.sent += bytesRead;
  }
  await sent;
  if (response.destroyed) return;
  response.end();
  if (!response.writableFinished) await Promise.race([once(response, 'finish'), once(response, 'close')]);
}

async function deleteBlob(
  services: Services,
  exchange: ServerExchange,
  found: StoredRepository | undefined,
  digest: Digest,
): Promise<void> {
  const repository = found;
  if (repository === undefined) throw unknownBlob(digest);
  if (repository.index.manifests.has(digest)) {
    throw new Fault(405, 'UNSUPPORTED', `${digest} is a manifest here: delete it as one`, {
      Allow: 'GET, HEAD',
    });
  }
  const removed = await repository.pins.remove(digest, () =>
    services.store.blobs.remove(repository.layout, digest),
  );
  if (removed === undefined)
    throw new Fault(409, 'DENIED', `${digest} is in use by a push; try again after it`, {
      'Retry-After': '1',
    });
  if (removed.result === undefined) throw unknownBlob(digest);
  answer(exchange, 202, { 'Docker-Content-Digest': digest });
  services.events.emit({ action: 'delete', repository: repository.name, digest }, exchange);
}
