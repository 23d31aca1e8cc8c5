import { BullaError } from '../errors.ts';

/** One value of DER (X.690): the tag octet, its content, and all its octets. */
export interface DerValue {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly raw: Uint8Array;
}

/** Tags that certificates and keys are made of. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
  /** dNSName [2] of a GeneralName. */
  dnsName: 0x82,
  /** uniformResourceIdentifier [6] of a GeneralName. */
  uri: 0x86,
} as const;

/**
 * The one value that `bytes` are. Only DER is taken: definite and shortest lengths, tags of one octet.
 * @throws BullaError content-invalid
 */
export function readDer(bytes: Uint8Array, tag?: number): DerValue {
  const value = readAt(bytes, 0);
  if (value.raw.byteLength !== bytes.byteLength) throw notDer('something follows the value');
  if (tag !== undefined) expectTag(value, tag);
  return value;
}

/** The values in the content of a constructed value. @throws BullaError content-invalid */
export function derChildren(parent: DerValue, tag?: number): DerValue[] {
  if (tag !== undefined) expectTag(parent, tag);
  return [...eachDerChild(parent)];
}

/** {@link derChildren}, one after the other: for lists of a million elements. @throws BullaError content-invalid */
export function* eachDerChild(parent: DerValue): Generator<DerValue> {
  for (let at = 0; at < parent.content.byteLength; ) {
    const child = readAt(parent.content, at);
    yield child;
    at += child.raw.byteLength;
  }
}

/** `value`, if it is there and has this tag. @throws BullaError content-invalid */
export function expectTag(value: DerValue | undefined, tag: number): DerValue {
  if (value?.tag !== tag) {
    const found = value === undefined ? 'nothing' : `0x${value.tag.toString(16)}`;
    throw notDer(`expected tag 0x${tag.toString(16)}, found ${found}`);
  }
  return value;
}

/** Dotted form of an OBJECT IDENTIFIER. @throws BullaError content-invalid */
export function readOid(value: DerValue | undefined): string {
  const { content } = expectTag(value, TAG.oid);
  const arcs: number[] = [];
  let arc = 0;
  let started = false;
  for (const octet of content) {
    if (!started && octet === 0x80) throw notDer('an object identifier with a padded arc');
    started = true;
    arc = arc * 128 + (octet & 0x7f);
    if (!Number.isSafeInteger(arc)) throw notDer('an object identifier with an arc that is too large');
    if (octet < 0x80) {
      arcs.push(arc);
      arc = 0;
      started = false;
    }
  }
  const [first, ...rest] = arcs;
  if (first === undefined || started) throw notDer('an object identifier that is cut off');
  const top = Math.min(Math.floor(first / 40), 2);
  return [top, first - 40 * top, ...rest].join('.');
}

/** A non-negative INTEGER that a double holds. @throws BullaError content-invalid */
export function readSmallInteger(value: DerValue | undefined): number {
  const { content } = expectTag(value, TAG.integer);
  const [first, second] = content;
  if (first === undefined || (first === 0 && second !== undefined && second < 0x80))
    throw notDer('an integer that is not written the shortest way');
  if (first >= 0x80 || content.byteLength > 7) throw notDer('an integer out of range');
  return content.reduce((sum, octet) => sum * 256 + octet, 0);
}

/**
 * GeneralizedTime, and UTCTime where it is allowed, to the second, in the only form that certificates may have
 * (RFC 5280 §4.1.2.5). @throws BullaError content-invalid
 */
export function readDerTime(value: DerValue | undefined, isUtcAllowed = false): Date {
  const text = Buffer.from(value?.content ?? []).toString('latin1');
  const isUtc = isUtcAllowed && value?.tag === TAG.utcTime;
  const match = isUtc
    ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text)
    : value?.tag === TAG.generalizedTime
      ? /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text)
      : null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = (match ?? []).slice(1).map(Number);
  const century = isUtc ? (year < 50 ? 2000 : 1900) : 0;
  const time = new Date(Date.UTC(century + year, month - 1, day, hour, minute, second));
  if (match === null || !time.toISOString().replace(/[-:T]/g, '').includes(text.slice(0, -1)))
    throw notDer('a time that does not exist or is not written as it must be');
  return time;
}

/** BOOLEAN; DER has one spelling of true. @throws BullaError content-invalid */
export function readBoolean(value: DerValue | undefined): boolean {
  const { content } = expectTag(value, TAG.boolean);
  if (content.byteLength !== 1 || (content[0] !== 0 && content[0] !== 0xff))
    throw notDer('a malformed boolean');
  return content[0] === 0xff;
}

function readAt(bytes: Uint8Array, start: number): DerValue {
  const tag = bytes[start];
  const first = bytes[start + 1];
  if (tag === undefined || first === undefined) throw notDer('it ends inside a value');
  if ((tag & 0x1f) === 0x1f) throw notDer('a tag of more than one octet');
  let at = start + 2;
  let length = first;
  if (first >= 0x80) {
    const octets = first & 0x7f;
    if (octets === 0 || octets > 4) throw notDer('an indefinite or absurd length');
    length = 0;
    for (let i = 0; i < octets; i++) length = length * 256 + (bytes[at++] ?? 0);
    const least = octets === 1 ? 0x80 : 256 ** (octets - 1);
    if (length < least) throw notDer('a length that is not written the shortest way');
  }
  if (at + length > bytes.byteLength) throw notDer('a length beyond the end');
  return { tag, content: bytes.subarray(at, at + length), raw: bytes.subarray(start, at + length) };
}

function notDer(why: string): BullaError {
  return new BullaError('content-invalid', `this is not DER: ${why}`, {
    hint: 'the data is damaged or was not written in DER',
  });
}
