import * as z from 'zod/mini';

/** Expressions for whole names. */
export interface NamesDocument {
  readonly allow?: readonly string[] | undefined;
  readonly deny?: readonly string[] | undefined;
}

/** Which tags. */
export interface TagsDocument extends NamesDocument {
  /** Ranges of versions as npm writes them; a tag must be in one of them. */
  readonly semverRange?: readonly string[] | undefined;
  readonly newest?: number | undefined;
}

/** How a registry is reached. */
export interface CredsDocument {
  readonly registry: string;
  /** Plain, `{{env "NAME"}}` or `{{file "PATH"}}`, as {@link pass}. */
  readonly user?: string | undefined;
  readonly pass?: string | undefined;
  readonly tls?: 'enabled' | 'insecure' | 'disabled' | undefined;
  /** Path of the certificates of the CA, beside the file. */
  readonly caFile?: string | undefined;
}

/** What entries have in common, unless they say otherwise. */
export interface SyncSettings {
  /** Between two runs: `60m`. */
  readonly interval?: string | undefined;
  /** When runs begin: a cron expression of five fields, in UTC. */
  readonly schedule?: string | undefined;
  readonly platform?: string | undefined;
  readonly referrers?: boolean | undefined;
  readonly fastCopy?: boolean | undefined;
  /** Name of a tag for what a tag named before it moves, with `{{.Ref.Tag}}` for that tag. */
  readonly backup?: string | undefined;
  /** Copy only what is verified at the source. */
  readonly verify?: boolean | undefined;
}

/** What is copied where. */
export interface SyncEntryDocument extends SyncSettings {
  readonly source: string;
  readonly target: string;
  readonly type: 'registry' | 'repository' | 'image';
  readonly repos?: NamesDocument | undefined;
  readonly tags?: TagsDocument | undefined;
  /** Remove tags of the target that are not selected. */
  readonly prune?: boolean | undefined;
}

/** What `bulla sync` reads (spec/sync.md). */
export interface SyncDocument {
  readonly version?: 1 | undefined;
  readonly creds?: readonly CredsDocument[] | undefined;
  readonly defaults?: (SyncSettings & { readonly parallel?: number | undefined }) | undefined;
  readonly sync: readonly SyncEntryDocument[];
}

const text: z.ZodMiniType<string> = z.string().check(z.minLength(1), z.maxLength(4096));
const texts: z.ZodMiniType<readonly string[]> = z.array(text).check(z.maxLength(1000));

const settings = {
  interval: z.optional(text),
  schedule: z.optional(text),
  platform: z.optional(text),
  referrers: z.optional(z.boolean()),
  fastCopy: z.optional(z.boolean()),
  backup: z.optional(text),
  verify: z.optional(z.boolean()),
};

const names = { allow: z.optional(texts), deny: z.optional(texts) };

const entry: z.ZodMiniType<SyncEntryDocument> = z.strictObject({
  source: text,
  target: text,
  type: z.enum(['registry', 'repository', 'image']),
  repos: z.optional(z.strictObject(names)),
  tags: z.optional(
    z.strictObject({
      ...names,
      semverRange: z.optional(texts),
      newest: z.optional(z.int().check(z.positive())),
    }),
  ),
  prune: z.optional(z.boolean()),
  ...settings,
});

const creds: z.ZodMiniType<CredsDocument> = z.strictObject({
  registry: text,
  user: z.optional(text),
  pass: z.optional(text),
  tls: z.optional(z.enum(['enabled', 'insecure', 'disabled'])),
  caFile: z.optional(text),
});

export const syncSchema: z.ZodMiniType<SyncDocument> = z.strictObject({
  version: z.optional(z.literal(1)),
  creds: z.optional(z.array(creds)),
  defaults: z.optional(
    z.strictObject({ ...settings, parallel: z.optional(z.int().check(z.minimum(1), z.maximum(64))) }),
  ),
  sync: z.array(entry).check(z.minLength(1), z.maxLength(10_000)),
});
