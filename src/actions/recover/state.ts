import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';

/** A key that a role lists. */
export interface RecoveryKey {
  readonly keyid: string;
  /** Name of its private key in the key store of this machine; undefined where that is elsewhere. */
  readonly name?: string | undefined;
}

/** A role as `bulla rotate` names it: root, targets, names, a signer, or online (snapshot and timestamp). */
export interface RecoveryRole {
  readonly role: string;
  readonly kind: 'root' | 'targets' | 'online' | 'names' | 'signer';
  readonly keys: readonly RecoveryKey[];
  readonly threshold: number;
  /** Patterns of names, of a signer. */
  readonly paths?: readonly string[] | undefined;
  /** When its files expire, the first of them. */
  readonly expires: Date;
  /** For how long its files are signed, in milliseconds. */
  readonly lifetime: number;
}

/** A name and the digest that was signed for it. */
export interface RecoveryName {
  readonly tag: Tag;
  readonly digest: Digest;
}

/** A verified collection, as far as a recovery depends on it. */
export interface RecoveryCollection {
  readonly id: string;
  readonly head: Digest;
  readonly roles: readonly RecoveryRole[];
  /** When its timestamp says that it was made. */
  readonly created?: Date | undefined;
  /** Names of `names`; not all of them where there are very many. */
  readonly names: readonly RecoveryName[];
}

/** Facts that a recovery is planned from. */
export interface RecoveryState {
  /** As the user wrote it, for commands: `HOST/REPOSITORY` or `oci:DIR`. */
  readonly repository: string;
  readonly now: Date;
  /** Names of the key store that are taken. */
  readonly keyNames: ReadonlySet<string>;
  /** Of keys of the key store that a device or service keeps: their URIs, by name. */
  readonly kept?: ReadonlyMap<string, string> | undefined;
  /**
   * `served`: the registry has it. `remembered`: this machine knows a newer state than the registry has, or the registry
   * has none. `unknown`: the registry has none, and nothing is known here.
   */
  readonly source: 'served' | 'remembered' | 'unknown';
  /** Undefined where {@link source} is `unknown`. */
  readonly collection?: RecoveryCollection | undefined;
  /** Signed names whose images the registry does not have. */
  readonly missingImages: readonly RecoveryName[];
  /** Names that differ from those of a copy from before the loss; undefined where there is no copy to compare with. */
  readonly changedNames?: NameDifferences | undefined;
}

/** How the names of a collection differ from those of an earlier copy of it. */
export interface NameDifferences {
  /** Names that had another digest, or that are gone: with the digest that they had. */
  readonly earlier: readonly RecoveryName[];
  /** Names that were not there. */
  readonly added: readonly RecoveryName[];
}

/** Compares names with those of a copy from before a loss. */
export function compareNames(before: readonly RecoveryName[], now: readonly RecoveryName[]): NameDifferences {
  const [then, present] = [before, now].map(
    (names) => new Map(names.map(({ tag, digest }) => [tag, digest])),
  );
  return {
    earlier: before.filter(({ tag, digest }) => present?.get(tag) !== digest),
    added: now.filter(({ tag }) => then?.has(tag) !== true),
  };
}
