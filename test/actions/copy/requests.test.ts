import { describe, expect, it } from 'vitest';
import { type CopyResult, copy } from '../../../src/actions/copy/copy.ts';
import type { Target } from '../../../src/oci/target.ts';
import { openRepository } from '../../../src/registry/client.ts';
import { pushImage, pushIndex, pushReferrer, tagOf } from '../../support/content.ts';
import { startRegistry } from '../../support/registry/server.ts';

const V1 = tagOf('v1');

describe.each([true, false])('copy of a signed image, referrers API: %s', (referrersApi) => {
  async function secondRun(
    prepare: (source: Target) => Promise<unknown>,
  ): Promise<{ result: CopyResult; asked: number; told: string[] }> {
    const [from, to] = [await startRegistry({ referrersApi }), await startRegistry({ referrersApi })];
    const open = (registry: string): Target =>
      openRepository({ registry, repository: 'team/app' }, { settleMs: 20 });
    const run = async (): Promise<CopyResult> => {
      const [source, destination] = [open(from.host), open(to.host)];
      const result = await copy({ source, reference: V1, destination, tag: V1 });
      await source.close();
      await destination.close();
      return result;
    };
    try {
      const source = open(from.host);
      await prepare(source);
      await source.close();
      await run();
      const [asked, told] = [from.requests().length, to.requests().length];
      const result = await run();
      return { result, asked: from.requests().length - asked, told: to.requests().slice(told) };
    } finally {
      await from.close();
      await to.close();
    }
  }

  it('costs nine requests there and four here when it was copied before', async () => {
    const { result, asked, told } = await secondRun(async (source) => {
      const image = await pushImage(source, 'app', 'v1');
      await pushReferrer(source, image.descriptor, 'signature');
    });
    expect(result.pushed.content).toBe(0);
    expect(asked).toBeLessThanOrEqual(9);
    expect(told.length).toBeLessThanOrEqual(4);
    expect(told.every((request) => /^(GET|HEAD) /.test(request))).toBe(true);
  });

  it('asks no more than it must of an index', async () => {
    const { result, asked } = await secondRun(async (source) => {
      const { images } = await pushIndex(source, 'app', 'v1');
      for (const { descriptor } of images) await pushReferrer(source, descriptor, descriptor.digest);
    });
    expect(result).toMatchObject({ pushed: { content: 0 }, referrers: 2 });
    // 1 tag, 2 children, 2 referrers, 2 questions for what refers to each of 5, 9 tags of cosign's.
    expect(asked).toBeLessThanOrEqual(5 + 10 + 9);
  });
});
