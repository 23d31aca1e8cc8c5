import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSamePlace, placeNamed, placeOf } from '../../src/oci/place.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';

const PLACES: Readonly<Record<string, readonly string[]>> = {
  'r.example/team/app': [
    ...['r.example/team/app', 'R.Example/team/app', 'r.example:443/team/app', 'r.example:80/team/app'],
    ...['docker://r.example/team/app', 'docker://R.EXAMPLE:443/team/app'],
  ],
  'docker.io/library/alpine': [
    ...[
      'alpine',
      'docker.io/alpine',
      'docker.io/library/alpine',
      'index.docker.io/alpine',
      'DOCKER.IO/alpine',
    ],
    ...[
      'registry-1.docker.io/library/alpine',
      'registry-1.docker.io:443/alpine',
      'docker.io:443/library/alpine',
    ],
    ...['docker.io:80/alpine', 'registry.hub.docker.com/library/alpine', 'docker://Index.Docker.io/alpine'],
  ],
  'docker.io/team/app': ['team/app', 'docker.io/team/app', 'registry-1.docker.io/team/app'],
  '127.0.0.1:5000/app': [
    ...['127.0.0.1:5000/app', '[::ffff:127.0.0.1]:5000/app', '[::FFFF:7F00:1]:5000/app'],
    ...['[0:0:0:0:0:ffff:7f00:1]:5000/app', '[0000:0000:0000:0000:0000:FFFF:127.0.0.1]:5000/app'],
  ],
  '127.0.0.1/app': ['127.0.0.1/app', '127.0.0.1:80/app', '[::ffff:127.0.0.1]:443/app'],
  '[2001:db8::1]/app': ['[2001:DB8::1]/app', '[2001:db8:0:0:0:0:0:1]:443/app', '[2001:0db8::0001]:80/app'],
  'xn--bcher-kva.example/app': ['XN--BCHER-KVA.example/app', 'xn--bcher-kva.EXAMPLE:443/app'],
};

describe('a place', () => {
  it.each(Object.entries(PLACES))('%s is one in all of its spellings', (place, spellings) => {
    for (const text of spellings)
      expect([text, placeOf(parseReference(text) as RegistryReference)]).toEqual([text, place]);
    expect(placeNamed(place)).toBe(place);
  });

  it('of others is another', () => {
    const others = [
      'r.example:8443/team/app',
      'r.example:8080/team/app',
      'r.example/team/app2',
      'r.example/team',
      'r.example.evil.example/team/app',
    ];
    const all = [
      ...Object.keys(PLACES),
      ...others,
      'localhost/app',
      '[::1]/app',
      '127.0.0.2/app',
      '[::127.0.0.1]/app',
      'library/alpine/x',
    ];
    for (const one of all)
      for (const other of all)
        expect([one, other, isSamePlace(one, other)]).toEqual([one, other, one === other]);
  });

  const host = fc.oneof(
    fc.domain(),
    fc.ipV4(),
    fc.ipV6().map((address) => `[${address}]`),
    fc.constantFrom('docker.io', 'index.docker.io', 'registry-1.docker.io'),
  );
  const port = fc.constantFrom('', ':80', ':443', ':5000', ':8443');
  const repository = fc.stringMatching(/^[a-z0-9]{1,5}(\/[a-z0-9]{1,5}){0,2}$/);
  const reference = fc.tuple(host, port, repository).map((parts) => `${parts[0]}${parts[1]}/${parts[2]}`);
  const read = (text: string): RegistryReference | undefined => {
    try {
      return parseReference(text) as RegistryReference;
    } catch {
      return undefined;
    }
  };

  it('is its own place, and has no other spelling of letters or of the ports that are written or not', () => {
    fc.assert(
      fc.property(reference, fc.constantFrom('', ':80', ':443'), (text, written) => {
        const found = read(text);
        if (found === undefined) return;
        const place = placeOf(found);
        expect(placeNamed(place)).toBe(place);
        const slash = text.indexOf('/');
        expect(placeNamed(text.slice(0, slash).toUpperCase() + text.slice(slash))).toBe(place);
        const { registry, repository } = found;
        if (/:(?:80|443)$/.test(registry) || !/:[0-9]+$/.test(registry))
          expect(placeOf({ registry: registry.replace(/:(?:80|443)$/, '') + written, repository })).toBe(
            place,
          );
      }),
    );
  });

  it('is shared only by references of one repository name, and of one host by its canonical name', () => {
    fc.assert(
      fc.property(reference, reference, (one, other) => {
        const [a, b] = [read(one), read(other)];
        if (a === undefined || b === undefined || placeOf(a) !== placeOf(b)) return;
        const host = ({ registry }: RegistryReference) => registry.replace(/:(?:80|443)$/, '');
        expect(host(a)).toBe(host(b));
        expect(a.repository.replace(/^library\//, '')).toBe(b.repository.replace(/^library\//, ''));
      }),
    );
  });
});
