import { constants } from 'node:fs';
import { type FileHandle, open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { crc32 } from 'node:zlib';
import { isErrno, storageError, syncDirectory } from '../../../disk/atomic.ts';
import { utf8 } from '../../../encoding/bytes.ts';
import { isJsonObject, type JsonObject, parseJson } from '../../../encoding/json.ts';
import { BullaError } from '../../../errors.ts';

const FILE = /^journal-([0-9]{1,15})$/;
/** One record is a manifest's entry and its tags; far below this. */
const MAX_RECORD_BYTES = 1024 * 1024;

/**
 * Append-only record of every change that was answered with success. It is the truth between two
 * writings of a repository's index.json: each line is `<crc32 hex> <JSON>`, and what follows a
 * damaged line was never acknowledged.
 */
export class Journal {
  private readonly directory: string;
  private file: FileHandle;
  private number: number;
  private length = 0;
  private broken: unknown;

  private constructor(directory: string, file: FileHandle, number: number) {
    this.directory = directory;
    this.file = file;
    this.number = number;
  }

  /**
   * Opens the journal in `directory`, hands every record in it to `replay` in order, and starts a new file.
   * @throws BullaError storage-error
   */
  static async open(directory: string, replay: (record: JsonObject) => Promise<void>): Promise<Journal> {
    const numbers = await filesIn(directory);
    for (const number of numbers) await replayFile(pathOf(directory, number), replay);
    const next = (numbers.at(-1) ?? 0) + 1;
    return new Journal(directory, await create(directory, next), next);
  }

  /** Bytes in the current file. */
  get size(): number {
    return this.length;
  }

  /**
   * Appends records and makes them durable: all of them, or none.
   * @throws BullaError storage-error
   */
  async append(records: readonly JsonObject[]): Promise<void> {
    if (this.broken !== undefined) throw this.unusable();
    const bytes = utf8(records.map(encodeRecord).join(''));
    try {
      await writeFully(this.file, bytes, this.length);
    } catch (error) {
      await this.cutBack(error);
      throw storageError('cannot write the journal', error);
    }
    try {
      await this.file.datasync();
    } catch (error) {
      // After a failed fsync the content of the disk is unknown: only a restart can read it.
      this.broken = error;
      throw storageError('cannot make the journal durable', error);
    }
    this.length += bytes.byteLength;
  }

  /** Starts a new file. @returns number to hand to {@link dropBefore} once the older ones are not needed */
  async rotate(): Promise<number> {
    const next = this.number + 1;
    const file = await create(this.directory, next);
    const old = this.file;
    this.file = file;
    this.number = next;
    this.length = 0;
    await old.close();
    return next;
  }

  /** Removes the files before `number`: all they say stands in index.json files by now. */
  async dropBefore(number: number): Promise<void> {
    for (const old of await filesIn(this.directory)) {
      if (old < number) await unlink(pathOf(this.directory, old));
    }
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  private async cutBack(cause: unknown): Promise<void> {
    try {
      await this.file.truncate(this.length);
    } catch {
      this.broken = cause;
    }
  }

  private unusable(): BullaError {
    return new BullaError('storage-error', 'the journal could not be written and is closed', {
      cause: this.broken,
      hint: 'look at the disk, then start the registry again: what it has acknowledged is safe',
    });
  }
}

async function filesIn(directory: string): Promise<number[]> {
  const names = await readdir(directory);
  return names
    .map((name) => FILE.exec(name)?.[1])
    .filter((number) => number !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

function pathOf(directory: string, number: number): string {
  return join(directory, `journal-${number}`);
}

async function create(directory: string, number: number): Promise<FileHandle> {
  try {
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY;
    const file = await open(pathOf(directory, number), flags, 0o600);
    await syncDirectory(directory);
    return file;
  } catch (error) {
    throw storageError('cannot create the journal', error);
  }
}

async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.byteLength - done, position + done);
    done += bytesWritten;
  }
}

/** A line of the journal, with its end (spec/registry.md, "The journal"). */
export function encodeRecord(record: JsonObject): string {
  const text = JSON.stringify(record);
  return `${checksum(text)} ${text}\n`;
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

async function replayFile(path: string, replay: (record: JsonObject) => Promise<void>): Promise<void> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw storageError(`cannot read ${path}`, error);
  }
  const lines = createInterface({
    input: file.createReadStream({ encoding: 'utf8' }),
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  for await (const line of lines) {
    const record = decodeRecord(line);
    // A torn write: it and what may follow was never acknowledged.
    if (record === undefined) break;
    await replay(record);
  }
  lines.close();
}

/** The record of a line without its end; undefined where it is damaged. */
export function decodeRecord(line: string): JsonObject | undefined {
  const text = line.slice(9);
  if (line.length > MAX_RECORD_BYTES || line[8] !== ' ' || line.slice(0, 8) !== checksum(text))
    return undefined;
  const value = parseJson(utf8(text), { what: 'a record of the journal' });
  return isJsonObject(value) ? value : undefined;
}
