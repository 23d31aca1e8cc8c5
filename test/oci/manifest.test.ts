import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import {
  checkContent,
  describe as descriptorOf,
  EMPTY_BYTES,
  EMPTY_DESCRIPTOR,
  inlineContent,
} from '../../src/oci/descriptor.ts';
import { digestOf, isDigest, parseDigest } from '../../src/oci/digest.ts';
import {
  buildArtifact,
  buildIndex,
  childrenOf,
  mediaTypeOfManifest,
  parseManifest,
} from '../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-types.ts';
import {
  applyReferrersChange,
  filterReferrers,
  parseReferrersIndex,
  referrerDescriptor,
} from '../../src/oci/referrers.ts';

const invalid = expect.objectContaining({ code: 'content-invalid', hint: expect.any(String) });
const layer = descriptorOf(MEDIA_TYPES.ociLayer, utf8('layer'));
const content = (json: unknown, mediaType: string = MEDIA_TYPES.ociManifest) => {
  const bytes = utf8(typeof json === 'string' ? json : JSON.stringify(json));
  return { descriptor: descriptorOf(mediaType, bytes), bytes };
};
const image = {
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.ociManifest,
  config: EMPTY_DESCRIPTOR,
  layers: [layer],
};
const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [layer] };

describe('digests', () => {
  it('are those of RFC 6234', () => {
    expect(digestOf(utf8('abc'))).toBe(
      'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
    expect(digestOf(utf8('abc'), 'sha512')).toMatch(/^sha512:ddaf35a1/);
    expect(EMPTY_DESCRIPTOR).toEqual({
      mediaType: 'application/vnd.oci.empty.v1+json',
      digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
      size: 2,
    });
  });

  it.each([
    '',
    'sha256:',
    `sha256:${'g'.repeat(64)}`,
    `SHA256:${'a'.repeat(64)}`,
    `sha256:${'a'.repeat(63)}`,
    `sha256:../${'a'.repeat(61)}`,
    `sha256:${'a'.repeat(64)}\n`,
  ])('%j is none', (text) => {
    expect(isDigest(text)).toBe(false);
    expect(() => parseDigest(text)).toThrow(invalid);
  });
});

describe('descriptors', () => {
  it('are checked against the bytes by size and digest', () => {
    expect(() => checkContent(EMPTY_DESCRIPTOR, EMPTY_BYTES, 'x')).not.toThrow();
    expect(() => checkContent(EMPTY_DESCRIPTOR, utf8('{} '), 'x')).toThrow(invalid);
    expect(() => checkContent(EMPTY_DESCRIPTOR, utf8('[]'), 'x')).toThrow(invalid);
  });

  it.each([
    ['other bytes', 'W10='],
    ['more bytes', 'e30gIA=='],
    ['no base64', 'e30'],
  ])('refuse inlined data that is %s', (_, data) => {
    expect(() => inlineContent({ ...EMPTY_DESCRIPTOR, data }, 'x')).toThrow(invalid);
  });

  it('give inlined data that is theirs', () => {
    expect(inlineContent({ ...EMPTY_DESCRIPTOR, data: 'e30=' }, 'x')).toEqual(EMPTY_BYTES);
    expect(inlineContent(EMPTY_DESCRIPTOR, 'x')).toBeUndefined();
  });
});

describe('manifests', () => {
  it('are read by what they were served as', () => {
    expect(parseManifest(content(image))).toMatchObject({
      kind: 'manifest',
      layers: [{ digest: layer.digest }],
    });
    expect(parseManifest(content(index, MEDIA_TYPES.ociIndex))).toMatchObject({ kind: 'index' });
    const { mediaType: _, ...untyped } = image;
    expect(parseManifest(content(untyped))).toMatchObject({ mediaType: MEDIA_TYPES.ociManifest });
    expect(childrenOf(parseManifest(content(image))).map((child) => child.digest)).toEqual([
      EMPTY_DESCRIPTOR.digest,
      layer.digest,
    ]);
  });

  it.each([
    ['manifest that is image and index at once', { ...image, manifests: [] }, MEDIA_TYPES.ociManifest],
    ['index with layers', { ...index, layers: [] }, MEDIA_TYPES.ociIndex],
    ['index with a config', { ...index, config: EMPTY_DESCRIPTOR }, MEDIA_TYPES.ociIndex],
    ['media type that differs from the one served', image, MEDIA_TYPES.dockerManifest],
    ['image served as an index', { ...image, mediaType: undefined }, MEDIA_TYPES.ociIndex],
    ['schema 1', { ...image, schemaVersion: 1 }, MEDIA_TYPES.ociManifest],
    ['no config', { ...image, config: undefined }, MEDIA_TYPES.ociManifest],
    ['size below zero', { ...image, layers: [{ ...layer, size: -1 }] }, MEDIA_TYPES.ociManifest],
    ['size with a fraction', { ...image, layers: [{ ...layer, size: 1.5 }] }, MEDIA_TYPES.ociManifest],
    [
      'digest with a path',
      { ...image, layers: [{ ...layer, digest: 'sha256:../../etc/passwd' }] },
      MEDIA_TYPES.ociManifest,
    ],
    ['annotation that is a number', { ...image, annotations: { a: 1 } }, MEDIA_TYPES.ociManifest],
    ['list', [], MEDIA_TYPES.ociManifest],
    ['key twice', `{"schemaVersion":2,"schemaVersion":2}`, MEDIA_TYPES.ociManifest],
  ])('refuse a %s', (_, json, mediaType) => {
    expect(() => parseManifest(content(json, mediaType))).toThrow(invalid);
  });

  it('say what is wrong with them once, however often it is', () => {
    const often = <T>(value: T): T[] => Array.from({ length: 30_000 }, () => value);
    const numbers = Object.fromEntries(often(0).map((zero, at) => [`a${at}`, zero]));
    const hostile: readonly object[] = [
      { ...index, manifests: often({}) },
      { ...index, manifests: often(0) },
      { ...index, annotations: numbers },
      { ...index, manifests: [{ ...layer, urls: often(0) }] },
      { ...index, manifests: [{ ...layer, annotations: numbers }] },
    ];
    for (const json of hostile) {
      expect(() => parseManifest(content(json, MEDIA_TYPES.ociIndex))).toThrow(
        expect.objectContaining({ code: 'content-invalid', message: expect.stringMatching(/^.{0,300}$/) }),
      );
    }
  });

  it('refuse 5 MB', () => {
    expect(() => parseManifest(content({ ...image, annotations: { a: 'x'.repeat(5_000_000) } }))).toThrow(
      invalid,
    );
  });

  it('say their type where nobody else does', () => {
    const typeOf = (json: unknown) => mediaTypeOfManifest(utf8(JSON.stringify(json)), 'x');
    expect(typeOf({ ...image, mediaType: MEDIA_TYPES.dockerManifest })).toBe(MEDIA_TYPES.dockerManifest);
    expect(typeOf({ manifests: [] })).toBe(MEDIA_TYPES.ociIndex);
    expect(typeOf({ layers: [] })).toBe(MEDIA_TYPES.ociManifest);
    expect(() => typeOf({})).toThrow(invalid);
    expect(() => typeOf({ manifests: [], layers: [] })).toThrow(invalid);
  });

  it('that we make have one spelling, and at least one layer', () => {
    const artifact = buildArtifact({
      artifactType: 'application/x',
      layers: [],
      annotations: { b: '1', a: '2' },
    });
    expect(Buffer.from(artifact.bytes).toString()).toMatch(
      /^\{"annotations":\{"a":"2","b":"1"\},"artifactType":"application\/x",/,
    );
    expect(parseManifest(artifact)).toMatchObject({ layers: [EMPTY_DESCRIPTOR] });
  });
});

describe('referrers', () => {
  const one = { ...descriptorOf(MEDIA_TYPES.ociManifest, utf8('1')), artifactType: 'application/a' };
  const two = { ...descriptorOf(MEDIA_TYPES.ociManifest, utf8('2')), artifactType: 'application/b' };

  it('are described as distribution-spec says', () => {
    const typed = buildArtifact({ artifactType: 'application/a', layers: [layer], annotations: { k: 'v' } });
    expect(referrerDescriptor(typed, parseManifest(typed))).toEqual({
      ...typed.descriptor,
      artifactType: 'application/a',
      annotations: { k: 'v' },
    });
    const byConfig = content({ ...image, config: { ...EMPTY_DESCRIPTOR, mediaType: 'application/c' } });
    expect(referrerDescriptor(byConfig, parseManifest(byConfig)).artifactType).toBe('application/c');
    const list = buildIndex({ manifests: [layer] });
    expect(referrerDescriptor(list, parseManifest(list))).toEqual(list.descriptor);
  });

  it('change without losing or doubling an entry', () => {
    expect(applyReferrersChange([one], { add: [two, one] })).toEqual([one, two]);
    expect(applyReferrersChange([one, two, one], { remove: new Set([one.digest]) })).toEqual([two]);
    expect(filterReferrers([one, two], 'application/b')).toEqual([two]);
    expect(filterReferrers([one, two], undefined)).toHaveLength(2);
  });

  it('are read from an index and from nothing else', () => {
    expect(parseReferrersIndex(utf8(JSON.stringify({ ...index, manifests: [one] })), 'x')).toEqual([one]);
    expect(parseReferrersIndex(utf8(JSON.stringify({ ...index, manifests: null })), 'x')).toEqual([]);
    expect(() => parseReferrersIndex(utf8(JSON.stringify({ ...index, manifests: undefined })), 'x')).toThrow(
      invalid,
    );
    expect(() => parseReferrersIndex(utf8(JSON.stringify(image)), 'x')).toThrow(invalid);
    expect(() => parseReferrersIndex(utf8('<html>'), 'x')).toThrow(invalid);
  });
});
