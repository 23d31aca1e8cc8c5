import { posix } from 'node:path';
import { decodeUtf8 } from '../encoding/bytes.ts';
import type { ByteSource, Place } from './byte-source.ts';
import { BLOCK, damaged, isZero, padded, parseHeader, parsePax, type TarHeader } from './tar-format.ts';

/** Where the files of an archive lie in it. */
export interface TarIndex {
  readonly files: ReadonlyMap<string, Place>;
  /** Links, by name; resolved by {@link placeOf} and never outside of the archive. */
  readonly links: ReadonlyMap<string, string>;
}

const MAX_ENTRIES = 200_000;
const MAX_EXTENDED_BYTES = 64 * 1024;
const MAX_NAME = 1024;
const MAX_LINKS = 8;

/**
 * Reads all headers of a tar and none of the content. Refuses what two readers could understand in two
 * ways: a name that stands twice, that leads out, that is cut off, an archive without its end.
 * @throws BullaError content-invalid
 */
export async function indexTar(source: ByteSource, where: string): Promise<TarIndex> {
  const table = new Table(source, where);
  const extended = new Extended(source, where);
  let at = 0;
  for (let entries = 0; entries <= MAX_ENTRIES; entries++) {
    if (at + BLOCK > source.size) throw damaged(where, 'it ends too early');
    const block = await source.read(at, BLOCK);
    if (isZero(block)) return table;
    const header = extended.apply(parseHeader(block, where));
    const offset = at + BLOCK;
    at = offset + padded(header.size);
    if (at > source.size) throw damaged(where, `it ends within ${JSON.stringify(header.name.slice(0, 200))}`);
    if (!(await extended.take(header, offset))) table.add(header, offset);
  }
  throw damaged(where, `it has more than ${MAX_ENTRIES} entries`);
}

/** Files and links by name; what is neither is left out. */
class Table implements TarIndex {
  readonly files = new Map<string, Place>();
  readonly links = new Map<string, string>();
  private readonly source: ByteSource;
  private readonly where: string;

  constructor(source: ByteSource, where: string) {
    this.source = source;
    this.where = where;
  }

  add(header: TarHeader, offset: number): void {
    const name = safeName(header.name, this.where);
    const isFile = header.type === '0' && !header.name.endsWith('/');
    const isLink = header.type === '1' || header.type === '2';
    if (!isFile && !isLink) return;
    if (this.files.has(name) || this.links.has(name)) {
      throw damaged(this.where, `${JSON.stringify(name)} stands twice`);
    }
    if (isFile) this.files.set(name, { source: this.source, offset, size: header.size });
    // A hard link's target counts from the root, a symbolic link's from where it stands.
    else this.links.set(name, posix.join(header.type === '1' ? '' : posix.dirname(name), header.linkName));
  }
}

/**
 * The file of a name, through links within the archive.
 * @returns undefined where there is none, or a link leads out
 */
export function placeOf(index: TarIndex, name: string): Place | undefined {
  let at = posix.normalize(name);
  for (let hops = 0; hops <= MAX_LINKS; hops++) {
    const place = index.files.get(at);
    if (place !== undefined) return place;
    const next = index.links.get(at);
    if (next === undefined) return undefined;
    at = next;
  }
  return undefined;
}

function safeName(name: string, where: string): string {
  const isOutside = name.startsWith('/') || name.split('/').includes('..') || name.includes('\0');
  if (isOutside || name === '' || name.length > MAX_NAME) {
    throw damaged(where, `it has an entry with the name ${JSON.stringify(name.slice(0, 200))}`);
  }
  return posix.normalize(name).replace(/\/$/, '');
}

/** Extended headers (pax, GNU long names), which speak of the entry behind them. */
class Extended {
  private readonly source: ByteSource;
  private readonly where: string;
  private name: string | undefined;
  private linkName: string | undefined;
  private size: number | undefined;

  constructor(source: ByteSource, where: string) {
    this.source = source;
    this.where = where;
  }

  /** The header with what the extended headers before it said. */
  apply(header: TarHeader): TarHeader {
    if ('xgLK'.includes(header.type)) return header;
    const { name = header.name, linkName = header.linkName, size = header.size } = this;
    this.name = undefined;
    this.linkName = undefined;
    this.size = undefined;
    return { ...header, name, linkName, size };
  }

  /** Reads an extended header; false if it is not one. */
  async take(header: TarHeader, offset: number): Promise<boolean> {
    if (!'xgLK'.includes(header.type)) return false;
    if (header.size > MAX_EXTENDED_BYTES) {
      throw damaged(this.where, `it has an extended header of ${header.size} bytes`);
    }
    const bytes = await this.source.read(offset, header.size);
    if (header.type === 'L' || header.type === 'K') {
      const text = decodeUtf8(bytes, `${this.where}: a long name`).replace(/\0.*$/s, '');
      if (header.type === 'L') this.name = text;
      else this.linkName = text;
      return true;
    }
    const records = parsePax(bytes, this.where);
    if (header.type === 'g') {
      if (['path', 'size', 'linkpath'].some((key) => records.has(key)))
        throw damaged(this.where, 'one header gives all entries the same name or size');
      return true;
    }
    this.name = records.get('path') ?? this.name;
    this.linkName = records.get('linkpath') ?? this.linkName;
    this.size = this.parseSize(records.get('size')) ?? this.size;
    return true;
  }

  private parseSize(text: string | undefined): number | undefined {
    if (text === undefined) return undefined;
    if (!/^(?:0|[1-9][0-9]{0,15})$/.test(text) || !Number.isSafeInteger(Number(text))) {
      throw damaged(this.where, 'an extended header has an invalid size');
    }
    return Number(text);
  }
}
