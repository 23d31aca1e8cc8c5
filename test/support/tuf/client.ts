import { type RefreshOptions, refresh, type TufClient } from '../../../src/tuf/client.ts';
import { MemoryStateStore } from '../../../src/tuf/memory.ts';
import { NOW, type RepositorySimulator } from './repository.ts';

/** A client with its own trusted state, which begins with the repository's first root. */
export class TestClient {
  readonly store: MemoryStateStore = new MemoryStateStore();
  readonly warnings: string[] = [];
  private readonly repository: RepositorySimulator;
  private readonly root: Uint8Array;

  constructor(repository: RepositorySimulator) {
    this.repository = repository;
    this.root = repository.rootBytes();
  }

  refresh(now: Date = NOW, options: RefreshOptions = {}): Promise<TufClient> {
    this.repository.requests.length = 0;
    return refresh(this.repository, this.store, now, {
      initialRoot: this.root,
      onWarning: (line) => this.warnings.push(line),
      ...options,
    });
  }

  /** Versions that are trusted now, by role. */
  async versions(...roles: string[]): Promise<(number | undefined)[]> {
    return await Promise.all(
      roles.map(async (role) => {
        const bytes = await this.store.load(role);
        if (bytes === undefined) return undefined;
        return (JSON.parse(new TextDecoder().decode(bytes)) as { signed: { version: number } }).signed
          .version;
      }),
    );
  }

  topLevel(): Promise<(number | undefined)[]> {
    return this.versions('root', 'timestamp', 'snapshot', 'targets');
  }
}
