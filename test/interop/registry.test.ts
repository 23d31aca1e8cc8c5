import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openRepository } from '../../src/registry/client.ts';
import { pushImage, pushReferrer } from '../support/content.ts';
import { describeTarget, type TargetAbilities } from '../support/target-contract.ts';
import { havePeers } from './peers.ts';
import { HAS_REFERRERS_API, type Registry, type RegistryKind, startRegistry } from './registries.ts';

/** What each registry cannot do (measured). */
const ABILITIES: Readonly<Partial<Record<RegistryKind, TargetAbilities>>> = {
  'docker-registry': { deletesTags: false, sha512: false },
  registry3: {},
  olareg: {},
};

describe.each(['docker-registry', 'registry3', 'olareg'] as const)('%s', (kind) => {
  describe.runIf(havePeers(kind))('driven by our client', () => {
    let registry: Registry;
    beforeAll(async () => {
      registry = await startRegistry(kind);
    });
    afterAll(() => registry?.stop());

    describeTarget(
      kind,
      async () => ({
        target: openRepository({ registry: registry.host, repository: `contract/${randomUUID()}` }),
      }),
      ABILITIES[kind] ?? {},
    );

    it('keeps the referrers of sixteen publishers that write at once', async () => {
      const repository = { registry: registry.host, repository: `crowd/${randomUUID()}` };
      const reader = openRepository(repository);
      const image = await pushImage(reader, 'popular', 'v1');
      const pushed = await Promise.all(
        Array.from({ length: 16 }, async (_, at) => {
          const publisher = openRepository(repository);
          const { descriptor } = await pushReferrer(publisher, image.descriptor, `signer ${at}`);
          await publisher.close();
          return descriptor.digest;
        }),
      );
      const listed = await reader.listReferrers(image.descriptor.digest);
      expect(listed.map(({ digest }) => digest).sort()).toEqual([...pushed].sort());
      await reader.close();
    });

    it('needs no more requests for a cold verification than it must', async () => {
      const repository = { registry: registry.host, repository: `cold/${randomUUID()}` };
      const writer = openRepository(repository);
      const image = await pushImage(writer, 'signed', 'v1');
      await pushReferrer(writer, image.descriptor, 'signature');
      await writer.close();
      const paths: string[] = [];
      const reader = openRepository(repository, {
        http: { events: (event) => event.type === 'request' && paths.push(event.url) },
      });
      const { descriptor } = await reader.fetchManifest('v1' as never);
      const [entry] = await reader.listReferrers(descriptor.digest);
      await reader.fetchManifest(entry?.digest ?? descriptor.digest);
      expect(paths).toHaveLength(4);
      await reader.listReferrers(descriptor.digest);
      expect(paths.at(-1)).toMatch(HAS_REFERRERS_API[kind] ? /referrers/ : /manifests\/sha256-/);
      expect(paths).toHaveLength(5);
      await reader.close();
    });
  });
});
