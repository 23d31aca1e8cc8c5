import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/encoding/bytes.ts';
import { observedStream, streamOf, verifiedStream } from '../../src/oci/content.ts';
import { describe as descriptorOf } from '../../src/oci/descriptor.ts';

const bytes = utf8('layer');
const descriptor = descriptorOf('application/octet-stream', bytes);

async function drain(stream: AsyncIterable<Uint8Array>): Promise<number> {
  let size = 0;
  for await (const piece of stream) size += piece.byteLength;
  return size;
}

describe('a verified stream', () => {
  it('passes content on that is what it should be', async () => {
    expect(await drain(verifiedStream(descriptor, streamOf(bytes), 'here'))).toBe(bytes.byteLength);
  });

  it.each([
    ['other bytes', 'lawyer'],
    ['the same length', 'lawer'],
    ['fewer bytes', 'laye'],
    ['nothing', ''],
    ['more bytes', 'layers'],
  ])('refuses %s and never yields the last piece of them', async (_, text) => {
    const seen: Uint8Array[] = [];
    const read = async (): Promise<void> => {
      for await (const piece of verifiedStream(descriptor, streamOf(utf8(text)), 'here')) seen.push(piece);
    };
    await expect(read()).rejects.toMatchObject({ code: 'content-invalid' });
    expect(seen).toEqual([]);
  });

  it('is not hashed a second time, also where somebody counts its bytes', async () => {
    const stream = verifiedStream(descriptor, streamOf(bytes), 'here');
    const counts: number[] = [];
    const observed = observedStream(stream, (count) => counts.push(count));
    expect(verifiedStream(descriptor, observed, 'there')).toBe(observed);
    expect(await drain(observed)).toBe(5);
    expect(counts).toEqual([5]);
  });

  it('is checked again where it promised something else', async () => {
    const other = descriptorOf('application/octet-stream', utf8('other'));
    const observed = observedStream(verifiedStream(descriptor, streamOf(bytes), 'here'), () => undefined);
    await expect(drain(verifiedStream(other, observed, 'there'))).rejects.toMatchObject({
      code: 'content-invalid',
    });
  });

  it('makes no promise for a stream that nobody checks', async () => {
    const observed = observedStream(streamOf(utf8('lawer')), () => undefined);
    await expect(drain(verifiedStream(descriptor, observed, 'there'))).rejects.toMatchObject({
      code: 'content-invalid',
    });
  });
});
