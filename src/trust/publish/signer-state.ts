import { BullaError } from '../../errors.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/reference.ts';
import { distinctKeys } from '../../tuf/delegation-keys.ts';
import { type Root, topLevelKeys } from '../../tuf/root.ts';
import type { Assembly } from '../format/assemble.ts';
import type { CollectionId } from '../format/binding.ts';
import { FAST_FORWARDED } from '../format/versions.ts';
import type { Collection } from '../read/collection.ts';

/** The newest head that a signer has verified or made. */
export interface ServedHead {
  readonly digest: Digest;
  readonly timestamp: number;
  readonly snapshot: number;
  /** Version of the root; records of long ago do not say it. */
  readonly root?: number | undefined;
  /** Fingerprints of the keys that could sign it: where one of them is removed, versions begin anew. */
  readonly keys: readonly string[];
}

/** What a signer knows of one collection, beyond what it is shown (spec/trust-publishing.md, "State of signers"). */
export interface SignerRecord {
  readonly served?: ServedHead | undefined;
  /** Highest versions by role, bins left out, that it has signed or seen in verified files. */
  readonly used: ReadonlyMap<string, number>;
}

/** An object that was announced and may be needed again, should it vanish before its changes are in the head. */
export interface AnnouncedObject {
  readonly tag: Tag;
  /** Ids of the changes it holds, in the logs of its roles. */
  readonly ids: readonly string[];
  readonly madeAt: Date;
  readonly assembly: Assembly;
}

/** Where signers keep what pushers to the registry must not be able to write: a file, a ConfigMap. */
export interface SignerState {
  /** Whether it outlives the process: without that, only a head whose timestamp is valid is built upon. */
  readonly isLasting: boolean;
  /** @throws BullaError storage-error */
  load(id: CollectionId): Promise<SignerRecord | undefined>;
  /**
   * Changes the record of a collection exclusively.
   * @param change may be called with what another process has stored meanwhile
   * @throws BullaError storage-error
   */
  update(id: CollectionId, change: (present: SignerRecord) => SignerRecord): Promise<void>;
  /** @throws BullaError storage-error */
  pending(id: CollectionId): Promise<readonly AnnouncedObject[]>;
  /**
   * Keeps an object, to be announced again after a crash.
   * @returns false where it is too large to be kept
   * @throws BullaError storage-error
   */
  keep(id: CollectionId, object: AnnouncedObject): Promise<boolean>;
  /** Forgets a pending object; one that is not there is no error. @throws BullaError storage-error */
  drop(id: CollectionId, tag: Tag): Promise<void>;
}

/** A record without anything in it. */
export const NO_RECORD: SignerRecord = { used: new Map() };

/** Keeps an object before it is announced. It warns where the object could not be announced again. @throws BullaError storage-error */
export async function keepAnnounced(
  {
    state,
    onWarning,
  }: { readonly state: SignerState; readonly onWarning?: ((message: string) => void) | undefined },
  id: CollectionId,
  object: AnnouncedObject,
): Promise<void> {
  if (await state.keep(id, object)) return;
  onWarning?.(
    `${object.tag} is too large to be kept: if this run is interrupted, its changes must be made again`,
  );
}

/** State that ends with the process. */
export class ProcessSignerState implements SignerState {
  readonly isLasting: boolean;
  private readonly records = new Map<CollectionId, SignerRecord>();
  private readonly objects = new Map<CollectionId, Map<Tag, AnnouncedObject>>();

  /** @param isLasting true if it represents a state that outlives its user, as in simulations */
  constructor(isLasting = false) {
    this.isLasting = isLasting;
  }

  async load(id: CollectionId): Promise<SignerRecord | undefined> {
    return this.records.get(id);
  }

  async update(id: CollectionId, change: (present: SignerRecord) => SignerRecord): Promise<void> {
    this.records.set(id, change(this.records.get(id) ?? NO_RECORD));
  }

  async pending(id: CollectionId): Promise<readonly AnnouncedObject[]> {
    return [...(this.objects.get(id)?.values() ?? [])];
  }

