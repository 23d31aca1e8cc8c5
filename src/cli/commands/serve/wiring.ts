import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { isBullaError } from '../../../errors.ts';
import { HttpPool } from '../../../http/pool.ts';
import { proxyFromEnvironment } from '../../../http/proxy.ts';
import type { RetryPolicy } from '../../../http/retry.ts';
import { openKey } from '../../../keystore/key-of.ts';
import type { KubernetesClient } from '../../../kubernetes/client.ts';
import type { RegistryReference } from '../../../oci/reference.ts';
import type { ResignerConfig } from '../../../servers/resigner/config.ts';
import { openKubernetes, openState } from '../../../servers/resigner/wiring.ts';
import type { ServedTarget } from '../../../servers/resigner/worker.ts';
import { type TufSigner, tufSigner } from '../../../tuf/edit/signing.ts';
import type { KeyFlags } from '../../flags/key-flags.ts';
import { keySources, keystoreOf } from '../../flags/keys.ts';
import { Connections } from '../../shell/connections.ts';
import type { Context } from '../../shell/context.ts';

/** Others are served meanwhile: one that does not answer is not waited for. */
const SERVICE_RETRY: Partial<RetryPolicy> = { tries: 3, retryAfterCapMs: 1_000, totalMs: 15_000 };

/** What connects the re-signer to registries, keys and state, by the flags and settings of a command. */
export interface ResignerWiring {
  readonly target: (reference: RegistryReference) => Promise<ServedTarget>;
  readonly list: (registry: string) => AsyncIterable<string>;
  /** @param beside directory that paths are relative to; the current one if left out */
  readonly openSigners: (keys: readonly string[], beside?: string) => Promise<readonly TufSigner[]>;
  readonly keyFiles: (keys: readonly string[], beside?: string) => readonly string[];
  readonly openState: (config: Pick<ResignerConfig, 'state' | 'cache'>) => ReturnType<typeof openState>;
  readonly kubernetes: () => Promise<KubernetesClient>;
  readonly pool: HttpPool;
}

export function wireResigner(context: Context, command: Command, flags: KeyFlags): ResignerWiring {
  const { io, settings, directories, output, signal } = context;
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
  const kubernetes = async (): Promise<KubernetesClient> => {
    const cluster = await openKubernetes(io.env);
    context.defer(() => cluster.pool.close());
    return cluster.client;
  };
  return {
    target,
    async *list(registry) {
      yield* (await connections.client(registry, undefined)).listRepositories(registry, { signal });
    },
    openSigners: (keys, beside) => openSigners(context, keys, flags, beside),
    keyFiles: (keys, beside) => keyFiles(context, keys, beside),
    openState: (config) => openState(config, target, kubernetes),
    kubernetes,
    pool,
  };
}

/**
 * A name of the key store goes before a file, and a file beside the configuration before one in the current directory,
 * where keys were looked for once.
 * @throws BullaError usage, not-found, key-invalid
 */
async function openSigners(
  context: Context,
  keys: readonly string[],
  flags: KeyFlags,
  beside: string | undefined,
): Promise<readonly TufSigner[]> {
  const specs = keys.length > 0 ? keys : [flags.key ?? context.settings.defaultKey];
  const { key: _, ...rest } = flags;
  const sources = keySources(context, rest);
  return await Promise.all(
    specs.map(async (spec) => {
      if (beside === undefined || keys.length === 0) return tufSigner(await openKey(spec, sources));
      try {
        return tufSigner(await openKey(spec, { ...sources, cwd: beside }));
      } catch (error) {
        if (!isBullaError(error, 'not-found')) throw error;
        return tufSigner(await openKey(spec, sources).catch(() => Promise.reject(error)));
      }
    }),
  );
}

function keyFiles(context: Context, keys: readonly string[], beside: string | undefined): readonly string[] {
  const { directory } = keystoreOf(context);
  return keys
    .filter((spec) => !spec.includes('://'))
    .flatMap((spec) => [
      ...(beside === undefined ? [] : [resolve(beside, spec)]),
      context.path(spec),
      join(directory, `${spec}.key`),
    ]);
}
