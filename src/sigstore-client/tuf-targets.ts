import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { makeDirectory, readFileBounded, writeFileAtomic } from '../disk/atomic.ts';
import { base64, fromBase64, utf8 } from '../encoding/bytes.ts';
import { parseJsonObject } from '../encoding/json.ts';
import { formatTime, parseTime } from '../encoding/time.ts';
import { BullaError, type ErrorCode, isBullaError } from '../errors.ts';
import { within } from '../http/deadline.ts';
import type { HttpPool } from '../http/pool.ts';
import { DEFAULT_RETRY } from '../http/retry.ts';
import { HttpMirror } from '../mirror/http.ts';
import { TrustedDirectory } from '../state/trusted-directory.ts';
import { refresh, type TufClient } from '../tuf/client.ts';

/** Largest target of a Sigstore repository that is read, in bytes. */
export const MAX_SIGSTORE_TARGET_BYTES: number = 1024 * 1024;
/** After this time a repository is asked again, in milliseconds: as often as Sigstore's own clients do. */
const REFRESH_AFTER_MS = 24 * 3_600_000;
/** How long a refresh may take in all, in milliseconds. */
const REFRESH_TIMEOUT_MS = 120_000;

/** An older copy can be used, or a person waits: it is not tried for long. */
const BRIEF = { tries: 3, totalMs: 3_000 } as const;

/** Codes after which what was verified before still counts: nothing new is known. */
const UNREACHED: readonly ErrorCode[] = [
  'registry-unreachable',
  'registry-throttled',
  'registry-error',
  'timeout',
];

