import { decodeUtf8, utf8 } from '../../encoding/bytes.ts';
import type { JsonObject } from '../../encoding/json.ts';
import { BullaError, isBullaError, messageOf } from '../../errors.ts';
import { type KubernetesClient, objectIn } from '../../kubernetes/client.ts';
import type { CollectionId } from '../../trust/format/binding.ts';
import { encodeRecord, parseRecord } from '../../trust/publish/signer-record.ts';
import { NO_RECORD, ProcessSignerState, type SignerRecord } from '../../trust/publish/signer-state.ts';

const MAX_TRIES = 8;
const MEMBER = 'record.json';

/**
 * Records of the signer in ConfigMaps, one for each collection, so that they grow with nothing but their
 * number. Pending objects stay in memory: those of a re-signer hold nothing that is not in a stage or in
 * the head as well.
 */
export class ConfigMapState extends ProcessSignerState {
  private readonly client: Pick<KubernetesClient, 'get' | 'create' | 'replace'>;
  private readonly path: string;
  private readonly prefix: string;

  constructor(
    client: Pick<KubernetesClient, 'get' | 'create' | 'replace'>,
    namespace: string,
    prefix: string,
  ) {
    super(true);
    this.client = client;
    this.path = `/api/v1/namespaces/${namespace}/configmaps`;
    this.prefix = prefix;
  }

  override async load(id: CollectionId): Promise<SignerRecord | undefined> {
    return (await this.read(id)).record;
  }

  override async update(id: CollectionId, change: (present: SignerRecord) => SignerRecord): Promise<void> {
    for (let tries = 1; ; tries++) {
      const { object, record } = await this.read(id);
      const text = decodeUtf8(encodeRecord(id, change(record ?? NO_RECORD)), 'the record');
      try {
        if (object === undefined) await this.client.create(this.path, this.objectOf(id, text));
        else await this.client.replace(this.pathOf(id), { ...object, data: { [MEMBER]: text } });
        return;
      } catch (error) {
        // Another re-signer was faster: on top of what it wrote, then.
        if (!isBullaError(error, 'conflict') || tries === MAX_TRIES) throw unwritten(id, error);
      }
    }
  }

  private async read(
    id: CollectionId,
  ): Promise<{ readonly object: JsonObject | undefined; readonly record: SignerRecord | undefined }> {
    const what = `the ConfigMap ${this.nameOf(id)}`;
    let object: JsonObject | undefined;
    try {
      object = await this.client.get(this.pathOf(id));
    } catch (error) {
      throw unread(id, error);
    }
    const text = object === undefined ? undefined : objectIn(object, 'data')[MEMBER];
    if (object !== undefined && typeof text !== 'string') throw unread(id, new Error(`it has no ${MEMBER}`));
    return { object, record: typeof text === 'string' ? parseRecord(utf8(text), id, what) : undefined };
  }

  private objectOf(id: CollectionId, text: string): JsonObject {
    const labels = { 'app.kubernetes.io/managed-by': 'bulla-resigner' };
    return {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: this.nameOf(id), labels },
      data: { [MEMBER]: text },
    };
  }

  private nameOf(id: CollectionId): string {
    return `${this.prefix}-${id.slice(0, 40)}`;
  }

  private pathOf(id: CollectionId): string {
    return `${this.path}/${this.nameOf(id)}`;
  }
}

function unread(id: CollectionId, cause: unknown): BullaError {
  return new BullaError(
    'storage-error',
    `the state of ${id.slice(0, 12)} cannot be read: ${messageOf(cause)}`,
    {
      cause,
      hint: 'nothing is signed without it; look at the API server and at the rights of the service account',
    },
  );
}

function unwritten(id: CollectionId, cause: unknown): BullaError {
  return new BullaError(
    'storage-error',
    `the state of ${id.slice(0, 12)} cannot be written: ${messageOf(cause)}`,
    {
      cause,
      hint: 'nothing was signed without it; look at the API server and at the rights of the service account',
    },
  );
}
