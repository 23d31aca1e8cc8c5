/** A host and, where one is written, its port; as {@link canonicalHost} has them. */
export interface HostAndPort {
  readonly name: string;
  readonly port: number | undefined;
}

const LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?';
const HOST = new RegExp(`^(${LABEL}(?:\\.${LABEL})*|\\[[0-9a-fA-F:.]{2,45}\\])(?::([0-9]{1,10}))?$`);
const OCTET = '(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);
/** An IPv4 address whose last number covers several octets, in the only spelling that is read: `127.1`. */
const SHORT_IPV4 = /^(?:0|[1-9][0-9]{0,9})(?:\.(?:0|[1-9][0-9]{0,9})){1,2}$/;
/** What the parsers of URLs take for a part of an IPv4 address: decimal, octal or hexadecimal. */
const NUMBER = /^(?:[0-9]+|0x[0-9a-f]*)$/;
const PORT = /^[1-9][0-9]{0,4}$/;
/** Names of Docker Hub under which it answers as a registry, or that tools write for it. */
const DOCKER_HUB: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/**
 * The canonical spelling of a host with an optional port (spec/references.md, "Hosts"): small letters; IPv6 in its
 * shortest form, and an IPv4 address within it as IPv4; IPv4 addresses of two or three decimal numbers as four; the
 * names of Docker Hub as `docker.io`. The port stays as it is written: connections and credentials are of an exact port.
 * @returns undefined where it is not a host, or a spelling that not everything reads in the same way: IPv4
 *   addresses with leading zeros, in hexadecimal or as one number, ports with leading zeros, a dot at the end
 */
export function canonicalHost(text: string): string | undefined {
  const [, written, digits] = HOST.exec(text) ?? [];
  if (written === undefined) return undefined;
  if (digits !== undefined && !(PORT.test(digits) && Number(digits) < 65_536)) return undefined;
  const name = written.startsWith('[') ? canonicalIpv6(written) : canonicalName(written.toLowerCase());
  if (name === undefined) return undefined;
  if (DOCKER_HUB.has(name) && (digits === undefined || digits === '443')) return 'docker.io';
  return digits === undefined ? name : `${name}:${digits}`;
}

/** Parts of a host that {@link canonicalHost} gave. */
export function splitHost(host: string): HostAndPort {
  const [, name = host, digits] = /^(.*?)(?::([0-9]+))?$/.exec(host) ?? [];
  // The colons within the brackets of IPv6 do not begin a port.
  if (name.startsWith('[') && !name.endsWith(']')) return { name: host, port: undefined };
  return { name, port: digits === undefined ? undefined : Number(digits) };
}

function canonicalName(name: string): string | undefined {
  const last = name.slice(name.lastIndexOf('.') + 1);
  if (NUMBER.test(last)) {
    if (IPV4.test(name)) return name;
    return SHORT_IPV4.test(name) ? hostnameOf(name) : undefined;
  }
  // Punycode that says nothing, or in another way than it is written.
  return !name.includes('xn--') || hostnameOf(name) === name ? name : undefined;
}

function canonicalIpv6(literal: string): string | undefined {
  const short = hostnameOf(literal);
  const mapped = /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/.exec(short ?? '');
  if (mapped === null) return short;
  const [high, low] = [Number.parseInt(mapped[1] ?? '', 16), Number.parseInt(mapped[2] ?? '', 16)];
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');
}

function hostnameOf(host: string): string | undefined {
  try {
    return new URL(`http://${host}/`).hostname;
  } catch {
    return undefined;
  }
}
