import { BullaError } from '../errors.ts';
import { bareHost, isLoopbackHost } from './address.ts';

/** Proxies as curl, Go and docker read them from the environment. */
export interface ProxySettings {
  /** For `http:` URLs. */
  readonly http?: URL | undefined;
  /** For `https:` URLs; tunnelled with CONNECT. */
  readonly https?: URL | undefined;
  /** Hosts, domains and ports that are reached directly; `*` for all. */
  readonly bypass?: readonly string[] | undefined;
}

/**
 * Reads HTTP_PROXY, HTTPS_PROXY, NO_PROXY and their lower-case forms, which go first.
 * @throws BullaError config-invalid for a proxy that is no http or https URL
 */
export function proxyFromEnvironment(env: Readonly<Record<string, string | undefined>>): ProxySettings {
  const read = (name: string): string | undefined => env[name.toLowerCase()] || env[name] || undefined;
  return {
    // A CGI script's HTTP_PROXY is what a client sent as its Proxy header (CVE-2016-5385).
    http: parseProxy(
      env['http_proxy'] || (env['REQUEST_METHOD'] === undefined ? env['HTTP_PROXY'] : undefined),
      'HTTP_PROXY',
    ),
    https: parseProxy(read('HTTPS_PROXY'), 'HTTPS_PROXY'),
    bypass: (read('NO_PROXY') ?? '').split(/[,\s]+/).filter((entry) => entry !== ''),
  };
}

function parseProxy(text: string | undefined, name: string): URL | undefined {
  if (text === undefined || text === '') return undefined;
  const url = tryUrl(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  if ((url?.protocol === 'http:' || url?.protocol === 'https:') && url.hostname !== '') return url;
  throw new BullaError('config-invalid', `${name} is not the URL of a proxy`, {
    hint: 'write it as http://host:port; SOCKS is not supported',
  });
}

function tryUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

/** The proxy for a URL; undefined where it is reached directly, as everything on this machine is. */
export function proxyFor(url: URL, settings: ProxySettings): URL | undefined {
  const proxy = url.protocol === 'https:' ? settings.https : settings.http;
  if (proxy === undefined || isLoopbackHost(url.hostname)) return undefined;
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  const bypassed = (settings.bypass ?? []).some((entry) => matches(entry, bareHost(url).toLowerCase(), port));
  return bypassed ? undefined : proxy;
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const [, name, wantedPort] = /^(\[[^\]]*\]|[^:]*|.*:.*:.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
  if (name === undefined || (wantedPort !== undefined && wantedPort !== port)) return false;
  const domain = name.replace(/^\[|\]$/g, '').replace(/^\*?\./, '');
  return domain !== '' && (host === domain || host.endsWith(`.${domain}`));
}
