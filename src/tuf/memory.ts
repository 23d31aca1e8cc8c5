import { equalBytes } from '../encoding/bytes.ts';
import { BullaError } from '../errors.ts';
import type { MetadataFetcher, StateChange, TargetFetcher, TrustedStateStore } from './ports.ts';

/** A repository whose files are in memory: those of a registry's head, a proof, a test. */
export class MemoryFetcher implements MetadataFetcher, TargetFetcher {
  /** Metadata by file name, percent-encoded as on a repository. */
  readonly metadata: ReadonlyMap<string, Uint8Array>;
  /** Target files by path. */
  readonly targets: ReadonlyMap<string, Uint8Array>;

  constructor(
    metadata: ReadonlyMap<string, Uint8Array>,
    targets: ReadonlyMap<string, Uint8Array> = new Map(),
  ) {
    this.metadata = metadata;
    this.targets = targets;
  }

  async fetchMetadata(fileName: string, maxBytes: number): Promise<Uint8Array | undefined> {
    const bytes = this.metadata.get(fileName);
    if (bytes !== undefined && bytes.byteLength > maxBytes) throw tooLarge(fileName, maxBytes);
    return bytes;
  }

  async fetchTarget(path: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    const bytes = this.targets.get(path);
    return bytes === undefined ? undefined : once(bytes);
  }
}

/** Trusted state that ends with the process. */
export class MemoryStateStore implements TrustedStateStore {
  private readonly files = new Map<string, Uint8Array>();

  async load(role: string): Promise<Uint8Array | undefined> {
    return this.files.get(role);
  }

  async replace(changes: readonly StateChange[]): Promise<boolean> {
    if (changes.some((change) => !isPossible(change, this.files.get(change.role)))) return false;
    for (const { role, bytes } of changes) {
      if (bytes === undefined) this.files.delete(role);
      else this.files.set(role, bytes);
    }
    return true;
  }

  async keep(role: string, bytes: Uint8Array): Promise<void> {
    this.files.set(role, bytes);
  }
}

/** The error of every fetcher for a metadata file that is larger than the limit. */
export function tooLarge(fileName: string, maxBytes: number): BullaError {
  return new BullaError('content-invalid', `${fileName} has more than the ${maxBytes} bytes allowed`, {
    hint: 'the server sends endless data, or the repository has outgrown the limits',
    details: { fileName, maxBytes },
  });
}

/** Whether a change may be made where `present` is stored: as expected, or what it is to become already. */
export function isPossible(change: StateChange, present: Uint8Array | undefined): boolean {
  return same(present, change.expected) || same(present, change.bytes);
}

/** Whether two stored files are the same; both may be missing. */
export function same(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
