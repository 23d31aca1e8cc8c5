import { parse } from 'yaml';
import * as z from 'zod/mini';
import { issuesText } from '../encoding/zod-issues.ts';
import { BullaError } from '../errors.ts';
import type { ConfigDocument, ConfigFile, RegistrySettings } from './config-file.ts';

const registrySchema: z.ZodMiniType<RegistrySettings> = z.strictObject({
  plainHttp: z.optional(z.boolean()),
  insecure: z.optional(z.boolean()),
  caFile: z.optional(z.string()),
  certFile: z.optional(z.string()),
  keyFile: z.optional(z.string()),
});

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

/** What a configuration file says. @throws BullaError config-invalid */
export function parseConfigFile(text: string, path: string): ConfigFile {
  const parsed = configSchema.safeParse(
    yaml(() => parse(text, { maxAliasCount: 0, uniqueKeys: true, logLevel: 'error' }), path) ?? {},
  );
  if (!parsed.success) {
    throw new BullaError('config-invalid', `${path}: ${issuesText(parsed.error)}`, {
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
