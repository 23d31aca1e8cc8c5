/** Names of keys whose passphrases are docker's for the root key; filled when a collection has been read. */
export class DockerPassphrases {
  private readonly roots = new Set(['root']);

  /** Counts a key of the key store among the root keys. */
  addRoot(name: string): void {
    this.roots.add(name);
  }

  /** Variables of docker and notary that may hold the passphrase of a key (spec/docker-trust.md, "Passphrases"). */
  readonly variables = (key: string): readonly string[] => {
    if (this.roots.has(key)) return ['DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE', 'NOTARY_ROOT_PASSPHRASE'];
    return [
      'DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE',
      OF_NOTARY.get(key) ?? 'NOTARY_DELEGATION_PASSPHRASE',
    ];
  };
}

/** What notary calls the keys that `bulla init` makes. */
const OF_NOTARY: ReadonlyMap<string, string> = new Map([
  ['publisher', 'NOTARY_TARGETS_PASSPHRASE'],
  ['online', 'NOTARY_SNAPSHOT_PASSPHRASE'],
]);
