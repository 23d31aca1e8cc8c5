import type { Access } from './authenticator.ts';
import type { DialectMemory } from './dialect.ts';
import type { RecentWrites } from './recent-writes.ts';
import type { RegistrySession } from './session.ts';

/** One repository, as the functions of this folder share it. */
export interface RepositoryContext {
  readonly session: RegistrySession;
  readonly dialect: DialectMemory;
  readonly recent: RecentWrites;
  readonly repository: string;
  /** For messages: `registry.example.com/team/app`. */
  readonly name: string;
  readonly scopes: Scopes;
  /** Pieces of this size, in bytes, rather than one body, for uploads. */
  readonly chunkBytes: number | undefined;
  /** Least time that a list of referrers is watched after it was changed, in milliseconds. */
  readonly settleMs: number;
  /** How long a listing may take in all, in milliseconds. */
  readonly searchMs: number;
}

/**
 * What to ask the token server for. A client that only reads never asks for more than `pull`; once something
 * is written, one token serves for all that follows.
 */
export class Scopes {
  private readonly repository: string;
  private writing: boolean;

  constructor(repository: string, writing: boolean) {
    this.repository = repository;
    this.writing = writing;
  }

  read(): Access {
    return this.writing ? this.write() : this.access('pull');
  }

  write(): Access {
    this.writing = true;
    return this.access('pull,push');
  }

  remove(): Access {
    return this.access('delete,pull');
  }

  /** Writing here and reading in another repository of the same registry. */
  mount(from: string): Access {
    const { repository, scopes } = this.write();
    return { repository, scopes: [...scopes, `repository:${from}:pull`] };
  }

  private access(actions: string): Access {
    return { repository: this.repository, scopes: [`repository:${this.repository}:${actions}`] };
  }
}
