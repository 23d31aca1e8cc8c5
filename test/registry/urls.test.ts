import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { endpointOf } from '../../src/registry/endpoint.ts';
import { nextLink, nextPage } from '../../src/registry/link.ts';
import {
  blobPath,
  catalogPath,
  closingLocation,
  manifestPath,
  referrersPath,
  tagsPath,
  uploadsPath,
} from '../../src/registry/urls.ts';
import { parseWarning } from '../../src/registry/warnings.ts';
import { tagOf } from '../support/content.ts';

const DIGEST = digestOf(Buffer.from('x'));

describe('paths of the distribution API', () => {
  it.each([
    [manifestPath('team/app', tagOf('v1')), '/v2/team/app/manifests/v1'],
    [manifestPath('app', DIGEST), `/v2/app/manifests/${DIGEST}`],
    [blobPath('app', DIGEST), `/v2/app/blobs/${DIGEST}`],
    [uploadsPath('app'), '/v2/app/blobs/uploads/'],
    [
      uploadsPath('app', { digest: DIGEST, from: 'other/app' }),
      `/v2/app/blobs/uploads/?mount=${encodeURIComponent(DIGEST)}&from=other%2Fapp`,
    ],
    [referrersPath('app', DIGEST), `/v2/app/referrers/${DIGEST}`],
    [
      referrersPath('app', DIGEST, 'application/vnd.x+json'),
      `/v2/app/referrers/${DIGEST}?artifactType=application%2Fvnd.x%2Bjson`,
    ],
    [tagsPath('app', { n: 5, last: 'v1' }), '/v2/app/tags/list?n=5&last=v1'],
    [catalogPath({ n: 10 }), '/v2/_catalog?n=10'],
  ])('%s', (path, expected) => {
    expect(path).toBe(expected);
  });

  it('append the digest to whatever query the Location has, byte by byte', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9%=&+~_.-]{0,80}$/), (query) => {
        const location = new URL(`https://r.example.com/upload?${query}`);
        const before = location.search;
        const closing = closingLocation(location, DIGEST).href;
        expect(
          closing.startsWith(
            `https://r.example.com/upload${before === '' ? '?' : `${before}&`}digest=sha256`,
          ),
        ).toBe(true);
        expect(new URL(closing).searchParams.getAll('digest').at(-1)).toBe(DIGEST);
      }),
    );
  });
});

it.each([
  ['registry.example.com', undefined, 'https://registry.example.com/'],
  ['registry.example.com:5000', undefined, 'https://registry.example.com:5000/'],
  ['registry.example.com:5000', true, 'http://registry.example.com:5000/'],
  ['docker.io', undefined, 'https://registry-1.docker.io/'],
  ['localhost:5000', undefined, 'http://localhost:5000/'],
  ['localhost', undefined, 'http://localhost/'],
  ['127.0.0.1:5000', undefined, 'http://127.0.0.1:5000/'],
  ['127.9.9.9:5000', undefined, 'http://127.9.9.9:5000/'],
  ['[::1]:5000', undefined, 'http://[::1]:5000/'],
  ['127.0.0.1:5000', false, 'https://127.0.0.1:5000/'],
  ['localhost.example.com', undefined, 'https://localhost.example.com/'],
  ['10.0.0.1:5000', undefined, 'https://10.0.0.1:5000/'],
])('endpointOf(%s, %s) is %s', (registry, plainHttp, url) => {
  expect(endpointOf(registry, plainHttp).href).toBe(url);
});

describe('nextLink', () => {
  it.each([
    ['</v2/x/tags/list?n=1&last=a>; rel="next"', '/v2/x/tags/list?n=1&last=a'],
    ['</a>; rel=next', '/a'],
    ['</a>; REL="NEXT"', '/a'],
    ['</a>; rel="prev next"', '/a'],
    ['</p>; rel="prev", </n>; rel="next"', '/n'],
    ['</n>; title="a, b; c"; rel="next"', '/n'],
    ['</a>; rel="prev"', undefined],
    ['</a>; title="rel=next"', undefined],
    ['</a>; rel="prev"; rel="next"', undefined],
    // Without brackets, as Cloudflare's registry writes it: else the list would end there, incomplete.
    ['/a; rel="next"', '/a'],
    [
      'https://r.example/v2/x/tags/list?n=50&last=a%2Cb; rel=next',
      'https://r.example/v2/x/tags/list?n=50&last=a%2Cb',
    ],
    ['/p; rel=prev, /n ; rel=next', '/n'],
    ['</p>; rel=prev, /n; rel=next', '/n'],
    ['/a rel=next', undefined],
    ['/a', undefined],
    ['', undefined],
    ['<<<<', undefined],
  ])('of %s is %s', (header, link) => {
    expect(nextLink([header])).toBe(link);
  });

  it('ends on whatever it is sent', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'<>;,"=a \\'), maxLength: 2000 }), (header) => {
        nextLink([header]);
      }),
      { numRuns: 300 },
    );
  });
});

it.each([
  ['/v2/app/tags/list?last=b', '/v2/app/tags/list?last=b'],
  ['?last=b', '/v2/app/tags/list?last=b'],
  // Another host or scheme, as a proxy may have it, is not gone to: only the query counts.
  ['https://inside.example:5000/v2/app/tags/list?last=b', '/v2/app/tags/list?last=b'],
  ['/v2/other/tags/list?last=b', undefined],
  ['/v2/app/tags/list', undefined],
  ['http://[', undefined],
  ['javascript:alert(1)', undefined],
])('nextPage(%s) is %s', (link, path) => {
  expect(nextPage(link, '/v2/app/tags/list')).toBe(path);
});

it.each([
  ['299 - "This is deprecated"', 'This is deprecated'],
  ['299 - "say \\"hi\\""', 'say "hi"'],
  ['299 - "two\u001b[2J lines"', 'two [2J lines'],
  ['199 - "other code"', undefined],
  ['299 agent "x"', undefined],
  ['299 - unquoted', undefined],
  ['299 - ""', undefined],
  [`299 - "${'x'.repeat(5000)}"`, undefined],
])('parseWarning(%s) is %s', (header, text) => {
  expect(parseWarning(header)).toBe(text);
});
