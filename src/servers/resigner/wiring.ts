import { join } from 'node:path';
import { resignOnce } from '../../actions/renew/core.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { HttpPool } from '../../http/pool.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import type { Digest } from '../../oci/digest.ts';
import { parseReference, type RegistryReference } from '../../oci/reference.ts';
import { TrustDirectory } from '../../state/trust-directory.ts';
import { ProcessSignerState, type SignerState } from '../../trust/publish/signer-state.ts';
import { ProcessMemory, type TrustMemory } from '../../trust/read/memory.ts';
import { SYSTEM_CHANCE, SYSTEM_CLOCK } from '../system.ts';
import type { ResignerConfig } from './config.ts';
import type { ResignCore, ServedTarget } from './worker.ts';

/**
 * The core of the re-signer, by the clock and randomness of this machine.
 * @param renewAt part of the lifetime
 * @param trustServedHead an expired head that a person has looked at
 */
export function coreOf(renewAt: number, trustServedHead?: Digest): ResignCore {
  return (target, read, { signers, state, renew, signal, onWarning }) =>
    resignOnce(target, read, {
      clock: SYSTEM_CLOCK,
      chance: SYSTEM_CHANCE,
      signers,
      state,
      renew,
      renewAt,
      trustServedHead,
      signal,
      onWarning,
    });
}

/** What a re-signer without state has to say about itself. */
export const STATELESS: string =
  'no state is configured: only heads with a valid timestamp are re-signed, and an old but valid head that is put back is accepted; configure state';

/** Opens the state that a configuration names. @throws BullaError what the stores throw */
export async function openState(
  { state, cache }: Pick<ResignerConfig, 'state' | 'cache'>,
  target: (reference: RegistryReference) => Promise<ServedTarget>,
  kubernetes: () => Promise<KubernetesClient>,
): Promise<{ readonly state: SignerState; readonly memory: () => TrustMemory }> {
  const memory = memoryAt(cache ?? (state.kind === 'directory' ? join(state.path, 'trust') : undefined));
  if (state.kind === 'none') return { state: new ProcessSignerState(), memory };
  if (state.kind === 'config-maps') {
    const { ConfigMapState } = await import('./config-map-state.ts');
    const client = await kubernetes();
    return { state: new ConfigMapState(client, state.namespace ?? client.namespace, state.prefix), memory };
  }
  if (state.kind === 'repository') {
    const { RepositoryState } = await import('./repository-state.ts');
    const reference = parseReference(state.repository) as RegistryReference;
    return { state: new RepositoryState(await target(reference)), memory };
  }
  const { SignerStateDirectory } = await import('../../state/signer-state.ts');
  return { state: new SignerStateDirectory(join(state.path, 'signers')), memory };
}

/** Without a directory nothing is kept from pass to pass, so that memory does not grow with what is served. */
function memoryAt(path: string | undefined): () => TrustMemory {
  if (path === undefined) return () => new ProcessMemory();
  const directory = new TrustDirectory(path);
  return () => directory;
}

/** The API server of the cluster that this process runs in. @throws BullaError config-invalid, storage-error */
export async function openKubernetes(
  env: Readonly<Record<string, string | undefined>>,
): Promise<{ readonly client: KubernetesClient; readonly pool: HttpPool }> {
  const [{ podAccess }, { KubernetesClient }] = await Promise.all([
    import('../../kubernetes/access.ts'),
    import('../../kubernetes/client.ts'),
  ]);
  const access = await podAccess(env).catch((error: unknown) => {
    if (!isBullaError(error, 'usage')) throw error;
    throw new BullaError('usage', `a Lease or ConfigMap is configured, but ${error.message}`, {
      cause: error,
      hint: 'run it in a cluster, with a service account, or leave lease and state.configMaps out',
    });
  });
  const pool = new HttpPool({ tls: access.tls });
  return { client: new KubernetesClient(access, pool), pool };
}
