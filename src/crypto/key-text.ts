import { decodeUtf8 } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';

/** Encoders of marks of byte order; text without one that begins with `-` shows its own by where the zero stands. */
const WIDE: readonly (readonly [first: number, second: number, encoding: 'utf-16le' | 'utf-16be'])[] = [
  [0xff, 0xfe, 'utf-16le'],
  [0xfe, 0xff, 'utf-16be'],
  [0x2d, 0x00, 'utf-16le'],
  [0x00, 0x2d, 'utf-16be'],
];

/** Whether bytes begin as DER does (a SEQUENCE whose length follows in its long or short form), which no PEM text does. */
export function looksLikeDer(bytes: Uint8Array): boolean {
  const [tag, length = 0] = bytes;
  return tag === 0x30 && (length >= 0x80 ? bytes.byteLength > 128 : length + 2 === bytes.byteLength);
}

/**
 * PEM text of a key that a person gives, in the spellings that editors, shells and secret stores leave behind:
 * UTF-16 of Windows, `\n` written out, quotes around it, all on one line, the whole of it in base64.
 * Not for what comes from a registry.
 * @param where names the file or variable in messages
 * @throws BullaError key-invalid where it is not text
 */
export function pemTextOf(bytes: Uint8Array, where: string): string {
  return unfolded(textOf(bytes, where));
}

function textOf(bytes: Uint8Array, where: string): string {
  const wide = WIDE.find(([first, second]) => bytes[0] === first && bytes[1] === second);
  try {
    if (wide === undefined) return decodeUtf8(bytes, where);
    const text = new TextDecoder(wide[2], { fatal: true }).decode(bytes);
    if (text.includes('-----BEGIN ')) return text;
    throw new TypeError('nothing in it begins as PEM does');
  } catch (cause) {
    throw new BullaError(
      'key-invalid',
      `${where} is not a key that can be used: it is binary, and PEM was expected`,
      {
        cause,
        hint: 'convert it: openssl pkey -inform der -in FILE (with -pubin for a public key)',
      },
    );
  }
}

function unfolded(text: string): string {
  if (!text.includes('-----BEGIN ')) return fromOneBase64(text) ?? text;
  // No PEM has a backslash in it.
  const lines = text.replace(/\\r\\n|\\[nr]/g, '\n');
  return lines
    .replace(
      /(-----BEGIN [A-Z0-9 ]{1,64}-----)([A-Za-z0-9+/=\s]{1,131072}?)(-----END [A-Z0-9 ]{1,64}-----)/g,
      (_, begin: string, body: string, end: string) =>
        `\n${begin}\n${body.replace(/\s+/g, '\n').trim()}\n${end}\n`,
    )
    .replace(/^[ \t]*["'][ \t]*$/gm, '');
}

function fromOneBase64(text: string): string | undefined {
  const packed = text.replace(/\s+/g, '');
  if (packed === '' || !/^[A-Za-z0-9+/]+={0,2}$/.test(packed)) return undefined;
  const inner = Buffer.from(packed, 'base64').toString('latin1');
  return inner.includes('-----BEGIN ') ? unfolded(inner) : undefined;
}
