import { BullaError } from '../errors.ts';
import { type DerValue, derChildren, expectTag, readOid, TAG } from './der.ts';

/** One attribute of a distinguished name, such as `CN=release`. */
export interface NameAttribute {
  readonly oid: string;
  /** Undefined for a value that is not text; such an attribute matches nothing. */
  readonly value: string | undefined;
  readonly der: Uint8Array;
}

/**
 * A distinguished name: its relative names in the order of the certificate, each of which has one
 * attribute, and rarely more (RFC 5280 §4.1.2.4).
 */
export type DistinguishedName = readonly (readonly NameAttribute[])[];

/** Short names (RFC 4514 §3, RFC 4519, and those in use); the first of an OID is the one we write. */
const SHORT_NAMES: readonly (readonly [string, string])[] = [
  ['CN', '2.5.4.3'],
  ['C', '2.5.4.6'],
  ['ST', '2.5.4.8'],
  ['S', '2.5.4.8'],
  ['L', '2.5.4.7'],
  ['O', '2.5.4.10'],
  ['OU', '2.5.4.11'],
  ['STREET', '2.5.4.9'],
  ['POSTALCODE', '2.5.4.17'],
  ['SERIALNUMBER', '2.5.4.5'],
  ['DC', '0.9.2342.19200300.100.1.25'],
  ['UID', '0.9.2342.19200300.100.1.1'],
  ['EMAILADDRESS', '1.2.840.113549.1.9.1'],
  ['E', '1.2.840.113549.1.9.1'],
];
const OID_OF: ReadonlyMap<string, string> = new Map(SHORT_NAMES);
const NAME_OF: ReadonlyMap<string, string> = new Map(
  [...SHORT_NAMES].reverse().map(([name, oid]) => [oid, name]),
);

/** Reads a Name (RFC 5280 §4.1.2.4). @throws BullaError content-invalid */
export function readName(value: DerValue | undefined): DistinguishedName {
  return derChildren(expectTag(value, TAG.sequence)).map((relative) =>
    derChildren(relative, TAG.set).map((attribute) => {
      const [type, text] = derChildren(attribute, TAG.sequence);
      const content = expectTag(text, text?.tag ?? -1);
      return { oid: readOid(type), value: readText(content), der: content.raw };
    }),
  );
}

function readText({ tag, content }: DerValue): string | undefined {
  switch (tag) {
    case TAG.utf8String:
    case TAG.printableString:
    case TAG.ia5String:
      return decode('utf-8', content);
    // What T.61 means is unclear; most tools read Latin-1, so only ASCII is accepted as text here.
    case TAG.teletexString:
      return content.some((octet) => octet >= 0x80) ? undefined : decode('utf-8', content);
    case TAG.bmpString:
      return decode('utf-16be', content);
    default:
      return undefined;
  }
}

function decode(encoding: 'utf-8' | 'utf-16be', content: Uint8Array): string {
  try {
    return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(content);
  } catch (cause) {
    throw new BullaError('content-invalid', `a name holds text that is not ${encoding}`, {
      cause,
      hint: 'the certificate is damaged or was made by faulty software',
    });
  }
}

/**
 * A name as RFC 4514 writes it, except for the order, which is that of the certificate and of
 * Notation's trust policies: `C=DE, ST=Berlin, O=Acme, CN=release`.
 */
export function formatName(name: DistinguishedName): string {
  return name.map((relative) => relative.map(formatAttribute).join('+')).join(', ');
}

function formatAttribute({ oid, value, der }: NameAttribute): string {
  const type = NAME_OF.get(oid) ?? oid;
  return `${type}=${value === undefined ? `#${Buffer.from(der).toString('hex')}` : escapeValue(value)}`;
}

function escapeValue(value: string): string {
  return value.replace(
    /[\\"+,;<>]|^[ #]| $|[\u0000-\u001f\u007f]/g,
    (character) =>
      `\\${character < ' ' || character === '\u007f' ? character.charCodeAt(0).toString(16).padStart(2, '0') : character}`,
  );
}

/**
 * A value as people read it: whatever its width, case and spaces (RFC 4518 §2 does about the same). For
 * counting only, where two spellings must never be two; what is trusted matches exactly.
 */
export function foldValue(value: string): string {
  return value.normalize('NFKC').toUpperCase().toLowerCase().replace(/\s+/g, ' ').trim();
}

/** Whether two names have the same attributes, whatever their order, grouping and spelling. */
export function sameName(one: DistinguishedName, other: DistinguishedName): boolean {
  return folded(one) === folded(other);
}

function folded(name: DistinguishedName): string {
  const attributes = name
    .flat()
    .map(({ oid, value, der }) => [
      oid,
      value === undefined ? Buffer.from(der).toString('hex') : foldValue(value),
    ]);
  return JSON.stringify(attributes.map((attribute) => JSON.stringify(attribute)).sort());
}

/** The attributes of a name as written by a user; by OID. */
export type NameAttributes = ReadonlyMap<string, string>;

/**
 * Reads a name such as `C=DE, ST=Berlin, O=Acme, CN=release` (RFC 4514, spaces around `,` allowed;
 * each attribute once, no `+`, no `#` values, as Notation demands it of trust policies).
 * @throws BullaError usage
 */
export function parseName(text: string): NameAttributes {
  const attributes = new Map<string, string>();
  for (const part of splitUnescaped(text)) {
    const at = part.indexOf('=');
    const type = part.slice(0, Math.max(at, 0)).trim().toUpperCase();
    const oid = OID_OF.get(type) ?? (/^[0-2](?:\.(?:0|[1-9]\d*))+$/.test(type) ? type : undefined);
    if (oid === undefined)
      throw badName(text, `${JSON.stringify(part.trim())} is not an attribute with a known type`);
    const value = unescapeValue(part.slice(at + 1), text);
    if (value === '') throw badName(text, `${type} is empty`);
    if (attributes.has(oid)) throw badName(text, `${type} stands twice`);
    attributes.set(oid, value);
  }
  return attributes;
}

function splitUnescaped(text: string): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === ',') {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

function unescapeValue(raw: string, whole: string): string {
  const value = raw.replace(/^ +/, '');
  if (value.startsWith('#')) throw badName(whole, 'values in hexadecimal are not taken');
  const octets: number[] = [];
  // Spaces at the end are dropped unless they are escaped.
  let end = 0;
  for (let at = 0; at < value.length; ) {
    const character = String.fromCodePoint(value.codePointAt(at) ?? 0);
    at += character.length;
    if (character !== '\\') {
      if ('"+;<>'.includes(character)) throw badName(whole, `${character} must be written as \\${character}`);
      octets.push(...Buffer.from(character));
      if (character === ' ') continue;
    } else if (/^[ "#+,;<=>\\]/.test(value.slice(at, at + 1))) {
      octets.push(value.charCodeAt(at++));
    } else {
      const digits = value.slice(at, at + 2);
      if (!/^[0-9a-fA-F]{2}$/.test(digits)) throw badName(whole, 'a backslash that escapes nothing');
      octets.push(Number.parseInt(digits, 16));
      at += 2;
    }
    end = octets.length;
  }
  const bytes = Buffer.from(octets.slice(0, end));
  const text = bytes.toString('utf8');
  if (!Buffer.from(text).equals(bytes)) throw badName(whole, 'an escape that is not UTF-8');
  return text;
}

function badName(text: string, why: string): BullaError {
  return new BullaError('usage', `${JSON.stringify(text)} is not a distinguished name: ${why}`, {
    hint: 'write it like C=DE, ST=Berlin, O=Acme, CN=release',
  });
}
