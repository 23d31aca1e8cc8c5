import { parse } from 'yaml';
import * as z from 'zod/mini';
import { issuesText } from '../../encoding/zod-issues.ts';
import { BullaError, messageOf } from '../../errors.ts';
import { canonicalHost } from '../../oci/host.ts';
import { endpointOf } from '../../registry/endpoint.ts';
import {
  type ConfigDocument,
  type ConfigFile,
  isPlainEntry,
  type RegistrySettings,
} from './registry-settings.ts';

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
  searchTimeout: z.optional(z.string()),
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
    registries: registriesOf(new Map(Object.entries(registries ?? {})), path),
  };
}

/** Entries by the canonical spelling of each host: two for one server would be ambiguous. */
function registriesOf(
  written: ReadonlyMap<string, RegistrySettings>,
  path: string,
): ReadonlyMap<string, RegistrySettings> {
  const registries = new Map<string, RegistrySettings>();
  const servers = new Map<string, string>();
  for (const [key, entry] of written) {
    const host = canonicalHost(key);
    if (host === undefined)
      throw new BullaError('config-invalid', `${path}: registries: ${JSON.stringify(key)} is not a host`, {
        hint: 'write HOST or HOST:PORT, without a scheme; IPv4 addresses and ports without leading zeros',
      });
    const { origin } = endpointOf(host, isPlainEntry(entry));
    const other = servers.get(origin) ?? (registries.has(host) ? host : undefined);
    if (other !== undefined)
      throw new BullaError(
        'config-invalid',
        `${path}: registries: ${JSON.stringify(other)} and ${JSON.stringify(key)} are one server`,
        { hint: 'leave one of them' },
      );
    servers.set(origin, key);
    registries.set(host, entry);
  }
  return registries;
}

function yaml(parse: () => unknown, path: string): unknown {
  try {
    return parse();
  } catch (cause) {
    throw new BullaError('config-invalid', `${path} is not YAML: ${firstLine(cause)}`, {
      cause,
      hint: 'correct the file, or move it away to run without it',
    });
  }
}

/** What follows is a drawing of the place. */
function firstLine(cause: unknown): string {
  return messageOf(cause instanceof Error ? cause.message.split('\n', 1)[0] : cause).replace(/:$/, '');
}
