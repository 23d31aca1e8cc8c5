import { fromBase64 } from '../encoding/bytes.ts';
import { BullaError, type ErrorCode } from '../errors.ts';

/** Largest PEM text that is read, in characters: more than a hundred certificates or any key. */
export const MAX_PEM_CHARACTERS: number = 512 * 1024;

/** One `-----BEGIN label-----` … `-----END label-----` (RFC 7468). */
export interface PemBlock {
  readonly label: string;
  /** Encapsulated headers (RFC 1421 §4.4), names in lower case; Docker Content Trust writes `role` and `gun`. */
  readonly headers: ReadonlyMap<string, string>;
  readonly bytes: Uint8Array;
}

export interface PemOptions {
  /** Names the file in messages. */
  readonly where: string;
  /** Code of the error where the text is malformed. */
  readonly code: ErrorCode;
}

const BOUNDARY = /^-----(BEGIN|END) ([A-Z0-9][A-Z0-9 ]{0,63})-----$/;

/**
 * All blocks of a PEM text, in order. Text between blocks is commentary and is skipped (RFC 7468 §5.2);
 * inside a block nothing is: what is cut off, mixed up or not base64 is refused.
 * @throws BullaError `options.code`
 */
export function parsePem(text: string, options: PemOptions): PemBlock[] {
  if (text.length > MAX_PEM_CHARACTERS) {
    throw malformed(options, `it has ${text.length} characters, more than the ${MAX_PEM_CHARACTERS} allowed`);
  }
  const blocks: PemBlock[] = [];
  let open: { readonly label: string; readonly lines: string[] } | undefined;
  for (const line of text.split('\n').map((raw) => raw.trim())) {
    const [, edge, label] = BOUNDARY.exec(line) ?? [];
    if (open === undefined) {
      if (edge === 'END') throw malformed(options, `END ${label} stands without its BEGIN`);
      if (edge === 'BEGIN') open = { label: label ?? '', lines: [] };
    } else if (edge === undefined) {
      open.lines.push(line);
    } else {
      if (edge === 'BEGIN' || label !== open.label)
        throw malformed(options, `${edge} ${label} stands inside ${open.label}`);
      blocks.push(blockOf(open.label, open.lines, options));
      open = undefined;
    }
  }
  if (open !== undefined) throw malformed(options, `it ends before END ${open.label}`);
  return blocks;
}

function blockOf(label: string, lines: readonly string[], options: PemOptions): PemBlock {
  const headers = new Map<string, string>();
  let at = 0;
  for (; lines[at]?.includes(':'); at++) {
    const line = lines[at] ?? '';
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).trim().toLowerCase();
    if (headers.has(name)) throw malformed(options, `the header ${name} stands twice in ${label}`);
    headers.set(name, line.slice(colon + 1).trim());
  }
  const bytes = fromBase64(lines.slice(at).join(''));
  if (bytes === undefined || bytes.byteLength === 0)
    throw malformed(options, `what ${label} holds is not base64`);
  return { label, headers, bytes };
}

/** PEM text of one block, with 64 characters a line and a newline at the end. */
export function formatPem(
  label: string,
  bytes: Uint8Array,
  headers: ReadonlyMap<string, string> = new Map(),
): string {
  const head = [...headers].map(([name, value]) => `${name}: ${value}\n`).join('');
  const body = Buffer.from(bytes)
    .toString('base64')
    .replace(/.{1,64}/g, '$&\n');
  return `-----BEGIN ${label}-----\n${head}${head === '' ? '' : '\n'}${body}-----END ${label}-----\n`;
}

function malformed(options: PemOptions, why: string): BullaError {
  return new BullaError(options.code, `${options.where} is not PEM that can be read: ${why}`, {
    hint: 'the file is damaged, cut off, or not the one that was meant',
  });
}
