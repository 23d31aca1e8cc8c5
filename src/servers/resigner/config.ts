import { isAbsolute, join } from 'node:path';
import { type AlarmPolicy, DEFAULT_ALARMS } from '../../actions/renew/alarms.ts';
import { DEFAULT_TIMING, type ResignTiming } from '../../actions/renew/timing.ts';
import { readFileBounded } from '../../disk/atomic.ts';
import { decodeUtf8 } from '../../encoding/bytes.ts';
import { parseDuration } from '../../encoding/time.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { placeNamed } from '../../oci/place.ts';
import { checkPin, type Pin, type PinnedTrust } from '../../trust/read/pin.ts';
import { type CollectionsEntry, parseResignerDocument, type ResignerDocument } from './config-schema.ts';

/** Where the re-signer keeps what pushers must not be able to write. */
export type StatePlace =
  | { readonly kind: 'none' }
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'config-maps'; readonly prefix: string; readonly namespace: string | undefined }
  /** `HOST/REPOSITORY` */
  | { readonly kind: 'repository'; readonly repository: string };

/** The configuration, with the files read that it names. */
export interface ResignerConfig {
  readonly pins: readonly Pin[];
  /** As for `--key`; more than one while the key is rotated. */
  readonly keys: readonly string[];
  readonly state: StatePlace;
  /** Directory of content that can be fetched again; undefined: everything is fetched again in each pass. */
  readonly cache: string | undefined;
  readonly listen: string | undefined;
  /** Names by which it is reached. */
  readonly hosts: readonly string[];
  /** Whether the pages of a report are served; left out, where it listens on this machine only. */
  readonly pages: boolean | undefined;
  readonly timing: ResignTiming;
  /** Between two looks into the catalogue, in milliseconds. */
  readonly catalogueMs: number;
  /** Steps at the same time in one registry. */
  readonly concurrency: number;
  /** Secret of notifications; where there is one, tags are listed once in `listEveryMs` only. */
  readonly notifySecret: string | undefined;
  readonly listEveryMs: number;
  readonly alarms: AlarmPolicy;
  readonly webhook: { readonly url: URL; readonly headers: Readonly<Record<string, string>> } | undefined;
  readonly lease:
    | { readonly name: string; readonly namespace: string | undefined; readonly durationMs: number }
    | undefined;
  /** What was read: to be read again when one of them changes. */
  readonly files: readonly string[];
}

const MAX_BYTES = 4 * 1024 * 1024;
const MAX_SECRET_BYTES = 4096;
const MIN_SECRET = 16;

/**
 * Reads a configuration file and all that it names but keys.
 * @throws BullaError config-invalid, not-found, storage-error
 */
export async function readResignerConfig(path: string): Promise<ResignerConfig> {
  const files = new Files(path);
  const document = parseResignerDocument(await files.text(path), path);
  const { schedule = {}, notify, alarms = {} } = document;
  const pins = await pinsIn(document, files);
  const renewAt = schedule.renewAt ?? DEFAULT_TIMING.renewAt;
  const jitter = schedule.jitter ?? Math.min(DEFAULT_TIMING.jitter, renewAt);
  if (jitter > renewAt) throw invalid(path, 'schedule.jitter is more than schedule.renewAt');
  return {
    pins,
    keys: keysOf(document, path),
    state: stateOf(document, files),
    cache: document.cache === undefined ? undefined : files.path(document.cache),
    listen: document.listen,
    hosts: document.hosts ?? [],
    pages: document.pages,
    timing: {
      ...DEFAULT_TIMING,
      pollMs: ms(schedule.poll ?? notify?.poll, notify === undefined ? DEFAULT_TIMING.pollMs : 60_000),
      absentMs: ms(schedule.absent, DEFAULT_TIMING.absentMs),
      budgetMs: ms(schedule.budget, DEFAULT_TIMING.budgetMs),
      renewAt,
      jitter,
    },
    catalogueMs: ms(schedule.catalogue, 60_000),
    concurrency: schedule.concurrency ?? 8,
    notifySecret: notify === undefined ? undefined : await secretOf(notify.secretFile, files),
    listEveryMs: notify === undefined ? 0 : ms(notify.listEvery, 10 * 60_000),
    alarms: {
      expiringDays: alarms.expiringDays ?? DEFAULT_ALARMS.expiringDays,
      patienceMs: ms(alarms.patience, DEFAULT_ALARMS.patienceMs),
    },
    webhook: await webhookOf(alarms, files),
    lease: document.lease && {
      name: document.lease.name,
      namespace: document.lease.namespace,
      durationMs: ms(document.lease.duration, 15_000),
    },
    files: files.read,
  };
}

