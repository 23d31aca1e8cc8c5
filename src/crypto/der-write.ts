import { concatBytes, utf8 } from '../encoding/bytes.ts';
import { TAG } from './der.ts';

/** One value in DER: tag, shortest length, content. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(parts);
  const length: number[] = [];
  for (let rest = content.byteLength; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  const head = content.byteLength < 0x80 ? [content.byteLength] : [0x80 | length.length, ...length];
  return concatBytes([Uint8Array.from([tag, ...head]), content]);
}

export function derSequence(...parts: readonly Uint8Array[]): Uint8Array {
  return der(TAG.sequence, ...parts);
}

/** OBJECT IDENTIFIER of its dotted form. */
export function derOid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return der(TAG.oid, Uint8Array.from([40 * first + second, ...rest].flatMap(base128)));
}

/** A non-negative INTEGER, big-endian. */
export function derInteger(magnitude: Uint8Array | number): Uint8Array {
  const bytes = typeof magnitude === 'number' ? Uint8Array.of(magnitude) : magnitude;
  const start = bytes.findIndex((octet) => octet !== 0);
  const shortest = start === -1 ? Uint8Array.of(0) : bytes.subarray(start);
  const sign = (shortest[0] ?? 0) >= 0x80 ? [Uint8Array.of(0)] : [];
  return der(TAG.integer, ...sign, shortest);
}

/** BIT STRING of whole octets, or with `unused` bits at its end. */
export function derBitString(bytes: Uint8Array, unused = 0): Uint8Array {
  return der(TAG.bitString, Uint8Array.of(unused), bytes);
}

/** Time of a certificate, to the second: UTCTime through 2049, then GeneralizedTime (RFC 5280 §4.1.2.5). */
export function derTime(time: Date): Uint8Array {
  const text = `${time.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;
  return time.getUTCFullYear() < 2050
    ? der(TAG.utcTime, utf8(text.slice(2)))
    : der(TAG.generalizedTime, utf8(text));
}

export const DER_NULL: Uint8Array = Uint8Array.of(0x05, 0x00);
export const DER_TRUE: Uint8Array = Uint8Array.of(0x01, 0x01, 0xff);

function base128(arc: number): number[] {
  const octets = [arc % 128];
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128))
    octets.unshift(0x80 | (rest % 128));
  return octets;
}
