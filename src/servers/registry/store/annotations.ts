import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { isErrno, storageError } from '../../../disk/atomic.ts';
import { memberSpan } from '../../../encoding/json-span.ts';
import type { Digest } from '../../../oci/digest.ts';
import { blobPath } from './paths.ts';

/**
 * Where a manifest's annotations stand in its file, as they are listed with a referrer: `none`, or
 * `<first byte>+<bytes>:<CRC-32 in 8 hex digits>`. With it a listing reads what it answers with and no more,
 * however large the manifest is.
 */
export type AnnotationsPlace = string;

interface Place {
  readonly at: number;
  readonly length: number;
  readonly crc: number;
}

/** The value for a manifest without annotations. */
export const NO_ANNOTATIONS: AnnotationsPlace = 'none';
const PLACE = /^(0|[1-9][0-9]{0,9})\+([1-9][0-9]{0,9}):([0-9a-f]{8})$/;
/** Read at a time. */
const PIECE_BYTES = 64 * 1024;

/** @param bytes a manifest that was parsed */
export function placeOfAnnotations(bytes: Uint8Array): AnnotationsPlace {
  const span = memberSpan(bytes, 'annotations');
  if (span === undefined) return NO_ANNOTATIONS;
  const { start, end } = span;
  const crc = crc32(bytes.subarray(start, end)).toString(16).padStart(8, '0');
  return `${start}+${end - start}:${crc}`;
}

export function isAnnotationsPlace(text: unknown): text is AnnotationsPlace {
  return typeof text === 'string' && (text === NO_ANNOTATIONS || PLACE.test(text));
}

/** Bytes of the annotations; 0 where there are none. */
export function annotationsLength(place: AnnotationsPlace | undefined): number {
  return placeIn(place)?.length ?? 0;
}

function placeIn(text: AnnotationsPlace | undefined): Place | undefined {
  const [, at, length, crc] = PLACE.exec(text ?? '') ?? [];
  if (at === undefined || length === undefined || crc === undefined) return undefined;
  return { at: Number(at), length: Number(length), crc: Number.parseInt(crc, 16) };
}

/**
 * The annotations of a manifest as they are written in its file, in pieces of at most 64 KiB.
 * @returns nothing where there are none, and where the file is gone or is not what it was
 * @throws BullaError storage-error
 */
export async function* readAnnotations(
  layout: string,
  digest: Digest,
  text: AnnotationsPlace | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  const place = placeIn(text);
  if (place === undefined) return;
  let file: FileHandle;
  try {
    file = await open(blobPath(layout, digest), 'r');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return;
    throw storageError(`cannot open ${digest}`, error);
  }
  try {
    if (place.length <= PIECE_BYTES) {
      const whole = await readPiece(file, place.at, place.length);
      if (whole !== undefined && crc32(whole) === place.crc) yield whole;
      return;
    }
    // Looked at first: what is in the middle of an answer cannot be taken back.
    if (!(await isWhole(file, place))) return;
    for await (const piece of pieces(file, place)) yield piece;
  } finally {
    await file.close();
  }
}

async function isWhole(file: FileHandle, place: Place): Promise<boolean> {
  let crc = 0;
  let length = 0;
  for await (const piece of pieces(file, place)) {
    crc = crc32(piece, crc);
    length += piece.byteLength;
  }
  return length === place.length && crc === place.crc;
}

async function* pieces(file: FileHandle, { at, length }: Place): AsyncGenerator<Uint8Array, void, void> {
  for (let done = 0; done < length; ) {
    const piece = await readPiece(file, at + done, Math.min(PIECE_BYTES, length - done));
    if (piece === undefined) return;
    yield piece;
    done += piece.byteLength;
  }
}

/** Undefined where the file ends before. */
async function readPiece(file: FileHandle, at: number, length: number): Promise<Uint8Array | undefined> {
  const buffer = Buffer.allocUnsafeSlow(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(buffer, done, length - done, at + done);
    if (bytesRead === 0) return undefined;
    done += bytesRead;
  }
  return buffer;
}
