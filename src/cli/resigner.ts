import { join } from 'node:path';
import type { Command } from 'commander';
import { resignOnce } from '../actions/renew/core.ts';
import { HttpPool } from '../http/pool.ts';
import { proxyFromEnvironment } from '../http/proxy.ts';
import type { RetryPolicy } from '../http/retry.ts';
import { openKey } from '../keystore/key-of.ts';
import type { Digest } from '../oci/digest.ts';
import {
  formatRepository,
  parseReference,
  type Reference,
  type RegistryReference,
} from '../oci/reference.ts';
import type { ResignerConfig } from '../servers/resigner/config.ts';
import { SYSTEM_CHANCE, SYSTEM_CLOCK } from '../servers/resigner/system.ts';
import type { ResignCore, ServedTarget } from '../servers/resigner/worker.ts';
import { TrustDirectory } from '../state/trust-directory.ts';
import { ProcessSignerState, type SignerState } from '../trust/publish/signer-state.ts';
import { ProcessMemory, type TrustMemory } from '../trust/read/memory.ts';
import { type TufSigner, tufSigner } from '../tuf/edit/signing.ts';
import type { KeyFlags } from './flags/key-flags.ts';
import { keySources, keystoreOf } from './flags/keys.ts';
import { Connections } from './shell/connections.ts';
import type { Context } from './shell/context.ts';

/** Others are served meanwhile, so that nobody's trouble is waited for. */
const SERVICE_RETRY: Partial<RetryPolicy> = { tries: 3, retryAfterCapMs: 1_000, totalMs: 15_000 };

/** What connects the re-signer to registries, keys and state, by the flags and settings of a command. */
export interface ResignerWiring {
  readonly target: (reference: RegistryReference) => Promise<ServedTarget>;
  readonly list: (registry: string) => AsyncIterable<string>;
  readonly openSigners: (keys: readonly string[]) => Promise<readonly TufSigner[]>;
  readonly keyFiles: (keys: readonly string[]) => readonly string[];
  readonly openState: (
    config: Pick<ResignerConfig, 'state' | 'cache'>,
  ) => Promise<{ readonly state: SignerState; readonly memory: () => TrustMemory }>;
  readonly kubernetes: () => Promise<import('../servers/resigner/kubernetes.ts').KubernetesClient>;
  readonly pool: HttpPool;
}

export function wireResigner(context: Context, command: Command, flags: KeyFlags): ResignerWiring {
  const { io, settings, directories, output } = context;
  const all = command.optsWithGlobals();
  const connections = new Connections({
    io,
    settings,
    directories,
    output,
    flags: all,
    retry: SERVICE_RETRY,
  });
  const pool = new HttpPool({ proxy: proxyFromEnvironment(io.env) });
  context.defer(async () => {
    await connections.close();
    await pool.close();
  });
  const target = async (reference: RegistryReference): Promise<ServedTarget> =>
    (await connections.client(reference.registry, undefined)).repository(reference, { access: 'write' });
  const kubernetes = () => openKubernetes(context);
  return {
    target,
    async *list(registry) {
      yield* (await connections.client(registry, undefined)).listRepositories(registry, {
        signal: context.signal,
      });
    },
    openSigners: (keys) => openSigners(context, keys, flags),
    keyFiles: (keys) => keyFiles(context, keys),
    openState: (config) => openState(config, target, kubernetes),
    kubernetes,
    pool,
  };
}

/**
 * The core of the re-signer, by the clock and chance of this machine.
 * @param renewAt part of the lifetime
 * @param trustServedHead an expired head that somebody has looked at
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

/** @throws BullaError usage, not-found, key-invalid */
async function openSigners(
  context: Context,
  keys: readonly string[],
  flags: KeyFlags,
): Promise<readonly TufSigner[]> {
  const specs = keys.length > 0 ? keys : [flags.key ?? context.settings.defaultKey];
  const { key: _, ...rest } = flags;
  return await Promise.all(
    specs.map(async (spec) => tufSigner(await openKey(spec, keySources(context, rest)))),
  );
}

function keyFiles(context: Context, keys: readonly string[]): readonly string[] {
  const { directory } = keystoreOf(context);
  return keys
    .filter((spec) => !spec.includes('://'))
    .flatMap((spec) => [context.path(spec), join(directory, `${spec}.key`)]);
}

async function openState(
  { state, cache }: Pick<ResignerConfig, 'state' | 'cache'>,
  target: ResignerWiring['target'],
  kubernetes: ResignerWiring['kubernetes'],
): Promise<{ readonly state: SignerState; readonly memory: () => TrustMemory }> {
  const memory = memoryAt(cache ?? (state.kind === 'directory' ? join(state.path, 'trust') : undefined));
  if (state.kind === 'none') return { state: new ProcessSignerState(), memory };
  if (state.kind === 'config-maps') {
    const { ConfigMapState } = await import('../servers/resigner/config-map-state.ts');
    const client = await kubernetes();
    return { state: new ConfigMapState(client, state.namespace ?? client.namespace, state.prefix), memory };
  }
  if (state.kind === 'repository') {
    const { RepositoryState } = await import('../servers/resigner/repository-state.ts');
    const reference = parseReference(state.repository) as RegistryReference;
    return { state: new RepositoryState(await target(reference)), memory };
  }
  const { SignerStateDirectory } = await import('../state/signer-state.ts');
  return { state: new SignerStateDirectory(join(state.path, 'signers')), memory };
}

/** Without a directory nothing is kept from pass to pass, so that memory does not grow with what is served. */
function memoryAt(path: string | undefined): () => TrustMemory {
  if (path === undefined) return () => new ProcessMemory();
  const directory = new TrustDirectory(path);
  return () => directory;
}

async function openKubernetes(
  context: Context,
): Promise<import('../servers/resigner/kubernetes.ts').KubernetesClient> {
  const { clusterAccess, CLUSTER_CA_FILE, KubernetesClient } = await import(
    '../servers/resigner/kubernetes.ts'
  );
  const { readFileBounded } = await import('../disk/atomic.ts');
  const { decodeUtf8 } = await import('../encoding/bytes.ts');
  const access = await clusterAccess(context.io.env);
  const ca = decodeUtf8(await readFileBounded(CLUSTER_CA_FILE, 1024 * 1024), CLUSTER_CA_FILE);
  const pool = new HttpPool({ tls: { ca } });
  context.defer(() => pool.close());
  return new KubernetesClient(access, pool);
}

/** `HOST/REPOSITORY` of a reference of the command line, to be connected to: its port stays. */
export function placeOf(text: string): string {
  const { tag: _, digest: __, ...place } = parseReference(text);
  return formatRepository(place as Reference);
}
