import { describe, expect, it } from 'vitest';
import { base64, utf8 } from '../../../src/encoding/bytes.ts';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import type { ManifestContent } from '../../../src/oci/manifest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import {
  fetchFile,
  openShard,
  openTrustObject,
  placeOfBin,
  shardCount,
} from '../../../src/trust/format/object.ts';
import {
  CANDIDATE_MARK,
  FILE_NAME,
  TRUST_LAYERS,
  TRUST_TYPES,
} from '../../../src/trust/format/vocabulary.ts';
import { ObjectFetcher } from '../../../src/trust/read/object-fetcher.ts';

const code = (name: string, details: object = {}) =>
  expect.objectContaining({ code: name, details: expect.objectContaining(details) });

describe('an object of a collection', () => {
  const HEAD = 'application/vnd.oci.image.manifest.v1+json';
  const INDEX = 'application/vnd.oci.image.index.v1+json';
  const describeBytes = (bytes: Uint8Array, mediaType: string): Descriptor => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.byteLength,
  });
  const manifest = (json: object, mediaType = HEAD): ManifestContent => {
    const bytes = utf8(JSON.stringify({ schemaVersion: 2, mediaType, ...json }));
    return { descriptor: describeBytes(bytes, mediaType), bytes };
  };
  const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(utf8('{}')), size: 2 };
  const layer = (text: string, name: string | undefined, mediaType: string = TRUST_LAYERS.metadata) => ({
    ...describeBytes(utf8(text), mediaType),
    ...(name !== undefined && { annotations: { [FILE_NAME]: name } }),
  });
  const listing = (
    layers: readonly object[],
    artifactType: string | undefined = TRUST_TYPES.head,
    more: object = {},
  ) => manifest({ ...(artifactType !== undefined && { artifactType }), config, layers, ...more });
  const inline = ({ descriptor, bytes }: ManifestContent, more: object = {}) => ({
    ...descriptor,
    data: base64(bytes),
    ...more,
  });
  const large = (manifests: readonly object[], bits?: string) =>
    manifest(
      {
        artifactType: TRUST_TYPES.head,
        manifests,
        annotations: { ...(bits !== undefined && { 'vnd.bulla.trust.bin-bits': bits }) },
      },
      INDEX,
    );
  const open = (made: ManifestContent) => openTrustObject(new MemoryStore(), made);
  const shards = (count: number) =>
    Array.from({ length: count }, (_, at) => inline(listing([layer(`${at}`, undefined)], TRUST_TYPES.shard)));
  const first = inline(listing([layer('r', '1.root.json')]));
  const noObject = code('trust-invalid', { reason: 'object' });

  it.each<[string, ManifestContent]>([
    ['another type', listing([], 'application/vnd.example')],
    ['no type', manifest({ config, layers: [] })],
    ['a probe', listing([], TRUST_TYPES.probe)],
    ['a shard', listing([], TRUST_TYPES.shard)],
    ['two files of one name', listing([layer('a', 'timestamp.json'), layer('b', 'timestamp.json')])],
    [
      'two logs of one role',
      listing([layer('a', 'ci.log.json', TRUST_LAYERS.log), layer('b', 'ci.log.json', TRUST_LAYERS.log)]),
    ],
    ['no entries', large([])],
    ['nothing but what was folded', large([{ ...first, artifactType: TRUST_TYPES.folded }])],
    ['an index in it', large([inline(large([first]))])],
    ['shards of no bits', large([first, ...shards(1)])],
    ['shards of 0 bits', large([first, ...shards(1)], '0')],
    ['shards of 17 bits', large([first, ...shards(256)], '17')],
    ['shards of half a bit', large([first, ...shards(1)], '1.5')],
    ['too few shards', large([first, ...shards(1)], '2')],
    ['too many shards', large([first, ...shards(3)], '2')],
  ])('is none with %s', async (_, made) => {
    await expect(open(made)).rejects.toThrow(noObject);
  });

  it('has no bins where its index lists no shards', async () => {
    const opened = await open(large([first]));
    expect(opened.bins).toBeUndefined();
    expect([...opened.files.keys()]).toEqual(['1.root.json']);
  });

  it.each<[string, number]>([
    ['1', 1],
    ['2', 2],
    ['3', 2],
    ['16', 256],
  ])('has bins of %s bits in %i shards', async (bits, count) => {
    const opened = await open(large([first, ...shards(count)], bits));
    expect(opened.bins).toMatchObject({ bits: Number(bits) });
    expect(opened.bins?.shards).toHaveLength(count);
    expect([...opened.files.keys()]).toEqual(['1.root.json']);
    expect(shardCount(Number(bits))).toBe(count);
  });

  it.each([
    ['head', TRUST_TYPES.head],
    ['stage', TRUST_TYPES.stage],
    ['proof', TRUST_TYPES.proof],
  ])('is a %s by its type, and a candidate by its mark', async (kind, type) => {
    expect(await open(listing([], type))).toMatchObject({ kind, isCandidate: false });
    const marked = { annotations: { [CANDIDATE_MARK]: '1' } };
    expect(await open(listing([], type, marked))).toMatchObject({ kind, isCandidate: true });
  });

  it('lists what has a name and a type of ours, and one file as often as anyone likes', async () => {
    const opened = await open(
      listing([
        layer('a', 'timestamp.json'),
        layer('a', 'timestamp.json'),
        layer('l', 'ci.log.json', TRUST_LAYERS.log),
        layer('x', 'other.json', 'application/json'),
        layer('y', 'no-log.json', TRUST_LAYERS.log),
        layer('z', undefined),
      ]),
    );
    expect([...opened.files.keys()]).toEqual(['timestamp.json']);
    expect([...opened.logs.keys()]).toEqual(['ci']);
  });

  it.each<[string, ManifestContent]>([
    ['another type', listing([layer('a', undefined), layer('b', undefined)], TRUST_TYPES.head)],
    ['a bin too few', listing([layer('a', undefined)], TRUST_TYPES.shard)],
    [
      'a bin too many',
      listing(
        ['a', 'b', 'c'].map((text) => layer(text, undefined)),
        TRUST_TYPES.shard,
      ),
    ],
    ['an index', large([first])],
  ])('has no shard that is %s', async (_, shard) => {
    const entry = inline(shard) as unknown as Descriptor;
    const bins = { bits: 2, shards: [entry, entry] };
    await expect(openShard(new MemoryStore(), bins, entry)).rejects.toThrow(noObject);
  });

  it('has each bin in one place', () => {
    expect([0, 1, 2, 3].map((bin) => placeOfBin(2, bin))).toEqual([
      { shard: 0, at: 0 },
      { shard: 0, at: 1 },
      { shard: 1, at: 0 },
      { shard: 1, at: 1 },
    ]);
  });

  it('gives out no file that is larger than it may be', async () => {
    const store = new MemoryStore();
    const descriptor = {
      ...describeBytes(utf8('12345'), TRUST_LAYERS.metadata),
      data: base64(utf8('12345')),
    } as Descriptor;
    expect(await fetchFile(store, descriptor, 5)).toEqual(utf8('12345'));
    await expect(fetchFile(store, descriptor, 4)).rejects.toThrow(
      expect.objectContaining({ code: 'content-invalid' }),
    );
    const opened = await open(listing([{ ...descriptor, annotations: { [FILE_NAME]: 'timestamp.json' } }]));
    const fetcher = new ObjectFetcher(store, opened);
    expect(await fetcher.fetchMetadata('timestamp.json', 5)).toEqual(utf8('12345'));
    expect(await fetcher.fetchMetadata('snapshot.json', 5)).toBeUndefined();
    expect(await fetcher.fetchMetadata('1.-0.json', 5)).toBeUndefined();
    await expect(fetcher.fetchMetadata('timestamp.json', 4)).rejects.toThrow(
      code('trust-invalid', { reason: 'length', fileName: 'timestamp.json' }),
    );
  });

  it.each(['-0.json', '0.-0.json', '1.-4.json', '1.-0A.json', '1.x-0.json', '1.-00.json', 'x'])(
    'has no bin in the file %s',
    async (name) => {
      const opened = await open(large([first, ...shards(2)], '2'));
      expect(await new ObjectFetcher(new MemoryStore(), opened).fetchMetadata(name, 99)).toBeUndefined();
    },
  );
});
