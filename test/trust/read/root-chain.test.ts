import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/encoding/bytes.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import type { TrustObject } from '../../../src/trust/format/object.ts';
import { TRUST_LAYERS } from '../../../src/trust/format/vocabulary.ts';
import { newestOf, rootsOf } from '../../../src/trust/read/root-chain.ts';

const MIB = 1024 * 1024;
const digestFor = (name: string): Digest => digestOf(utf8(name));

/** The roots of an object that lists files of these names. */
function listing(names: readonly string[], size = 1, digest: (name: string) => Digest = digestFor) {
  const files = new Map(
    names.map((name) => [name, { mediaType: TRUST_LAYERS.metadata, digest: digest(name), size }]),
  );
  return rootsOf(new MemoryStore(), { files } as unknown as TrustObject, {});
}

const upTo = (count: number) => Array.from({ length: count }, (_, at) => `${at + 1}.root.json`);
const broken = expect.objectContaining({
  code: 'trust-invalid',
  details: { role: 'root', reason: 'root-chain' },
});

describe('the roots of an object', () => {
  it.each<[string, readonly string[], number]>([
    ['none', [], 1],
    ['only other files', ['timestamp.json', '1.root', 'x1.root.json', '1.root.json5'], 1],
    ['the first missing', ['2.root.json'], 1],
    ['one missing in between', ['1.root.json', '3.root.json'], 1],
    ['a version that is written otherwise', ['01.root.json', '2.root.json'], 1],
    ['version 0 beside the first', ['0.root.json', '2.root.json'], 1],
    ['too many of them', upTo(1025), 1],
    ['too many bytes', upTo(8), MIB + 1],
  ])('are no chain with %s', (_, names, size) => {
    expect(() => listing(names, size)).toThrow(broken);
  });

  it('are known by the SHA-256 of the first, and by no other hash', () => {
    const sha512 = `sha512:${'a'.repeat(128)}` as Digest;
    const other = (odd: string) => (name: string) => (name === odd ? sha512 : digestFor(name));
    expect(() => listing(upTo(2), 1, other('1.root.json'))).toThrow(broken);
    expect(listing(upTo(2), 1, other('2.root.json')).id).toBe(digestFor('1.root.json').slice(7));
  });

  it.each([
    [1, 8 * MIB],
    [2, 1],
    [8, MIB],
    [1024, 1],
  ])('are a chain of %i, of %i bytes each', (count, size) => {
    const roots = listing(['timestamp.json', ...upTo(count).reverse()], size);
    expect(roots.versions).toEqual(upTo(count).map((_, at) => at + 1));
    expect(newestOf(roots)).toBe(count);
    expect(roots.digest(count)).toBe(digestFor(`${count}.root.json`));
    expect(roots.digest(count + 1)).toBeUndefined();
  });

  it('are loaded only where they are listed', async () => {
    await expect(listing(upTo(1)).load(2)).rejects.toThrow(broken);
  });
});
