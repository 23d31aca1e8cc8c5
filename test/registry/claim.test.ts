import { describe, expect, it } from 'vitest';
import { EMPTY_DESCRIPTOR } from '../../src/oci/descriptor.ts';
import { buildArtifact, type ManifestContent } from '../../src/oci/manifest.ts';
import type { Target } from '../../src/oci/target.ts';
import { pushImage, pushReferrer } from '../support/content.ts';
import { FakeTiming, registryFor, repositoryOf } from '../support/registry/open.ts';
import type { FaultyRegistry } from '../support/registry/server.ts';

/** A clock of one writer, with a number of its own. */
class Writer extends FakeTiming {
  private readonly number: number;

  constructor(number: number) {
    super();
    this.number = number;
  }

  override random(): number {
    return this.number;
  }
}

async function crowd(registry: FaultyRegistry, size: number): Promise<{ lost: number; slept: number[][] }> {
  const reader = repositoryOf(registry);
  const image = await pushImage(reader, 'popular', 'v1');
  const clocks = Array.from({ length: size }, (_, at) => new Writer((at + 0.5) / 64));
  const pushed = await Promise.all(
    clocks.map(async (timing, at) => {
      const { descriptor } = await pushReferrer(
        repositoryOf(registry, { timing }),
        image.descriptor,
        `${at}`,
      );
      return descriptor.digest;
    }),
  );
  const listed = (await reader.listReferrers(image.descriptor.digest)).map(({ digest }) => digest);
  return {
    lost: pushed.filter((digest) => !listed.includes(digest)).length,
    slept: clocks.map(({ slept }) => slept),
  };
}

describe('a list that is changed without compare-and-swap', () => {
  it('is watched for a moment by a writer that is alone', async () => {
    const registry = await registryFor({ referrersApi: false });
    const { lost, slept } = await crowd(registry, 1);
    expect(lost).toBe(0);
    expect(Math.max(...(slept[0] ?? []))).toBeLessThan(100);
  });

  it.each([2, 3, 5, 16])('keeps the entries of %i writers, who watch it for long', async (size) => {
    const registry = await registryFor({ referrersApi: false });
    const { lost, slept } = await crowd(registry, size);
    expect(lost).toBe(0);
    // All but the last one know of another, and stay.
    expect(slept.filter((times) => times.some((ms) => ms >= 300)).length).toBeGreaterThanOrEqual(size - 1);
  });

  it.each([
    ['are refused', { method: 'POST', path: /blobs\/uploads/, status: 405 }],
    ['cannot be looked for', { method: 'HEAD', path: /blobs\//, status: 403 }],
  ])('is watched for long where claims %s', async (_, { method, path, status }) => {
    const registry = await registryFor({ referrersApi: false });
    const reader = repositoryOf(registry);
    const image = await pushImage(reader, 'app', 'v1');
    const timing = new Writer(0.1);
    const target = repositoryOf(registry, { timing });
    await pushReferrer(target, image.descriptor, 'first');
    registry.fault({ method, path, times: 1_000, action: { status } });
    registry.fault({ method: 'GET', path: /blobs\//, times: 1_000, action: { status } });
    timing.slept.length = 0;
    await pushWithoutBlobs(target, image);
    expect(await reader.listReferrers(image.descriptor.digest)).toHaveLength(2);
    expect(Math.max(...timing.slept)).toBeGreaterThanOrEqual(300);
  });
});

/** A referrer of which all blobs are there. */
async function pushWithoutBlobs(target: Target, { descriptor: subject }: ManifestContent): Promise<void> {
  await target.pushManifest(
    buildArtifact({
      ...{ artifactType: 'application/vnd.example.second', subject, annotations: {} },
      ...{ config: EMPTY_DESCRIPTOR, layers: [EMPTY_DESCRIPTOR] },
    }),
  );
}
