import { parse } from 'yaml';
import * as z from 'zod/mini';
import { parseDuration } from '../../encoding/time.ts';
import { issuesText } from '../../encoding/zod-issues.ts';
import { BullaError, messageOf } from '../../errors.ts';

/** Collections that are served, and their trust roots. */
export interface CollectionsEntry {
  /** `HOST/REPOSITORY`, `HOST/PREFIX/*` or `HOST/*`. */
  readonly repositories: string | readonly string[];
  readonly rootFile?: string | undefined;
  readonly rootKeyIds?: readonly string[] | undefined;
  readonly caFile?: string | undefined;
  readonly minRootVersion?: number | undefined;
  readonly collection?: string | undefined;
}

/** What the re-signer's configuration file may hold (spec/resigner.md, "Configuration"). */
export interface ResignerDocument {
  readonly collections: readonly CollectionsEntry[];
  readonly key?: string | undefined;
  readonly keys?: readonly string[] | undefined;
  readonly state?:
    | {
        readonly directory?: string | undefined;
        readonly configMaps?:
          | { readonly prefix: string; readonly namespace?: string | undefined }
          | undefined;
        readonly repository?: string | undefined;
      }
    | undefined;
  readonly cache?: string | undefined;
  readonly listen?: string | undefined;
  readonly hosts?: readonly string[] | undefined;
  readonly pages?: boolean | undefined;
  readonly notify?:
    | {
        readonly secretFile: string;
        readonly listEvery?: string | undefined;
        readonly poll?: string | undefined;
      }
    | undefined;
  readonly schedule?:
    | {
        readonly poll?: string | undefined;
        readonly absent?: string | undefined;
        readonly catalogue?: string | undefined;
        readonly renewAt?: number | undefined;
        readonly jitter?: number | undefined;
        readonly budget?: string | undefined;
        readonly concurrency?: number | undefined;
      }
    | undefined;
  readonly alarms?:
    | {
        readonly webhook?: string | undefined;
        readonly headersFile?: string | undefined;
        readonly expiringDays?: number | undefined;
        readonly patience?: string | undefined;
      }
    | undefined;
  readonly lease?:
    | {
        readonly name: string;
        readonly namespace?: string | undefined;
        readonly duration?: string | undefined;
      }
    | undefined;
}

const duration = z
  .string()
  .check(z.refine((text) => (parseDuration(text) ?? 0) > 0, 'not a duration such as 30s or 5m'));
const kubernetesName = z
  .string()
  .check(z.regex(/^[a-z0-9]([-a-z0-9.]{0,200}[a-z0-9])?$/, 'not a name of Kubernetes'));
const path = z.string().check(z.minLength(1));
const fraction = z.number().check(z.minimum(0), z.maximum(0.9));

const entrySchema = z.strictObject({
  repositories: z.union([z.string(), z.array(z.string()).check(z.minLength(1))]),
  rootFile: z.optional(path),
  rootKeyIds: z.optional(z.array(z.string()).check(z.minLength(1))),
  caFile: z.optional(path),
  minRootVersion: z.optional(z.int().check(z.minimum(1))),
  collection: z.optional(z.string()),
});

export const resignerSchema: z.ZodMiniType<ResignerDocument> = z.strictObject({
  collections: z.array(entrySchema),
  key: z.optional(z.string()),
  keys: z.optional(z.array(z.string()).check(z.minLength(1))),
  state: z.optional(
    z.strictObject({
      directory: z.optional(path),
      configMaps: z.optional(
        z.strictObject({ prefix: kubernetesName, namespace: z.optional(kubernetesName) }),
      ),
      repository: z.optional(z.string()),
    }),
  ),
  cache: z.optional(path),
  listen: z.optional(z.string()),
  hosts: z.optional(z.array(z.string())),
  pages: z.optional(z.boolean()),
  notify: z.optional(
    z.strictObject({ secretFile: path, listEvery: z.optional(duration), poll: z.optional(duration) }),
  ),
  schedule: z.optional(
    z.strictObject({
      poll: z.optional(duration),
      absent: z.optional(duration),
      catalogue: z.optional(duration),
      renewAt: z.optional(fraction),
      jitter: z.optional(fraction),
      budget: z.optional(duration),
      concurrency: z.optional(z.int().check(z.minimum(1), z.maximum(64))),
    }),
  ),
  alarms: z.optional(
    z.strictObject({
      webhook: z.optional(z.string()),
      headersFile: z.optional(path),
      expiringDays: z.optional(z.int().check(z.minimum(0), z.maximum(3650))),
      patience: z.optional(duration),
    }),
  ),
  lease: z.optional(
    z.strictObject({
      name: kubernetesName,
      namespace: z.optional(kubernetesName),
      duration: z.optional(duration),
    }),
  ),
});

/** Reads the text of a configuration file, in YAML or JSON. @throws BullaError config-invalid */
export function parseResignerDocument(text: string, where: string): ResignerDocument {
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0, uniqueKeys: true, logLevel: 'error' });
  } catch (cause) {
    throw new BullaError('config-invalid', `${where} is not YAML: ${messageOf(cause)}`, {
      cause,
      hint: 'correct the file; spec/resigner.md has an example',
    });
  }
  const parsed = resignerSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new BullaError('config-invalid', `${where}: ${issuesText(parsed.error)}`, {
    hint: 'correct the file; spec/resigner.md lists what it may hold',
  });
}
