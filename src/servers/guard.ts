import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { BullaError } from '../errors.ts';
import type { TlsFiles } from './listener.ts';

/** Why a request is not answered, though it may well be understood. */
export interface Refusal {
  readonly status: 400 | 403 | 421;
  readonly message: string;
}

/** Names that mean this machine to every resolver, regardless of domains (RFC 6761 §6.3). */
const LOOPBACK = /^(?:.+\.)?localhost$/;
const HOST = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?))(?::([0-9]{1,5}))?$/;

/**
 * Keeps web pages away from a server that people run on their own machine or network, where a browser reaches it
 * and the page's author does not: no request that a page of another origin had sent (CSRF), and none to a name
 * that this server does not have, as with a domain that was pointed here (DNS rebinding).
 */
export class Guard {
  private readonly names: ReadonlySet<string>;
  private readonly certificate: X509Certificate | undefined;

  /**
   * @param hosts names by which the server is reached beside loopback names and IP addresses, a port behind them
   * is ignored
   * @param tls its certificate: the names in it are the server's as well
   * @throws BullaError usage for an invalid host name
   */
  constructor(hosts: readonly string[], tls?: TlsFiles) {
    this.names = new Set(hosts.map(checkedName));
    this.certificate = tls === undefined ? undefined : leafOf(tls);
  }

  /** Why a request came from a page of another origin; undefined where it did not. */
  crossOrigin({ headers, method }: IncomingMessage): Refusal | undefined {
    const refusal: Refusal = { status: 403, message: 'requests of web pages of other origins are refused' };
    const { origin } = headers;
    if (origin !== undefined) return isSameHost(origin, headers.host) ? undefined : refusal;
    const site = headers['sec-fetch-site'];
    if (site === undefined || site === 'none' || site === 'same-origin') return undefined;
    // A link is followed: the page that has it sees nothing of the answer, which changes nothing here. A form that
    // is sent by POST is a navigation as well.
    const asks = method === 'GET' || method === 'HEAD';
    return asks && headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
      ? undefined
      : refusal;
  }

  /** Why a request was not meant for this server; undefined where it was. */
  foreignHost(request: IncomingMessage): Refusal | undefined {
    const hosts = request.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host');
    if (hosts.length > 1) return { status: 400, message: 'a request has one Host' };
    // In a URL as the target, the host of that counts (RFC 9112 §3.2.2).
    const host = requestTarget(request).authority ?? request.headers.host;
    // HTTP/1.0 has none, and some probes send nothing else; every browser sends one.
    if (host === undefined || host === '') return undefined;
    const name = nameIn(host);
    if (name !== undefined && this.isOwn(name)) return undefined;
    return {
      status: 421,
      message: `this server does not know itself as ${JSON.stringify(host.slice(0, 100))}: start it with --host, or address it by IP or localhost`,
    };
  }

  private isOwn(name: string): boolean {
    if (isIP(name) !== 0 || LOOPBACK.test(name) || this.names.has(name)) return true;
    return this.certificate?.checkHost(name) !== undefined;
  }
}

/** What a request asks for: its path with the query, and the authority where it was sent a whole URL. */
export function requestTarget({ url = '' }: Pick<IncomingMessage, 'url'>): {
  readonly path: string;
  readonly authority: string | undefined;
} {
  const [, authority, path] = /^https?:\/\/([^/?#]*)([^#]*)$/i.exec(url) ?? [];
  if (authority === undefined || path === undefined) return { path: url, authority: undefined };
  return { path: path.startsWith('/') ? path : `/${path}`, authority };
}

/** Host of a Host header in lower case, without its port and a trailing dot; undefined if it is invalid. */
function nameIn(header: string): string | undefined {
  const [, six, name, , port] = HOST.exec(header.toLowerCase()) ?? [];
  if (Number(port ?? 0) > 65_535 || (six !== undefined && isIP(six) !== 6)) return undefined;
  return six ?? name?.replace(/\.$/, '');
}

function checkedName(host: string): string {
  const name = nameIn(host);
  if (name !== undefined) return name;
  throw new BullaError('usage', `${JSON.stringify(host)} is not the name of a host`, {
    hint: 'give the name by which clients reach this server, such as registry.example.com',
  });
}

function leafOf({ cert }: TlsFiles): X509Certificate | undefined {
  try {
    return new X509Certificate(cert);
  } catch {
    // The listener says what is wrong with it.
    return undefined;
  }
}

/** Whether an origin is the server as it was addressed. A proxy may have ended TLS, so the scheme may differ. */
function isSameHost(origin: string, host: string | undefined): boolean {
  const [, scheme, authority] = /^(https?):\/\/([^/?#@\s]+)$/i.exec(origin) ?? [];
  if (scheme === undefined || authority === undefined || host === undefined) return false;
  const port = scheme.toLowerCase() === 'https' ? '443' : '80';
  return canonical(authority, [port]).some((one) => canonical(host, ['80', '443']).includes(one));
}

/** `name:port` in its canonical spelling, with each of the ports if it has none. */
function canonical(authority: string, ports: readonly string[]): readonly string[] {
  const name = nameIn(authority);
  if (name === undefined) return [];
  const own = /:([0-9]{1,5})$/.exec(authority)?.[1];
  return (own === undefined ? ports : [String(Number(own))]).map((port) => `${name}|${port}`);
}
