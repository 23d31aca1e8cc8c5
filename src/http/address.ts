import { BlockList, isIP } from 'node:net';

/**
 * Where an address lies, as far as it matters when another server refers us to it: a registry on
 * the internet has no business to make us talk to our own network.
 */
export type AddressClass = 'public' | 'private' | 'loopback' | 'link-local' | 'reserved';

type Subnet = readonly [network: string, prefix: number];

const SUBNETS: readonly (readonly [AddressClass, readonly Subnet[]])[] = [
  // RFC 1122 §3.2.1.3, RFC 4291 §2.5.3
  [
    'loopback',
    [
      ['127.0.0.0', 8],
      ['::1', 128],
    ],
  ],
  // RFC 3927, RFC 4291 §2.5.6: also where clouds serve their machines' credentials
  [
    'link-local',
    [
      ['169.254.0.0', 16],
      ['fe80::', 10],
    ],
  ],
  // RFC 1918, RFC 6598, RFC 4193, RFC 3879
  [
    'private',
    [
      ['10.0.0.0', 8],
      ['172.16.0.0', 12],
      ['192.168.0.0', 16],
      ['100.64.0.0', 10],
      ['fc00::', 7],
      ['fec0::', 10],
    ],
  ],
  // RFC 6890 and the IANA special-purpose registries; the IPv6 ranges that carry an IPv4 address
  // inside (NAT64, 6to4, Teredo, IPv4-compatible) could reach any of the above.
  [
    'reserved',
    [
      ['0.0.0.0', 8],
      ['192.0.0.0', 24],
      ['192.0.2.0', 24],
      ['192.88.99.0', 24],
      ['198.18.0.0', 15],
      ['198.51.100.0', 24],
      ['203.0.113.0', 24],
      ['224.0.0.0', 3],
      ['::', 96],
      ['64:ff9b::', 96],
      ['64:ff9b:1::', 48],
      ['100::', 64],
      ['2001::', 32],
      ['2001:db8::', 32],
      ['2002::', 16],
      ['ff00::', 8],
    ],
  ],
];

let lists: readonly (readonly [AddressClass, BlockList])[] | undefined;

/** Made when an address is first classified: no command starts later for it. */
function makeLists(): NonNullable<typeof lists> {
  return SUBNETS.map(([name, subnets]) => {
    const list = new BlockList();
    for (const [network, prefix] of subnets) list.addSubnet(network, prefix, familyOf(network));
    return [name, list];
  });
}

/** Class of an IP address in any spelling that node knows; undefined where it is not an IP address. */
export function classOfAddress(address: string): AddressClass | undefined {
  const bare = address.replace(/%.*$/, '');
  if (isIP(bare) === 0) return undefined;
  // BlockList looks at IPv4-mapped IPv6 addresses (::ffff:a.b.c.d) as the IPv4 addresses they are.
  lists ??= makeLists();
  for (const [name, list] of lists) if (list.check(bare, familyOf(bare))) return name;
  return 'public';
}

/** Host of a URL without the brackets of an IPv6 literal. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

/** Whether a host name or literal means this machine by itself, without asking DNS. */
export function isLoopbackHost(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase();
  return bare === 'localhost' || bare.endsWith('.localhost') || classOfAddress(bare) === 'loopback';
}

/**
 * Address classes that a server of class `origin` may refer us to: any server may name a public
 * address; beyond that only its own kind, and a registry on this machine also the private network.
 */
export function reachableFrom(origin: AddressClass | undefined): ReadonlySet<AddressClass> {
  const classes = new Set<AddressClass>(['public']);
  if (origin !== undefined) classes.add(origin);
  if (origin === 'loopback') classes.add('private');
  return classes;
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}