/** Only the pins of a configuration file: a reader needs none of its secrets. @throws as {@link readResignerConfig} */
export async function readResignerPins(path: string): Promise<readonly Pin[]> {
  const files = new Files(path);
  return await pinsIn(parseResignerDocument(await files.text(path), path), files);
}

async function pinsIn({ collections }: ResignerDocument, files: Files): Promise<readonly Pin[]> {
  const pins: Pin[] = [];
  for (const entry of collections) pins.push(...(await pinsOf(entry, files)));
  const scopes = new Set(pins.map(({ scope }) => placeNamed(scope)));
  if (scopes.size < pins.length) throw invalid(files.where, 'a repository is in it twice');
  return pins;
}

/** Files beside the configuration, read and remembered. */
class Files {
  readonly read: string[] = [];
  readonly where: string;

  constructor(where: string) {
    this.where = where;
  }

  /** Paths are relative to the configuration file. */
  path(path: string): string {
    return isAbsolute(path) ? path : join(this.where, '..', path);
  }

  async bytes(path: string, maxBytes: number = MAX_BYTES): Promise<Uint8Array> {
    this.read.push(path);
    return await readFileBounded(path, maxBytes, { pipes: true });
  }

  async text(path: string, maxBytes: number = MAX_BYTES): Promise<string> {
    return decodeUtf8(await this.bytes(path, maxBytes), path);
  }
}

async function pinsOf(entry: CollectionsEntry, files: Files): Promise<readonly Pin[]> {
  const { repositories, rootFile, rootKeyIds, caFile, minRootVersion, collection } = entry;
  const scopes = typeof repositories === 'string' ? [repositories] : repositories;
  const named = scopes.slice(0, 3).join(', ');
  if ([rootFile, rootKeyIds, caFile].filter((one) => one !== undefined).length !== 1)
    throw invalid(files.where, `${named}: exactly one of rootFile, rootKeyIds and caFile must be set`);
  let trust: PinnedTrust;
  if (rootFile !== undefined) trust = { kind: 'root', bytes: await files.bytes(files.path(rootFile)) };
  else if (caFile !== undefined) trust = { kind: 'ca', pem: await files.text(files.path(caFile)) };
  else trust = { kind: 'key-ids', keyIds: rootKeyIds ?? [] };
  return scopes.map((scope) => {
    try {
      return checkPin({ scope, trust, minRootVersion, collection });
    } catch (cause) {
      if (!isBullaError(cause, 'usage')) throw cause;
      throw invalid(files.where, cause.message, cause);
    }
  });
}

function keysOf({ key, keys }: ResignerDocument, where: string): readonly string[] {
  if (key !== undefined && keys !== undefined) throw invalid(where, 'key and keys exclude each other');
  return keys ?? (key === undefined ? [] : [key]);
}

function stateOf({ state }: ResignerDocument, files: Files): StatePlace {
  const { directory, configMaps, repository } = state ?? {};
  if ([directory, configMaps, repository].filter((one) => one !== undefined).length > 1)
    throw invalid(files.where, 'state is in one place only: directory, configMaps or repository');
  if (directory !== undefined) return { kind: 'directory', path: files.path(directory) };
  if (configMaps !== undefined)
    return { kind: 'config-maps', prefix: configMaps.prefix, namespace: configMaps.namespace };
  return repository === undefined ? { kind: 'none' } : { kind: 'repository', repository };
}

async function secretOf(secretFile: string, files: Files): Promise<string> {
  const secret = (await files.text(files.path(secretFile), MAX_SECRET_BYTES)).trim();
  if (/^[\x21-\x7e]+$/.test(secret) && secret.length >= MIN_SECRET) return secret;
  throw new BullaError(
    'config-invalid',
    `${secretFile} is not a secret of ${MIN_SECRET} characters or more`,
    {
      hint: 'make one: openssl rand -hex 32',
    },
  );
}

async function webhookOf(
  { webhook, headersFile }: NonNullable<ResignerDocument['alarms']>,
  files: Files,
): Promise<ResignerConfig['webhook']> {
  if (webhook === undefined) return undefined;
  if (!URL.canParse(webhook) || !/^https?:/.test(webhook))
    throw invalid(files.where, 'alarms.webhook is not an http or https URL');
  const text = headersFile === undefined ? '' : await files.text(files.path(headersFile), 64 * 1024);
  const headers: [string, string][] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined)
      throw invalid(files.where, `line ${i + 1} of alarms.headersFile is not "Name: value"`);
    headers.push([name.toLowerCase(), value]);
  }
  return { url: new URL(webhook), headers: Object.fromEntries(headers) };
}

function ms(text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : (parseDuration(text) ?? otherwise);
}

function invalid(where: string, what: string, cause?: BullaError): BullaError {
  return new BullaError('config-invalid', `${where}: ${what}`, {
    cause,
    hint: cause?.hint ?? 'correct the file; spec/resigner.md lists what it may hold',
  });
}
