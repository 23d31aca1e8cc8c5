import * as z from 'zod/mini';
import { readFileBounded } from '../disk/atomic.ts';
import { decodeUtf8 } from '../encoding/bytes.ts';
import '../encoding/zod-words.ts';
import { BullaError, isBullaError } from '../errors.ts';

/** What one registry's entry in the configuration file may say. */
export interface RegistrySettings {
  readonly plainHttp?: boolean | undefined;
  readonly insecure?: boolean | undefined;
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

const registrySchema: z.ZodMiniType<RegistrySettings> = z.strictObject({
  plainHttp: z.optional(z.boolean()),
  insecure: z.optional(z.boolean()),
  caFile: z.optional(z.string()),
  certFile: z.optional(z.string()),
  keyFile: z.optional(z.string()),
});

/** What `config.yaml` may hold. */
export interface ConfigDocument extends RegistrySettings {
  readonly key?: string | undefined;
  readonly registryConfig?: string | undefined;
  readonly offline?: boolean | undefined;
  readonly concurrency?: number | undefined;
  readonly timeout?: string | undefined;
  readonly output?: 'text' | 'json' | undefined;
  readonly quiet?: boolean | undefined;
  readonly verbose?: boolean | undefined;
  readonly progress?: boolean | undefined;
  readonly registries?: Readonly<Record<string, RegistrySettings>> | undefined;
}

export const configSchema: z.ZodMiniType<ConfigDocument> = z.strictObject({
  key: z.optional(z.string()),
  plainHttp: z.optional(z.boolean()),
  insecure: z.optional(z.boolean()),
  caFile: z.optional(z.string()),
  certFile: z.optional(z.string()),
  keyFile: z.optional(z.string()),
  registryConfig: z.optional(z.string()),
  offline: z.optional(z.boolean()),
  concurrency: z.optional(z.int()),
  timeout: z.optional(z.string()),
  output: z.optional(z.enum(['text', 'json'])),
  quiet: z.optional(z.boolean()),
  verbose: z.optional(z.boolean()),
  progress: z.optional(z.boolean()),
  registries: z.optional(z.record(z.string(), registrySchema)),
});

/** `config.yaml` (spec/configuration.md), checked. */
export interface ConfigFile {
  readonly settings: ReadonlyMap<string, unknown>;
  /** By host and port. */
  readonly registries: ReadonlyMap<string, RegistrySettings>;
}

const NONE: ConfigFile = { settings: new Map(), registries: new Map() };

/**
 * Reads the configuration file; that there is none is fine.
 * @throws BullaError config-invalid, storage-error
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const bytes = await readFileBounded(path, 256 * 1024).catch((error: unknown) => {
    if (isBullaError(error, 'not-found')) return undefined;
    throw error;
  });
  return bytes === undefined ? NONE : parseConfigFile(decodeUtf8(bytes, path), path);
}

/** @throws BullaError config-invalid */
export async function parseConfigFile(text: string, path: string): Promise<ConfigFile> {
  const { parse } = await import('yaml');
  const parsed = configSchema.safeParse(
    yaml(() => parse(text, { maxAliasCount: 0, uniqueKeys: true, logLevel: 'error' }), path) ?? {},
  );
  if (!parsed.success) {
    throw new BullaError('config-invalid', `${path}: ${z.prettifyError(parsed.error)}`, {
      hint: 'correct the file, or move it away to run without it; spec/configuration.md lists what it may hold',
    });
  }
  const { registries, ...settings } = parsed.data;
  return {
    settings: new Map(Object.entries(settings)),
    registries: new Map(Object.entries(registries ?? {})),
  };
}

function yaml(parse: () => unknown, path: string): unknown {
  try {
    return parse();
  } catch (cause) {
    throw new BullaError(
      'config-invalid',
      `${path} is not YAML: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        cause,
        hint: 'correct the file, or move it away to run without it',
      },
    );
  }
}
