/** A file of a repository's metadata, as Notary addresses it. */
export interface NotaryFileName {
  /** `root`, `targets`, `targets/a/b`, `snapshot`, `timestamp`. */
  readonly role: string;
  /** Of `root` only: `N.root.json`. */
  readonly version?: number | undefined;
  /** Hex SHA-256 that the file must have; a source may use it to find the file, or ignore it. */
  readonly sha256?: string | undefined;
}

/** Where the metadata of one repository comes from: a server, or a directory. Nothing it gives is trusted. */
export interface NotarySource {
  /** Names it in messages, and in what is remembered: the URL or path, without what is secret. */
  readonly place: string;
  /**
   * @returns undefined where there is no such file
   * @throws BullaError content-invalid where it is larger than `maxBytes`; registry-…, storage-error, …
   */
  fetch(file: NotaryFileName, maxBytes: number): Promise<Uint8Array | undefined>;
}

/** What was verified of a repository before. */
export interface NotaryMemoryState {
  /** The newest root that was trusted, byte for byte. */
  readonly root: Uint8Array;
  /** Newest versions that were verified, by role. */
  readonly versions: ReadonlyMap<string, number>;
}

/** Remembers the verified state of one repository, to detect a rollback (spec/notary.md, "Memory"). */
export interface NotaryMemory {
  /** @throws BullaError storage-error where it is damaged: it must not count as never seen */
  load(): Promise<NotaryMemoryState | undefined>;
  /** Keeps `state`, unless a newer one of the repository was kept meanwhile. @throws BullaError storage-error */
  keep(state: NotaryMemoryState): Promise<void>;
}
