import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { digestOf } from '../../src/oci/digest.ts';
import {
  cosignTags,
  fallbackTag,
  formatReference,
  isRegistryHost,
  parseReference,
  withDigest,
} from '../../src/oci/reference.ts';

const hex = 'a'.repeat(64);
const digest = `sha256:${hex}`;

describe('references', () => {
  it.each([
    ['registry.example.com/team/app:v1', 'registry.example.com', 'team/app', 'v1', undefined],
    ['docker://registry.example.com/team/app:v1', 'registry.example.com', 'team/app', 'v1', undefined],
    ['localhost/app', 'localhost', 'app', undefined, undefined],
    ['localhost:5000/app:v1', 'localhost:5000', 'app', 'v1', undefined],
    ['[::1]:5000/app', '[::1]:5000', 'app', undefined, undefined],
    [`127.0.0.1:5000/a/b/c@sha256:${hex}`, '127.0.0.1:5000', 'a/b/c', undefined, digest],
    [`r.io/app:v1@sha256:${hex}`, 'r.io', 'app', 'v1', digest],
    ['alpine', 'docker.io', 'library/alpine', undefined, undefined],
    ['alpine:3', 'docker.io', 'library/alpine', '3', undefined],
    ['team/app:v1', 'docker.io', 'team/app', 'v1', undefined],
    ['docker.io/alpine', 'docker.io', 'library/alpine', undefined, undefined],
    ['index.docker.io/team/app', 'docker.io', 'team/app', undefined, undefined],
    ['MyHost/app', 'myhost', 'app', undefined, undefined],
  ])('%s', (text, registry, repository, tag, pinned) => {
    expect(parseReference(text)).toEqual({
      kind: 'registry',
      registry,
      repository,
      ...(tag && { tag }),
      ...(pinned && { digest: pinned }),
    });
  });

  it.each([
    ['oci:dir', 'layout', 'dir', undefined, undefined],
    ['oci:/a/b:v1', 'layout', '/a/b', 'v1', undefined],
    ['oci:./a@b', 'layout', './a@b', undefined, undefined],
    ['oci:a:b/c', 'layout', 'a:b/c', undefined, undefined],
    [`oci:dir:v1@${digest}`, 'layout', 'dir', 'v1', digest],
    [`oci-archive:f.tar@${digest}`, 'archive', 'f.tar', undefined, digest],
    ['oci-archive:f.tar:v1', 'archive', 'f.tar', 'v1', undefined],
  ])('%s', (text, kind, path, tag, pinned) => {
    expect(parseReference(text)).toEqual({
      kind,
      path,
      ...(tag && { tag }),
      ...(pinned && { digest: pinned }),
    });
  });

  it.each([
    ['nothing', ''],
    ['upper case', 'r.io/App'],
    ['a URL', 'https://r.io/app'],
    ['an empty tag', 'r.io/app:'],
    ['a tag with a slash', 'r.io/app:a/b'],
    ['a tag of 129 characters', `r.io/app:${'a'.repeat(129)}`],
    ['a short digest', 'r.io/app@sha256:abc'],
    ['an upper-case digest', `r.io/app@sha256:${'A'.repeat(64)}`],
    ['another algorithm', `r.io/app@md5:${'a'.repeat(32)}`],
    ['a path out of the repository', 'r.io/../app'],
    ['a double slash', 'r.io//app'],
    ['a leading slash', '/app'],
    ['a path', './app'],
    ['a path upwards', '../app:v1'],
    ['a file, that docker takes for an image of Docker Hub', 'image.tar'],
    ['a host alone', 'registry.example.com'],
    ['a host and its port alone', '127.0.0.1:5000'],
    ['localhost and its port alone', 'localhost:5000'],
    ['a query', 'r.io/app?x=1'],
    ['a user', 'user@r.io/app'],
    ['a port beyond the last', 'r.io:65536/app'],
    ['port 0', 'r.io:0/app'],
    ['white space', 'r.io/app :v1'],
    ['a newline', 'r.io/app:v1\n'],
    ['a host with a slash escaped', 'r.io%2fx/app'],
    ['a name of 256 characters', `r.io/${'a'.repeat(251)}`],
    ['a layout without a path', 'oci:'],
    ['a layout with an empty tag', 'oci:dir:'],
    ['a path with a NUL', 'oci:a\0b'],
    ['a short digest of a layout', 'oci:dir@sha256:abc'],
  ])('refuse %s', (_, text) => {
    expect(() => parseReference(text)).toThrow(
      expect.objectContaining({ code: 'usage', hint: expect.any(String) }),
    );
  });

  it('are read back from what they are written as', () => {
    const host = fc.constantFrom('r.io', 'localhost:5000', '[::1]:80', 'docker.io');
    const path = fc
      .array(fc.stringMatching(/^[a-z0-9]{1,5}$/), { minLength: 2, maxLength: 3 })
      .map((parts) => parts.join('/'));
    const tag = fc.option(fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/), { nil: undefined });
    const pin = fc.option(
      fc.uint8Array().map((bytes) => digestOf(bytes)),
      { nil: undefined },
    );
    fc.assert(
      fc.property(host, path, tag, pin, (registry, repository, t, d) => {
        const text = `${registry}/${repository}${t ? `:${t}` : ''}${d ? `@${d}` : ''}`;
        expect(formatReference(parseReference(text))).toBe(text);
      }),
    );
  });

  it('can be pinned to a digest', () => {
    const d = digestOf(utf8('x'));
    expect(formatReference(withDigest(parseReference('r.io/app:v1'), d))).toBe(`r.io/app@${d}`);
  });

  it.each(['r.io', 'a-b.c:80', '10.0.0.1', '[fe80::1]'])('%s is a host', (host) =>
    expect(isRegistryHost(host)).toBe(true),
  );
  it.each(['', '-a', 'a_b', 'a..b', 'r.io/', 'r.io:', 'a b', '[::1', 'x@y', 'r.io#'])(
    '%j is no host',
    (host) => {
      expect(isRegistryHost(host)).toBe(false);
    },
  );

  it('name the tags of signatures', () => {
    const sha512 = digestOf(utf8('x'), 'sha512');
    expect(fallbackTag(digestOf(utf8('x')))).toMatch(/^sha256-[0-9a-f]{64}$/);
    expect(fallbackTag(sha512)).toMatch(/^sha512-[0-9a-f]{64}$/);
    expect(cosignTags(digestOf(utf8('x'))).map((name) => name.slice(71))).toEqual(['.sig', '.att', '.sbom']);
    expect(cosignTags(sha512)).toEqual([]);
  });
});