/** A TUF repository of a Sigstore instance, and what is known of it on this machine. */
export interface SigstoreRepository {
  /** Folder of the metadata; that of the targets is `targets/` below it, or beside it where it is called `metadata`. */
  readonly url: URL;
  /** Where trusted state is kept. */
  readonly stateDirectory: string;
  /** Root to begin with, where none is trusted yet. */
  readonly initialRoot?: Uint8Array | undefined;
  /** Connections; undefined with `--offline`. */
  readonly pool?: (() => Promise<HttpPool>) | undefined;
  readonly now: Date;
  readonly onWarning: (message: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Where the trusted metadata of a repository is kept: `bulla tuf` keeps it in the same place. */
export function tufStateDirectory(stateDirectory: string, metadata: string): string {
  return join(stateDirectory, 'tuf', createHash('sha256').update(metadata).digest('hex').slice(0, 32));
}

/**
 * A file that the top-level targets of a Sigstore repository name, `trusted_root.json` say (spec/sigstore.md, "Trusted
 * root"). What was verified less than a day ago is used as it is; it is used until the metadata expires if the repository
 * cannot be reached, with a warning, or with `--offline`.
 * @throws BullaError trust-unpinned where no root is trusted for the repository; trust-…, name-not-signed, digest-mismatch;
 *   registry-… where it cannot be reached and nothing was kept; trust-expired where what was kept has expired
 */
export async function sigstoreTarget(repository: SigstoreRepository, name: string): Promise<Uint8Array> {
  const { url, pool, now, onWarning } = repository;
  const path = join(tufStateDirectory(repository.stateDirectory, url.href), 'sigstore', name);
  const kept = await readKept(path);
  const isCurrent = kept !== undefined && now < kept.expires;
  const age = kept === undefined ? Number.NaN : now.getTime() - kept.checked.getTime();
  if (isCurrent && age >= 0 && age < REFRESH_AFTER_MS) return kept.content;
  if (pool === undefined) {
    if (isCurrent) return kept.content;
    throw kept === undefined ? notKept(url, name) : expired(url, name, kept.expires);
  }
  try {
    const fresh = await fetchTarget(repository, await pool(), name);
    await makeDirectory(join(path, '..'));
    await writeFileAtomic(path, encode(fresh));
    return fresh.content;
  } catch (error) {
    if (!isCurrent || !isBullaError(error, ...UNREACHED)) throw error;
    onWarning(
      `${url.host} was not reached (${error.message}): its ${name} of ${formatTime(kept.checked)} is used; it is valid until ${formatTime(kept.expires)}`,
    );
    return kept.content;
  }
}

/** A target that was verified, and until when that holds. */
interface KeptTarget {
  readonly content: Uint8Array;
  readonly checked: Date;
  /** When the first of the metadata on the way to it expires. */
  readonly expires: Date;
}

async function fetchTarget(
  { url, stateDirectory, initialRoot, now, onWarning, signal }: SigstoreRepository,
  pool: HttpPool,
  name: string,
): Promise<KeptTarget> {
  return await within(REFRESH_TIMEOUT_MS, `the TUF repository at ${url.host}`, signal, async (until) => {
    const mirror = new HttpMirror({
      pool,
      metadataUrl: url,
      targetsUrl: new URL(url.pathname.endsWith('/metadata/') ? '../targets/' : 'targets/', url),
      signal: until,
      retry: { ...DEFAULT_RETRY, ...BRIEF },
    });
    const store = await TrustedDirectory.open(tufStateDirectory(stateDirectory, url.href));
    const client = await refresh(mirror, store, now, {
      onWarning,
      ...(initialRoot !== undefined && { initialRoot }),
      repair: `begin anew with a root that you have compared: bulla tuf init ${url.href} ROOT.json --force`,
    }).catch((error: unknown) => {
      throw isBullaError(error, 'trust-unpinned') ? unpinned(url, error) : error;
    });
    const found = await client.findTarget(name);
    if (found.role !== 'targets') throw delegated(url, name, found.role);
    const expires = await expiryOf(client);
    const pieces: Uint8Array[] = [];
    let size = 0;
    for await (const piece of await client.fetchTarget(found, mirror)) {
      size += piece.byteLength;
      if (size > MAX_SIGSTORE_TARGET_BYTES) throw tooLarge(url, name);
      pieces.push(piece);
    }
    return { content: Buffer.concat(pieces), checked: now, expires };
  });
}

/** The root of a repository that is known to everyone; of all others, the user has to get one. */
export async function shippedTufRoot(url: URL): Promise<Uint8Array | undefined> {
  const [publicGood, github] = await Promise.all([
    import('../sigstore/public-good-tuf-root.ts'),
    import('../sigstore/github-tuf-root.ts'),
  ]);
  if (url.href === publicGood.PUBLIC_GOOD_REPOSITORY) return utf8(publicGood.PUBLIC_GOOD_TUF_ROOT);
  return url.href === github.GITHUB_REPOSITORY ? utf8(github.GITHUB_TUF_ROOT) : undefined;
}

async function expiryOf(client: TufClient): Promise<Date> {
  const { root, timestamp, snapshot } = client.trusted;
  const targets = await client.role('targets', client.trusted.targetsDelegator());
  const all = [root, timestamp, snapshot, targets].map(({ content }) => content.expires.getTime());
  return new Date(Math.min(...all));
}

function encode({ content, checked, expires }: KeptTarget): Uint8Array {
  const json = { checked: checked.toISOString(), expires: expires.toISOString(), content: base64(content) };
  return utf8(`${JSON.stringify(json)}\n`);
}

/** Undefined where nothing was kept, or what is there cannot be read: then it is fetched again. */
async function readKept(path: string): Promise<KeptTarget | undefined> {
  try {
    const maxBytes = 2 * MAX_SIGSTORE_TARGET_BYTES;
    const json = parseJsonObject(await readFileBounded(path, maxBytes), { what: path, maxBytes });
    const text = (name: string): string => (typeof json[name] === 'string' ? json[name] : '');
    const [checked, expires] = [parseTime(text('checked')), parseTime(text('expires'))];
    const content = fromBase64(text('content'));
    if (checked === undefined || expires === undefined || content === undefined) return undefined;
    return { content, checked, expires };
  } catch (error) {
    if (isBullaError(error, 'not-found', 'content-invalid')) return undefined;
    throw error;
  }
}

/** Its expiry would have to be kept as well, and no Sigstore repository does so. */
function delegated(url: URL, name: string, role: string): BullaError {
  return new BullaError(
    'name-not-signed',
    `${name} of ${url.host} is named by the role ${role}, not by targets`,
    {
      hint: 'fetch it with bulla tuf get, compare it, and give it as a file',
    },
  );
}

function unpinned(url: URL, cause: BullaError): BullaError {
  return new BullaError('trust-unpinned', `no root is trusted for the TUF repository ${url.href}`, {
    cause,
    hint: `get its root.json from a source that you trust, then: bulla tuf init ${url.href} ROOT.json`,
  });
}

function notKept(url: URL, name: string): BullaError {
  return new BullaError(
    'registry-unreachable',
    `${name} of ${url.host} is not on this machine yet, and --offline opens no socket`,
    {
      hint: 'run the command once without --offline, or give the trusted root as a file',
    },
  );
}

function expired(url: URL, name: string, since: Date): BullaError {
  return new BullaError('trust-expired', `${name} of ${url.host} expired at ${formatTime(since)}`, {
    hint: 'run the command once without --offline, or give the trusted root as a file',
  });
}

function tooLarge(url: URL, name: string): BullaError {
  return new BullaError(
    'content-invalid',
    `${name} of ${url.host} has more than ${MAX_SIGSTORE_TARGET_BYTES} bytes`,
    {
      hint: 'no honest file of this kind is that large; it was not used',
    },
  );
}
