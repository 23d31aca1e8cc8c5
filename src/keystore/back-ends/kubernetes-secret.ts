import { homedir } from 'node:os';
import { type PrivateKeyFile, parsePrivateKey } from '../../crypto/private-key.ts';
import { publicKeyOf } from '../../crypto/public-key.ts';
import { createSigner, signMany } from '../../crypto/signer.ts';
import { fromBase64 } from '../../encoding/bytes.ts';
import type { JsonObject } from '../../encoding/json.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { clusterAccess } from '../../kubernetes/access.ts';
import { KubernetesClient, objectIn } from '../../kubernetes/client.ts';
import type { KeyBackEnd, KeyHandle, KeySources } from '../back-end.ts';
import { unlockKey } from '../unlock.ts';
import { firstSet } from './service.ts';

/** Names of namespaces and secrets (RFC 1123). */
const WRITTEN =
  /^k8s:\/\/([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)\/([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)$/;
/** Members of a secret that hold a key and its passphrase: those of cosign first. */
const KEY_MEMBERS = ['cosign.key', 'key', 'tls.key'];
const PASSPHRASE_MEMBERS = ['cosign.password', 'passphrase'];

/** A private key in a secret of Kubernetes, as `cosign generate-key-pair k8s://NAMESPACE/NAME` leaves it (spec/keys.md). */
export const KUBERNETES_SECRET: KeyBackEnd = {
  async find(uri, sources): Promise<KeyHandle> {
    const [, namespace = '', name = ''] = WRITTEN.exec(uri) ?? [];
    if (name === '')
      throw new BullaError('usage', `${uri} does not name a secret`, { hint: 'write k8s://NAMESPACE/NAME' });
    const data = await secretIn(namespace, name, sources);
    const file = keyIn(data, uri);
    const passphrase = memberIn(data, PASSPHRASE_MEMBERS);
    const key = await unlockKey(
      uri,
      file,
      passphrase === undefined ? sources.passphrase : async () => Uint8Array.from(passphrase),
    );
    return {
      name: uri,
      publicKey: publicKeyOf(key),
      open: async () => (algorithm, messages) => signMany(createSigner(key, algorithm), messages),
    };
  },
};

/** @throws BullaError not-found, forbidden, unauthorized, key-unavailable, config-invalid */
async function secretIn(namespace: string, name: string, sources: KeySources): Promise<JsonObject> {
  const home = firstSet(sources, 'HOME') ?? homedir();
  const access = await clusterAccess(sources.variables ?? {}, home);
  const { HttpPool } = await import('../../http/pool.ts');
  const pool = new HttpPool({ tls: access.tls });
  try {
    const secret = await new KubernetesClient(access, pool).get(
      `/api/v1/namespaces/${namespace}/secrets/${name}`,
    );
    if (secret !== undefined) return objectIn(secret, 'data');
  } catch (cause) {
    if (!isBullaError(cause, 'registry-unreachable', 'registry-throttled', 'storage-error')) throw cause;
    throw new BullaError(
      'key-unavailable',
      `the secret ${namespace}/${name} cannot be read: ${cause.message}`,
      {
        cause,
        hint: 'nothing was signed; see whether kubectl works, then try again',
      },
    );
  } finally {
    await pool.close();
  }
  throw new BullaError('not-found', `there is no secret ${name} in the namespace ${namespace}`, {
    hint: `kubectl --namespace ${namespace} get secrets`,
  });
}

/** @throws BullaError key-invalid */
function keyIn(data: JsonObject, uri: string): PrivateKeyFile {
  const bytes = memberIn(data, KEY_MEMBERS);
  if (bytes !== undefined) return parsePrivateKey(bytes, uri);
  throw new BullaError('key-invalid', `${uri} holds no private key`, {
    hint: `it is looked for in ${KEY_MEMBERS.join(', ')}`,
  });
}

function memberIn(data: JsonObject, names: readonly string[]): Uint8Array | undefined {
  for (const name of names) {
    const value = data[name];
    if (typeof value === 'string') return fromBase64(value);
  }
  return undefined;
}
