import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { isBullaError } from '../../src/errors.ts';
import { PUBLIC_GOOD_SIGNING_CONFIG } from '../../src/sigstore/public-good-signing-config.ts';
import { parseSigningConfig } from '../../src/sigstore/signing-config.ts';

const now = new Date('2026-12-01T00:00:00Z');

interface Service {
  readonly url: string;
  readonly majorApiVersion: number;
  readonly operator?: string;
  readonly validFor: { readonly start: string; readonly end?: string };
}

const service = (name: string, version: number, since: string, more: Partial<Service> = {}): Service => ({
  url: `https://${name}.example.com`,
  majorApiVersion: version,
  operator: name.slice(0, 1),
  validFor: { start: `${since}T00:00:00Z` },
  ...more,
});
const configOf = (more: object = {}): Record<string, unknown> => ({
  mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.2+json',
  caUrls: [service('ca', 1, '2026-01-01')],
  rekorTlogUrls: [service('a-log', 2, '2026-01-01')],
  rekorTlogConfig: { selector: 'ANY' },
  tsaUrls: [service('tsa', 1, '2026-01-01')],
  tsaConfig: { selector: 'ANY' },
  ...more,
});
const read = (config: unknown) => parseSigningConfig(utf8(JSON.stringify(config)), now, 'the config');
const hosts = (config: unknown): string[] =>
  read(config).logs.map(({ url, version }) => `${url.host} ${version}`);

describe('the services of a signing config', () => {
  const ended = { validFor: { start: '2026-01-01T00:00:00Z', end: '2026-02-01T00:00:00Z' } };
  it.each<[string, Service[], object, string[]]>([
    [
      'the newest of one operator',
      [service('a1', 2, '2026-01-01'), service('a2', 2, '2026-06-01')],
      { selector: 'ANY' },
      ['a2 2'],
    ],
    [
      'the highest version before the newest',
      [service('a1', 2, '2026-01-01'), service('a2', 1, '2026-06-01')],
      { selector: 'ANY' },
      ['a1 2'],
    ],
    [
      'no version to come',
      [service('a1', 3, '2026-06-01'), service('a2', 2, '2026-01-01')],
      { selector: 'ANY' },
      ['a2 2'],
    ],
    [
      'none that has ended',
      [service('a1', 2, '2026-06-01', ended), service('a2', 1, '2026-01-01')],
      { selector: 'ANY' },
      ['a2 1'],
    ],
    [
      'none that has not begun',
      [service('a1', 2, '2027-01-01'), service('a2', 1, '2026-01-01')],
      { selector: 'ANY' },
      ['a2 1'],
    ],
    [
      'one of each operator',
      [service('a1', 2, '2026-01-01'), service('b1', 2, '2026-02-01'), service('a2', 2, '2026-03-01')],
      { selector: 'ALL' },
      ['a2 2', 'b1 2'],
    ],
    [
      'as many as are asked for',
      [service('a1', 2, '2026-01-01'), service('b1', 2, '2026-02-01'), service('c1', 2, '2026-03-01')],
      { selector: 'EXACT', count: 2 },
      ['c1 2', 'b1 2'],
    ],
    [
      'all of one version',
      [service('a1', 1, '2026-01-01'), service('b1', 2, '2026-02-01')],
      { selector: 'ALL' },
      ['b1 2'],
    ],
  ])('are %s', (_, rekorTlogUrls, rekorTlogConfig, expected) => {
    const found = hosts(configOf({ rekorTlogUrls, rekorTlogConfig }));
    expect(found).toEqual(expected.map((one) => one.replace(' ', '.example.com ')));
  });

  it('are those that Sigstore publishes, without --signing-config', () => {
    const { ca, logs, timestampAuthorities } = parseSigningConfig(utf8(PUBLIC_GOOD_SIGNING_CONFIG), now, 'x');
    const all = [ca, ...logs, ...timestampAuthorities].map((one) => one?.url.host);
    expect(all).toEqual(['fulcio.sigstore.dev', 'rekor.sigstore.dev', 'timestamp.sigstore.dev']);
  });

  it('are none where none are listed', () => {
    const { ca, logs, timestampAuthorities } = read({ mediaType: configOf()['mediaType'] });
    expect([ca, logs, timestampAuthorities]).toEqual([undefined, [], []]);
  });

  it.each<[string, object]>([
    ['more than there are', { rekorTlogConfig: { selector: 'EXACT', count: 2 } }],
    ['none that can be used now', { rekorTlogUrls: [service('a1', 9, '2026-01-01')] }],
  ])('are refused if %s are asked for', (_, more) => {
    expect(() => read(configOf(more))).toThrow(expect.objectContaining({ code: 'config-invalid' }));
  });

  it('are refused with any member left out, of another type, or altered so that it means nothing', () => {
    const paths: (readonly string[])[] = [];
    const walk = (value: unknown, path: readonly string[]): void => {
      if (path.length > 0) paths.push(path);
      if (typeof value === 'object' && value !== null)
        for (const [name, inner] of Object.entries(value)) walk(inner, [...path, name]);
    };
    walk(configOf(), []);
    const accepted = new Set<string>();
    for (const path of paths) {
      for (const wrong of [undefined, 7.5, 'x', [[]], true]) {
        const config = JSON.parse(JSON.stringify(configOf())) as Record<string, unknown>;
        const parent = path.slice(0, -1).reduce((at, name) => at[name] as Record<string, unknown>, config);
        parent[path.at(-1) ?? ''] = wrong;
        try {
          read(config);
          accepted.add(`${path.join('.')} ${JSON.stringify(wrong)}`);
        } catch (error) {
          if (!isBullaError(error, 'content-invalid', 'config-invalid')) throw error;
        }
      }
    }
    // Lists may be empty, a service may have no operator, and one that speaks no version of ours is not used.
    const may =
      /^(caUrls|rekorTlogUrls|tsaUrls)( undefined|\.0\.operator (undefined|"x"))$|^caUrls\.0\.majorApiVersion undefined$/;
    expect([...accepted].filter((one) => !may.test(one))).toEqual([]);
  });
});
