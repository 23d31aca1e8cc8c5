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
  /** By host and port, in their canonical spelling (`canonicalHost`). */
  readonly registries: ReadonlyMap<string, RegistrySettings>;
}

/** Plain HTTP as an entry says it; undefined where it depends on whether the host is this machine. */
export function isPlainEntry(entry: RegistrySettings): boolean | undefined {
  return entry.plainHttp ?? (namesTls(entry) ? false : undefined);
}

/** Settings that only TLS needs. */
export const TLS_FILES = ['caFile', 'certFile', 'keyFile'] as const;

/** Whether an entry names a file that only TLS needs. */
export function namesTls(entry: RegistrySettings | undefined): boolean {
  return TLS_FILES.some((name) => entry?.[name] !== undefined);
}
