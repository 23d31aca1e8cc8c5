import { BullaError, type ErrorCode } from '../errors.ts';
import { reachableFrom } from '../http/address.ts';
import type { HttpResponse } from '../http/exchange.ts';
import type { HttpPool } from '../http/pool.ts';
import { redactUrl } from '../http/redact.ts';
import { DEFAULT_RETRY, REAL_TIMING, type RetryPolicy, sendWithRetries, type Timing } from '../http/retry.ts';
import type { MetadataFetcher, TargetFetcher } from '../tuf/ports.ts';
import { assertRelativePath, isRootFileName } from '../tuf/role-name.ts';

const MAX_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

export interface HttpMirrorOptions {
  readonly pool: HttpPool;
  /** Folder of the metadata, http or https; a missing slash at its end is added. */
  readonly metadataUrl: URL;
  /** Folder of the target files; without it there are none. */
  readonly targetsUrl?: URL | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly retry?: RetryPolicy | undefined;
  readonly timing?: Timing | undefined;
}

/**
 * A TUF repository on a web server. Nothing is fetched before it is needed, nothing in parallel. Only
 * status 404 means that there is no such file; whatever else is not 200 is an error. Of a version of root alone,
 * 403 means it as well: object stores say so of a file that is not there to those who may not list, and
 * python-tuf's updater ends the chain there too. What that could hide is bounded by the timestamp, as with 404.
 */
export class HttpMirror implements MetadataFetcher, TargetFetcher {
  private readonly options: HttpMirrorOptions;

  constructor(options: HttpMirrorOptions) {
    this.options = options;
  }

  /** @throws BullaError content-invalid (too large); registry-unreachable, timeout, registry-error, … */
  async fetchMetadata(fileName: string, maxBytes: number): Promise<Uint8Array | undefined> {
    const url = below(this.options.metadataUrl, fileName);
    // Only the next root may be missing: all other files are listed before they are asked for.
    const response = await this.get(url, isRootFileName(fileName) ? [404, 403] : [404]);
    return await response?.body.read(maxBytes, redactUrl(url));
  }

  /** @throws BullaError content-invalid (a path that leaves the folder); registry-unreachable, … */
  async fetchTarget(path: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    assertRelativePath(path);
    if (this.options.targetsUrl === undefined) return undefined;
    const response = await this.get(
      below(this.options.targetsUrl, path.split('/').map(encodePart).join('/')),
      [404],
    );
    return response?.body;
  }

  private async get(url: URL, missing: readonly number[]): Promise<HttpResponse | undefined> {
    const { pool, signal, retry, timing } = this.options;
    const retrying = { pool, policy: retry ?? DEFAULT_RETRY, timing: timing ?? REAL_TIMING, signal };
    const response = await sendWithRetries(retrying, () => this.follow(url));
    if (response.status === 200) return response;
    await response.body.discard();
    if (missing.includes(response.status)) return undefined;
    throw refused(response.status, response.url);
  }

  /** Follows redirects, but not from the public network into a private one, nor from TLS to none. */
  private async follow(start: URL): Promise<HttpResponse> {
    const { pool, signal } = this.options;
    let response = await pool.send({ method: 'GET', url: start, signal });
    for (let hops = 0; REDIRECTS.has(response.status); hops++) {
      await response.body.discard();
      const url = nextHop(response, hops);
      response = await pool.send({ method: 'GET', url, signal, allow: reachableFrom(pool.classOf(start)) });
    }
    return response;
  }
}

function nextHop(response: HttpResponse, hops: number): URL {
  const location = response.headers.get('location');
  const url =
    location !== undefined && URL.canParse(location, response.url.href)
      ? new URL(location, response.url)
      : undefined;
  const isDowngrade = response.url.protocol === 'https:' && url?.protocol !== 'https:';
  if (url !== undefined && !isDowngrade && hops < MAX_REDIRECTS) return url;
  throw new BullaError('registry-error', `${redactUrl(response.url)} redirects ${why(url, isDowngrade)}`, {
    hint: 'give the URL that the repository is really at',
  });
}

function why(url: URL | undefined, isDowngrade: boolean): string {
  if (url === undefined) return 'to nowhere';
  return isDowngrade ? 'to a URL without TLS' : `more than ${MAX_REDIRECTS} times`;
}

/**
 * URL of a file below a folder. The name is encoded already and is put in as it is; a name has no dot
 * segments, encoded or not, so that the URL parser has nothing to resolve.
 */
function below(folder: URL, encoded: string): URL {
  const url = new URL(folder);
  url.pathname = `${folder.pathname.replace(/\/*$/, '/')}${encoded}`;
  return url;
}

/** A part of a target path as a part of a URL's path (RFC 3986 §3.3). */
function encodePart(part: string): string {
  return encodeURIComponent(part).replace(/%(?:2B|3A|3B|3D|40|21|24|26|2C)/g, decodeURIComponent);
}

const CODES: ReadonlyMap<number, readonly [ErrorCode, string]> = new Map([
  [401, ['unauthorized', 'the server asks for credentials, and TUF mirrors are read without']],
  [403, ['forbidden', 'the server does not allow public reading; a missing file must be answered by 404']],
  [429, ['registry-throttled', 'the server is asked too often; try again later']],
]);

/** An answer from which nothing follows about the file. */
function refused(status: number, url: URL): BullaError {
  const [code, hint] = CODES.get(status) ?? [
    'registry-error',
    'nothing is known about the file; try again later',
  ];
  return new BullaError(code, `${redactUrl(url)} answers with status ${status}`, {
    hint,
    details: { status },
  });
}