  async keep(id: CollectionId, object: AnnouncedObject): Promise<boolean> {
    const objects = this.objects.get(id) ?? new Map<Tag, AnnouncedObject>();
    this.objects.set(id, objects.set(object.tag, object));
    return true;
  }

  async drop(id: CollectionId, tag: Tag): Promise<void> {
    this.objects.get(id)?.delete(tag);
  }
}

/** What is remembered of a verified head. */
export function servedBy({ object, client }: Collection): ServedHead {
  const { timestamp, snapshot, root } = client.trusted;
  return {
    digest: object.content.descriptor.digest,
    timestamp: timestamp.content.version,
    snapshot: snapshot.content.version,
    root: root.content.version,
    keys: onlineKeys(root.content),
  };
}

/** The record after a head was verified: never below what it was, unless keys were removed since. */
export function withServed(record: SignerRecord, served: ServedHead): SignerRecord {
  const before = record.served;
  if (before !== undefined && (served.root ?? 0) < (before.root ?? 0)) return record;
  if (before !== undefined && isRotated(before, served)) return { used: withoutOnline(record.used), served };
  if (before !== undefined && before.timestamp > served.timestamp) return record;
  return { ...record, served };
}

/** Versions that a thief of a removed key raised no longer apply; otherwise they would be followed again. */
function withoutOnline(used: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  return new Map(
    [...used].filter(
      ([role, version]) => role !== 'snapshot' && role !== 'timestamp' && version < FAST_FORWARDED,
    ),
  );
}

/** The record after these versions were signed or seen. */
export function withUsed(record: SignerRecord, versions: ReadonlyMap<string, number>): SignerRecord {
  const used = new Map(record.used);
  for (const [role, version] of versions) used.set(role, Math.max(version, used.get(role) ?? 0));
  return { ...record, used };
}

/**
 * Refuses a head that is below what the signer has served, unless keys of snapshot or timestamp were
 * removed since (TUF 1.0.34 §5.3.11). The root never goes back: else a head from before a rotation would
 * look like another rotation, and do away with all that is known.
 * @throws BullaError trust-rollback
 */
export function assertNotBelow(record: SignerRecord | undefined, { place, client }: Collection): void {
  const served = record?.served;
  const { timestamp, snapshot, root } = client.trusted;
  if (served === undefined) return;
  const online = [
    ['timestamp', served.timestamp, timestamp.content.version],
    ['snapshot', served.snapshot, snapshot.content.version],
  ] as const;
  for (const [role, from, to] of [
    ['root', served.root ?? 0, root.content.version] as const,
    ...(isRotated(served, rootOf(root.content)) ? [] : online),
  ]) {
    if (to >= from) continue;
    throw new BullaError(
      'trust-rollback',
      `${place} serves ${role} ${to}, and this signer has served ${from} there`,
      {
        hint: 'an old head was put back; what is newer must be found first, or it would be lost for good',
        details: { role, from, to, reason: 'signer-state' },
      },
    );
  }
}

/** Versions that new ones must be above, where keys were not removed since they were used. */
export function usedVersions(
  record: SignerRecord | undefined,
  { client }: Collection,
): ReadonlyMap<string, number> {
  if (record === undefined) return new Map();
  const rotated =
    record.served !== undefined && isRotated(record.served, rootOf(client.trusted.root.content));
  return rotated ? new Map() : record.used;
}

/** Whether a later root lacks keys that could sign when a head was served. */
function isRotated(served: ServedHead, { root, keys }: Pick<ServedHead, 'root' | 'keys'>): boolean {
  if (served.root !== undefined && root !== undefined && root <= served.root) return false;
  const now = new Set(keys);
  return served.keys.some((key) => !now.has(key));
}

function rootOf(root: Root): Pick<ServedHead, 'root' | 'keys'> {
  return { root: root.version, keys: onlineKeys(root) };
}

function onlineKeys(root: Root): readonly string[] {
  const ids = (['timestamp', 'snapshot'] as const).flatMap((role) => topLevelKeys(root, role).keyids);
  return [...distinctKeys(root.keys, ids)].sort();
}
