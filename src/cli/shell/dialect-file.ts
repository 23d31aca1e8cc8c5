import { join } from 'node:path';
import * as z from 'zod/mini';
import { makeDirectory } from '../../disk/atomic.ts';
import { readSmallFile, writeSmallFile } from '../../disk/small-file.ts';
import { utf8 } from '../../encoding/bytes.ts';
import { parseJson } from '../../encoding/json.ts';
import { messageOf } from '../../errors.ts';
import type { Dialect, DialectStore } from '../../registry/dialect.ts';

/** What was learnt about a registry is asked for again after a week: registries are upgraded. */
const MAX_AGE_MS = 7 * 86_400_000;
/** More registries than any user has; the oldest are dropped. */
const MAX_REGISTRIES = 1_000;
const MAX_BYTES = 1024 * 1024;

const fileSchema = z.record(
  z.string(),
  z.object({
    referrers: z.optional(z.enum(['api', 'fallback'])),
    conditional: z.optional(z.enum(['etag', 'head'])),
    head: z.optional(z.enum(['works', 'get'])),
    tags: z.optional(z.enum(['after', 'whole'])),
    scheme: z.optional(z.enum(['http'])),
    learnt: z.int(),
  }),
);
type File = z.infer<typeof fileSchema>;

/**
 * Remembers registries' dialects in the cache directory, which saves a request in each new process.
 * A cache that cannot be read or written is reported with `-v` and otherwise not used.
 */
export class DialectFile implements DialectStore {
  private readonly directory: string;
  private readonly now: () => Date;
  private readonly note: (line: string) => void;

  constructor(directory: string, now: () => Date, note: (line: string) => void) {
    this.directory = directory;
    this.now = now;
    this.note = note;
  }

  async get(registry: string): Promise<Dialect | undefined> {
    const entry = new Map(Object.entries(this.read())).get(registry);
    if (entry === undefined) return undefined;
    const { learnt, ...dialect } = entry;
    const age = this.now().getTime() - learnt;
    return age >= 0 && age < MAX_AGE_MS ? dialect : undefined;
  }

  async set(registry: string, dialect: Dialect): Promise<void> {
    const entries = new Map(Object.entries(this.read()));
    entries.delete(registry);
    entries.set(registry, { ...dialect, learnt: this.now().getTime() });
    const kept = [...entries].slice(-MAX_REGISTRIES);
    try {
      await makeDirectory(this.directory);
      writeSmallFile(this.path, utf8(JSON.stringify(Object.fromEntries(kept))));
    } catch (error) {
      this.note(`the cache ${this.path} was not written: ${messageOf(error)}`);
    }
  }

  private get path(): string {
    return join(this.directory, 'registries.json');
  }

  private read(): File {
    try {
      const bytes = readSmallFile(this.path, MAX_BYTES);
      if (bytes === undefined) return {};
      return fileSchema.parse(parseJson(bytes, { what: this.path, maxBytes: MAX_BYTES }));
    } catch (error) {
      this.note(`the cache ${this.path} was not read: ${messageOf(error)}`);
      return {};
    }
  }
}
