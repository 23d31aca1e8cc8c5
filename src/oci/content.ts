import { BullaError } from '../errors.ts';
import { checkContent, type Descriptor } from './descriptor.ts';
import { algorithmOf, Digester } from './digest.ts';

/** What content is checked against. */
type Expected = Pick<Descriptor, 'digest' | 'size'>;

type Pieces = AsyncGenerator<Uint8Array, void, undefined>;

/** Streams that check themselves, and what against: hashing is what a copy spends its time on. */
const selfChecking = new WeakMap<AsyncIterable<Uint8Array>, { stream: Pieces; promise: string }>();

/**
 * Passes a stream on and checks it on the way: it ends without an error only if all bytes came, not
 * one more, and they have the digest. The last piece is held back until that is known, so that
 * a reader that passes the pieces on never completes a wrong copy. A stream that was made by this function
 * for the same content comes back as it is, so that a copy hashes once.
 * @param where names the place in the message
 * @throws BullaError content-invalid
 */
export function verifiedStream(
  descriptor: Expected,
  source: AsyncIterable<Uint8Array>,
  where: string,
): Pieces {
  const promise = `${descriptor.digest} ${descriptor.size}`;
  const known = selfChecking.get(source);
  if (known?.promise === promise) return known.stream;
  const stream = verify(descriptor, source, where);
  selfChecking.set(stream, { stream, promise });
  return stream;
}

async function* verify(descriptor: Expected, source: AsyncIterable<Uint8Array>, where: string): Pieces {
  const digester = new Digester(algorithmOf(descriptor.digest));
  let size = 0;
  let held: Uint8Array | undefined;
  for await (const piece of source) {
    if (piece.byteLength === 0) continue;
    size += piece.byteLength;
    if (size > descriptor.size) throw wrongSize(descriptor, 'more', where);
    digester.update(piece);
    if (held !== undefined) yield held;
    held = piece;
  }
  if (size < descriptor.size) throw wrongSize(descriptor, `${size}`, where);
  const found = digester.digest();
  if (found !== descriptor.digest) {
    throw new BullaError('content-invalid', `${where}: expected ${descriptor.digest} and found ${found}`, {
      hint: 'the content was changed or damaged; nothing of it was used',
    });
  }
  if (held !== undefined) yield held;
}

/**
 * Passes a stream on and tells how many bytes have come by. A stream that checks itself still does, and
 * is still known to, so that it is not hashed a second time.
 */
export function observedStream(
  source: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncIterable<Uint8Array> {
  const stream = observe(source, onBytes);
  const known = selfChecking.get(source);
  if (known !== undefined) selfChecking.set(stream, { stream, promise: known.promise });
  return stream;
}

async function* observe(source: AsyncIterable<Uint8Array>, onBytes: (bytes: number) => void): Pieces {
  let bytes = 0;
  for await (const piece of source) {
    bytes += piece.byteLength;
    onBytes(bytes);
    yield piece;
  }
}

/**
 * Refuses content that is larger than the caller can use.
 * @throws BullaError content-invalid
 */
export function checkBound(descriptor: Expected, maxBytes: number, where: string): void {
  if (descriptor.size <= maxBytes) return;
  throw new BullaError(
    'content-invalid',
    `${where}: ${descriptor.digest} has ${descriptor.size} bytes, more than the ${maxBytes} allowed`,
    { hint: 'no honest content of this kind is that large' },
  );
}

/**
 * All bytes of a stream, verified, never more than `maxBytes` in memory.
 * @throws BullaError content-invalid
 */
export async function readVerified(
  descriptor: Expected,
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
  where: string,
): Promise<Uint8Array> {
  checkBound(descriptor, maxBytes, where);
  const bytes = new Uint8Array(descriptor.size);
  let at = 0;
  for await (const piece of source) {
    if (at + piece.byteLength > bytes.byteLength) throw wrongSize(descriptor, 'more', where);
    bytes.set(piece, at);
    at += piece.byteLength;
  }
  checkContent(descriptor, bytes.subarray(0, at), where);
  return bytes;
}

function wrongSize(descriptor: Expected, found: string, where: string): BullaError {
  return new BullaError(
    'content-invalid',
    `${where}: ${descriptor.digest} should have ${descriptor.size} bytes and has ${found}`,
    { hint: 'the content was cut off or replaced; nothing of it was used' },
  );
}

/** A stream of the given bytes. */
export async function* streamOf(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  if (bytes.byteLength > 0) yield bytes;
}
