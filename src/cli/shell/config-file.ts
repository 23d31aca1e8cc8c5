import { readSmallFile } from '../../disk/small-file.ts';
import { decodeUtf8 } from '../../encoding/bytes.ts';

/** What one registry's entry in the configuration file may say. */
export interface RegistrySettings {
  readonly plainHttp?: boolean | undefined;
  readonly insecure?: boolean | undefined;
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

/** What `config.yaml` may hold. */
export interface ConfigDocument extends RegistrySettings {
  readonly key?: string | undefined;
  readonly registryConfig?: string | undefined;
  readonly offline?: boolean | undefined;
  readonly concurrency?: number | undefined;
  readonly timeout?: string | undefined;
  readonly searchTimeout?: string | undefined;
  readonly output?: 'text' | 'json' | undefined;
  readonly quiet?: boolean | undefined;
  readonly verbose?: boolean | undefined;
  readonly progress?: boolean | undefined;
  readonly registries?: Readonly<Record<string, RegistrySettings>> | undefined;
}

/** `config.yaml` (spec/configuration.md), checked. */
export interface ConfigFile {
  readonly settings: ReadonlyMap<string, unknown>;
  /** By host and port, in their one spelling (`canonicalHost`). */
  readonly registries: ReadonlyMap<string, RegistrySettings>;
}

const NONE: ConfigFile = { settings: new Map(), registries: new Map() };

/**
 * Reads the configuration file; that there is none is fine.
 * @throws BullaError config-invalid, storage-error
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const bytes = readSmallFile(path, 256 * 1024);
  if (bytes === undefined) return NONE;
  // Most people have none, and what reads it takes longer to load than all else before the first request.
  const { parseConfigFile } = await import('./config-schema.ts');
  return parseConfigFile(decodeUtf8(bytes, path), path);
}
