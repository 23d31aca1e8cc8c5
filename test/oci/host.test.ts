import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalHost, splitHost } from '../../src/oci/host.ts';

describe('canonicalHost', () => {
  it.each([
    ['Registry.Example.COM:5000', 'registry.example.com:5000'],
    ['localhost', 'localhost'],
    ['[2001:DB8:0:0::1]:5000', '[2001:db8::1]:5000'],
    ['[0:0:0:0:0:0:0:1]', '[::1]'],
    ['[::FFFF:127.0.0.1]:5000', '127.0.0.1:5000'],
    ['[::ffff:7f00:1]', '127.0.0.1'],
    ['[0:0:0:0:0:ffff:7f00:0001]', '127.0.0.1'],
    ['192.0.2.1:443', '192.0.2.1:443'],
    ['127.1', '127.0.0.1'],
    ['127.0.1:5000', '127.0.0.1:5000'],
    ['10.65793', '10.1.1.1'],
    ['1.2.772', '1.2.3.4'],
    ['0.0', '0.0.0.0'],
    ['index.docker.io', 'docker.io'],
    ['Registry-1.Docker.IO:443', 'docker.io'],
    ['docker.io:80', 'docker.io:80'],
    ['XN--BCHER-KVA.example', 'xn--bcher-kva.example'],
  ])('reads %s as %s', (text, host) => {
    expect(canonicalHost(text)).toBe(host);
  });

  it.each([
    ...['127.0.0.01', '0127.0.0.1', '2130706433', '0x7f.0.0.1', '0x7f000001', '1.2.3.0x4'],
    ...['127.01', '0177.1', '127.0x1', '0x7f.1', '127.16777216', '256.1', '1.2.65536', '127.', '.127.1'],
    ...['256.0.0.1', '1.2.3.4.5', 'example.123', '1.2.3.4.', 'example.com.', 'example..com', '.example.com'],
    ...[
      'r.example:',
      'r.example:0',
      'r.example:080',
      'r.example:65536',
      'r.example:99999999999',
      'r.example:8x',
    ],
    ...['[::1', '::1', '[::1%eth0]', '[::g]', '[1::2::3]', '[::ffff:127.0.0.01]', '[127.0.0.1]', '[]'],
    ...[
      'bücher.example',
      'xn--a.example',
      'a b',
      'a/b',
      'a%2eb',
      'user@r.example',
      'http://r.example',
      '',
      '-a',
    ],
    'r.example。com',
  ])('refuses %j', (text) => {
    expect(canonicalHost(text)).toBeUndefined();
  });

  const octet = fc.nat(255);
  const name = fc.oneof(
    fc.domain(),
    fc.ipV4(),
    fc.ipV6().map((address) => `[${address}]`),
    fc.tuple(octet, octet, octet, octet).map((parts) => `[::ffff:${parts.join('.')}]`),
  );
  const port = fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined });
  const host = fc.tuple(name, port).map(([name, port]) => (port === undefined ? name : `${name}:${port}`));

  it('has one spelling, which is its own, whatever the case', () => {
    fc.assert(
      fc.property(host, fc.boolean(), (text, isUpper) => {
        const canonical = canonicalHost(text);
        expect(canonicalHost(isUpper ? text.toUpperCase() : text.toLowerCase())).toBe(canonical);
        if (canonical !== undefined) expect(canonicalHost(canonical)).toBe(canonical);
      }),
    );
  });

  it('is the same for two spellings only where URLs of them lead to the same server', () => {
    const reached = (host: string): string => {
      const { hostname, port } = new URL(`ftp://${host}/`);
      const mapped = /^\[::ffff:([0-9a-f]+):([0-9a-f]+)\]$/.exec(new URL(`http://${hostname}/`).hostname);
      const low =
        mapped &&
        Number.parseInt(mapped[1] as string, 16) * 65_536 + Number.parseInt(mapped[2] as string, 16);
      return `${low === null ? new URL(`http://${hostname}/`).hostname : new URL(`http://${low}/`).hostname} ${port}`;
    };
    fc.assert(
      fc.property(host, host, (one, other) => {
        const [a, b] = [canonicalHost(one), canonicalHost(other)];
        if (a === undefined || b === undefined) return;
        expect(a === b).toBe(reached(one) === reached(other));
      }),
    );
  });

  it('falls into its parts', () => {
    expect(splitHost('[::1]')).toEqual({ name: '[::1]', port: undefined });
    fc.assert(
      fc.property(host, (text) => {
        const canonical = canonicalHost(text);
        if (canonical === undefined) return;
        const { name, port } = splitHost(canonical);
        expect(port === undefined ? name : `${name}:${port}`).toBe(canonical);
        expect(canonicalHost(name)).toBe(name);
      }),
    );
  });
});
