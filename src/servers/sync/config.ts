import { stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { checkRanges, parseSync, type SyncPlan } from '../../actions/sync/plan.ts';
import { readFileBounded } from '../../disk/atomic.ts';
import { decodeUtf8 } from '../../encoding/bytes.ts';
import { BullaError, messageOf } from '../../errors.ts';
import { canonicalHost } from '../../oci/host.ts';
import type { Credentials, CredentialsProvider } from '../../registry/credentials.ts';
import { isSchedule } from './schedule.ts';

/** How a registry of the file is reached. */
export interface SyncAccess {
  readonly credentials: Credentials | undefined;
  readonly plainHttp: boolean | undefined;
  readonly insecure: boolean;
  readonly caFile: string | undefined;
}

/** A file of `bulla sync`, with all that it names. */
export interface SyncConfig {
  readonly plan: SyncPlan;
  /** By host, in its canonical spelling. */
  readonly access: ReadonlyMap<string, SyncAccess>;
  /** What was read: to be read again when one of them changes. */
  readonly files: readonly string[];
  readonly warnings: readonly string[];
}

const MAX_BYTES = 4 * 1024 * 1024;
const MAX_SECRET_BYTES = 64 * 1024;

/**
 * Reads a file of `bulla sync`, and the secrets that it names.
 * @throws BullaError config-invalid, not-found, storage-error
 */
export async function readSyncConfig(
  path: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<SyncConfig> {
  const text = decodeUtf8(await readFileBounded(path, MAX_BYTES, { pipes: true }), path);
  const plan = parseSync(text, path, isSchedule);
  await checkRanges(plan, path);
  const secrets = new Secrets(path, env);
  const access = await accessOf(plan, secrets);
  const warnings =
    secrets.hasPlain && (await isPublic(path)) ? [`${path} holds a password, and others can read it`] : [];
  return { plan, access, files: [path, ...secrets.files], warnings };
}

/** What a document says about registries. @throws BullaError config-invalid */
export async function accessOf({ creds }: SyncPlan, secrets: Secrets): Promise<SyncConfig['access']> {
  const access = new Map<string, SyncAccess>();
  for (const { registry, user, pass, tls, caFile } of creds) {
    const credentials: Credentials | undefined =
      user === undefined || pass === undefined
        ? undefined
        : { kind: 'basic', username: await secrets.value(user), password: await secrets.value(pass, true) };
    access.set(canonicalHost(registry) ?? registry, {
      credentials,
      plainHttp: tls === undefined ? undefined : tls === 'disabled',
      insecure: tls === 'insecure',
      caFile: caFile === undefined ? undefined : secrets.path(caFile),
    });
  }
  return access;
}

/** Credentials of the file, and where it has none, those of `others`. */
export function credentialsOf(
  access: SyncConfig['access'],
  others: CredentialsProvider,
): CredentialsProvider {
  return async (registry, repository) =>
    access.get(canonicalHost(registry) ?? registry)?.credentials ?? (await others(registry, repository));
}

const TEMPLATE = /^\{\{\s*(env|file)\s+"([^"\\]+)"\s*\}\}$/;

/** Reads values that are not in the file themselves. */
export class Secrets {
  readonly files: string[] = [];
  hasPlain = false;
  private readonly where: string;
  private readonly env: Readonly<Record<string, string | undefined>>;

  constructor(where: string, env: Readonly<Record<string, string | undefined>>) {
    this.where = where;
    this.env = env;
  }

  /** Paths are relative to the file. */
  path(path: string): string {
    return isAbsolute(path) ? path : join(this.where, '..', path);
  }

  /** @throws BullaError config-invalid; it names where the value should be, and never the value */
  async value(text: string, isSecret = false): Promise<string> {
    const [, kind, name = ''] = TEMPLATE.exec(text) ?? [];
    if (kind === undefined && text.includes('{{'))
      throw this.invalid('a value in braces is neither {{env "NAME"}} nor {{file "PATH"}}');
    if (kind === undefined) {
      this.hasPlain ||= isSecret;
      return text;
    }
    if (kind === 'env') {
      const value = this.env[name];
      if (value === undefined || value === '') throw this.invalid(`the environment has no variable ${name}`);
      return value;
    }
    const path = this.path(name);
    this.files.push(path);
    try {
      const bytes = await readFileBounded(path, MAX_SECRET_BYTES, { pipes: true });
      return decodeUtf8(bytes, path).replace(/\r?\n$/, '');
    } catch (cause) {
      throw this.invalid(`cannot read ${path}: ${messageOf(cause)}`, cause);
    }
  }

  private invalid(what: string, cause?: unknown): BullaError {
    return new BullaError('config-invalid', `${this.where}: ${what}`, {
      cause,
      hint: 'correct the file; spec/sync.md describes how it names passwords',
    });
  }
}

async function isPublic(path: string): Promise<boolean> {
  return await stat(path).then(
    ({ mode }) => process.platform !== 'win32' && (mode & 0o044) !== 0,
    () => false,
  );
}
