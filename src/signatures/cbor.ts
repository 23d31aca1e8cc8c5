import { decode, encode, Token, Type } from 'cborg';
import { malformed } from './errors.ts';

/** A time that stood in CBOR as tag 1 over an integer (RFC 8949 §3.4.2). */
const EPOCH_TAG = 1;

/**
 * Parses untrusted CBOR so that two readers can't see two things in it: definite lengths, shortest
 * integers, no key twice, no tag but times in whole seconds, nothing after the value. Maps become Map.
 * @throws BullaError content-invalid
 */
export function parseCbor(bytes: Uint8Array, where: string): unknown {
  try {
    return decode(bytes, {
      strict: true,
      allowIndefinite: false,
      allowUndefined: false,
      allowNaN: false,
      allowInfinity: false,
      allowBigInt: false,
      useMaps: true,
      rejectDuplicateMapKeys: true,
      tags: { [EPOCH_TAG]: (content) => dateOf(content()) },
    });
  } catch (cause) {
    // Deep nesting ends in a RangeError of the decoder, which is as good a refusal as any.
    throw malformed(where, 'it is not CBOR that can be read in one way only', cause);
  }
}

function dateOf(seconds: unknown): Date {
  const date = new Date(typeof seconds === 'number' && Number.isSafeInteger(seconds) ? seconds * 1000 : NaN);
  if (Number.isNaN(date.getTime())) throw new RangeError('a time is not in whole seconds');
  return date;
}

/** CBOR in its deterministic form; a Date becomes tag 1 in whole seconds. */
export function encodeCbor(value: unknown): Uint8Array {
  return encode(value, {
    typeEncoders: {
      Date: (date: Date) => [
        new Token(Type.tag, EPOCH_TAG),
        new Token(Type.uint, Math.floor(date.getTime() / 1000)),
      ],
    },
  });
}
