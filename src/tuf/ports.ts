/** Where metadata comes from: HTTP, a directory, memory, a registry. */
export interface MetadataFetcher {
  /**
   * Bytes of a metadata file.
   * @param fileName as {@link metadataFileName} writes it, relative to the metadata URL; not to be encoded again
   * @param maxBytes most that may be read
   * @returns undefined only where the other side says clearly that there is no such file. Whatever else
   *   goes wrong is an error: taking it for "no newer root" would let an attacker on the network freeze the client.
   * @throws BullaError content-invalid where it is larger; codes of the transport
   */
  fetchMetadata(fileName: string, maxBytes: number): Promise<Uint8Array | undefined>;
}

/** Where target files come from. */
export interface TargetFetcher {
  /**
   * Content of a target file in pieces.
   * @param path relative to the targets URL, as {@link targetFilePath} writes it
   * @returns undefined only where the other side says clearly that there is no such file
   * @throws BullaError codes of the transport
   */
  fetchTarget(path: string): Promise<AsyncIterable<Uint8Array> | undefined>;
}

/** Replaces what is stored for a role; `undefined` is nothing. */
export interface StateChange {
  readonly role: string;
  readonly expected: Uint8Array | undefined;
  readonly bytes: Uint8Array | undefined;
}

/**
 * Trusted metadata that outlives the process: `root`, `timestamp`, `snapshot`, `targets` and delegated
 * roles, each as the bytes that came. Rollback protection lasts as long as it does.
 */
export interface TrustedStateStore {
  /** Bytes last stored for a role. @throws BullaError storage-error */
  load(role: string): Promise<Uint8Array | undefined>;
  /**
   * Makes all of these changes, one after the other, if each role still holds what is expected of it;
   * else none. Each is made only where that is so. A kill may leave the first of them done, each whole.
   * @returns false where a role holds something else by now than `expected` or what it is to hold; nothing
   *   is changed then, unless another process was the first to store something for a role meanwhile
   * @throws BullaError storage-error
   */
  replace(changes: readonly StateChange[]): Promise<boolean>;
  /**
   * Stores a role's bytes whatever is there: for roles whose versions snapshot bounds, so that losing
   * them, to another process or to a power cut, costs a request and nothing else.
   * @throws BullaError storage-error
   */
  keep(role: string, bytes: Uint8Array): Promise<void>;
}
