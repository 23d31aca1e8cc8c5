import { describe, expect, it } from 'vitest';
import { copy } from '../../../src/actions/copy/copy.ts';
import { BullaError } from '../../../src/errors.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { pushImage, pushReferrer, tagOf } from '../../support/content.ts';

const V1 = tagOf('v1');

describe('a copy by digest', () => {
  it('brings what was verified, though the tag has moved since', async () => {
    const source = new MemoryStore();
    const verified = await pushImage(source, 'verified', 'v1');
    const signature = await pushReferrer(source, verified.descriptor, 'signature');
    await pushImage(source, 'evil', 'v1');
    const destination = new MemoryStore();
    await copy({ source, reference: verified.descriptor.digest, destination, tag: V1 });
    expect((await destination.resolve(V1)).digest).toBe(verified.descriptor.digest);
    expect(await destination.listReferrers(verified.descriptor.digest)).toMatchObject([
      { digest: signature.descriptor.digest },
    ]);
  });
});

describe('work before the tag', () => {
  it('signs before the image has its name', async () => {
    const source = new MemoryStore();
    const image = await pushImage(source, 'app', 'v1');
    const destination = new MemoryStore();
    const sign = async (): Promise<void> => {
      expect(await destination.listTags()).toEqual([]);
      await pushReferrer(destination, image.descriptor, 'signature');
    };
    await copy({ source, reference: V1, destination, tag: V1, beforeTag: sign });
    expect(await destination.listTags()).toEqual(['v1']);
    expect(await destination.listReferrers(image.descriptor.digest)).toHaveLength(1);
  });

  it('gives no name to what could not be signed', async () => {
    const source = new MemoryStore();
    await pushImage(source, 'app', 'v1');
    const destination = new MemoryStore();
    const sign = async (): Promise<void> => {
      throw new BullaError('key-invalid', 'no', { hint: 'x' });
    };
    const pushing = copy({ source, reference: V1, destination, tag: V1, beforeTag: sign });
    await expect(pushing).rejects.toMatchObject({ code: 'key-invalid' });
    expect(await destination.listTags()).toEqual([]);
  });
});
