import { BlockList, isIP } from 'node:net';
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
 * @throws BullaError config-invalid for a proxy that is not an http or https URL
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

/** An address in a network of NO_PROXY, as Go reads it: `10.0.0.0/8`, `2001:db8::/32`. Names are not looked up. */
function isInNetwork(entry: string, host: string): boolean {
  const [, network = '', bits = ''] = /^\[?([0-9a-f:.]+)\]?\/(\d{1,3})$/i.exec(entry) ?? [];
  const family = isIP(network);
  const at = isIP(host);
  if (family === 0 || at === 0 || Number(bits) > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(bits), family === 4 ? 'ipv4' : 'ipv6');
  return list.check(host, at === 4 ? 'ipv4' : 'ipv6');
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  if (entry.includes('/')) return isInNetwork(entry, host);
  const [, name, wantedPort] = /^(\[[^\]]*\]|[^:]*|.*:.*:.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
  if (name === undefined || (wantedPort !== undefined && wantedPort !== port)) return false;
  const domain = name.replace(/^\[|\]$/g, '').replace(/^\*?\./, '');
  // One address has many spellings, and each is it.
  if (isIP(domain) !== 0) return isInNetwork(`${domain}/${isIP(domain) === 4 ? 32 : 128}`, host);
  return domain !== '' && (host === domain || host.endsWith(`.${domain}`));
}
