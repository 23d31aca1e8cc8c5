import { BullaError, isBullaError, messageOf } from '../../errors.ts';
import { describe, EMPTY_BYTES, EMPTY_DESCRIPTOR } from '../../oci/descriptor.ts';
import { buildArtifact, parseManifest } from '../../oci/manifest.ts';
import { pushBlobs } from '../../oci/push-blobs.ts';
import type { Tag } from '../../oci/reference.ts';
import type { BlobFetcher, BlobPusher, ManifestFetcher, ManifestPusher } from '../../oci/target.ts';
import type { CollectionId } from '../../trust/format/binding.ts';
import { encodeRecord, MAX_RECORD_BYTES, parseRecord } from '../../trust/publish/signer-record.ts';
import { NO_RECORD, ProcessSignerState, type SignerRecord } from '../../trust/publish/signer-state.ts';

/** What the records are kept in. */
export type RecordStore = ManifestFetcher & ManifestPusher & BlobFetcher & BlobPusher;

const TYPE = 'application/vnd.bulla.signer-record.v1';
const RECORD = 'application/vnd.bulla.signer-record.v1+json';

/**
 * Records of the signer as artifacts in a repository that pushers of the collections cannot write: a tag
 * for each collection. A tag older than what this process has read or written is rejected: a
 * registry that shows an old tag does not take it back. Pending objects stay in memory.
 */
export class RepositoryState extends ProcessSignerState {
  private readonly store: RecordStore;
  private readonly known = new Map<CollectionId, SignerRecord>();
  private readonly turns = new Map<CollectionId, Promise<unknown>>();

  constructor(store: RecordStore) {
    super(true);
    this.store = store;
  }

  override async load(id: CollectionId): Promise<SignerRecord | undefined> {
    const known = this.known.get(id);
    let read: SignerRecord | undefined;
    try {
      read = await this.read(id);
    } catch (error) {
      if (isBullaError(error, 'storage-error')) throw error;
      throw failed(id, 'read', error);
    }
    if (read === undefined) return known;
    const newer = known === undefined ? read : newerOf(known, read);
    this.known.set(id, newer);
    return newer;
  }

  /** One after the other in this process; another process may come between, which costs protection, not more. */
  override update(id: CollectionId, change: (present: SignerRecord) => SignerRecord): Promise<void> {
    const turn = (this.turns.get(id) ?? Promise.resolve()).then(() => this.write(id, change));
    const last = turn.catch(() => undefined);
    this.turns.set(id, last);
    void last.then(() => {
      if (this.turns.get(id) === last) this.turns.delete(id);
    });
    return turn;
  }

  private async write(id: CollectionId, change: (present: SignerRecord) => SignerRecord): Promise<void> {
    const record = change((await this.load(id)) ?? NO_RECORD);
    const bytes = encodeRecord(id, record);
    const layer = describe(RECORD, bytes);
    try {
      await pushBlobs(this.store, [
        { descriptor: EMPTY_DESCRIPTOR, bytes: EMPTY_BYTES },
        { descriptor: layer, bytes },
      ]);
      await this.store.pushManifest(buildArtifact({ artifactType: TYPE, layers: [layer] }), {
        tag: tagOf(id),
      });
    } catch (error) {
      throw failed(id, 'written', error);
    }
    this.known.set(id, record);
  }

  private async read(id: CollectionId): Promise<SignerRecord | undefined> {
    try {
      const content = await this.store.fetchManifest(tagOf(id));
      const manifest = parseManifest(content);
      const layer = manifest.kind === 'manifest' ? manifest.layers[0] : undefined;
      if (manifest.kind !== 'manifest' || manifest.artifactType !== TYPE || layer === undefined)
        throw failed(id, 'read', new Error('the tag is something else'));
      return parseRecord(await this.store.fetchBlob(layer, MAX_RECORD_BYTES), id, `the record ${tagOf(id)}`);
    } catch (error) {
      if (isBullaError(error, 'not-found')) return undefined;
      throw error;
    }
  }
}

function tagOf(id: CollectionId): Tag {
  return `signer.${id}` as Tag;
}

/** Of two records of one signer that which has signed more; after a rotation that is for the head to say. */
function newerOf(a: SignerRecord, b: SignerRecord): SignerRecord {
  const top = ({ used }: SignerRecord): number => Math.max(0, ...used.values());
  return top(b) >= top(a) ? b : a;
}

function failed(id: CollectionId, what: 'read' | 'written', cause: unknown): BullaError {
  return new BullaError(
    'storage-error',
    `the state of ${id.slice(0, 12)} cannot be ${what}: ${messageOf(cause)}`,
    {
      cause,
      hint: 'nothing is signed without it; look at the repository that holds the state',
    },
  );
}
