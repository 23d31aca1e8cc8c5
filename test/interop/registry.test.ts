import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { streamOf } from '../../src/oci/content.ts';
import { openRepository, RegistryClient } from '../../src/registry/client.ts';
import { type Credentials, fixedCredentials } from '../../src/registry/credentials.ts';
import { blobOf, pushImage, pushReferrer, tagOf } from '../support/content.ts';
import { describeTarget, type TargetAbilities } from '../support/target-contract.ts';
import { startTokenServer } from '../support/token-server.ts';
import { havePeers } from './peers.ts';
import {
  HAS_REFERRERS_API,
  type Registry,
  type RegistryKind,
  startDistribution,
  startRegistry,
} from './registries.ts';

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
      const { descriptor } = await reader.fetchManifest(tagOf('v1'));
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

describe.runIf(havePeers('docker-registry'))('docker-registry that asks who we are', () => {
  const users = { alice: 'wonder:land' };
  const alice = { kind: 'basic', username: 'alice', password: 'wonder:land' } as const;

  it('takes Basic', async () => {
    const registry = await startDistribution('docker-registry', { users });
    try {
      await exercise(registry.host, alice);
    } finally {
      await registry.stop();
    }
  });

  it('takes the tokens of a token server, for pushing, reading, mounting and deleting', async () => {
    const tokens = await startTokenServer({ users });
    const registry = await startDistribution('docker-registry', { tokens });
    try {
      await exercise(registry.host, alice);
    } finally {
      await registry.stop();
      await tokens.stop();
    }
  });
});

/** All that needs a right of its own; a stranger gets none of it. */
async function exercise(host: string, credentials: Credentials): Promise<void> {
  const client = new RegistryClient({ credentials: fixedCredentials(host, credentials) });
  const stranger = openRepository({ registry: host, repository: 'team/app' });
  try {
    const app = client.repository({ registry: host, repository: 'team/app' });
    const image = await pushImage(app, 'guarded', 'v1');
    const signature = await pushReferrer(app, image.descriptor, 'signature');
    const copy = client.repository({ registry: host, repository: 'team/copy' });
    const layer = blobOf('layer of guarded').descriptor;
    const nothing = async (): Promise<AsyncIterable<Uint8Array>> => streamOf(new Uint8Array());
    expect(await copy.pushBlob(layer, nothing, { mountFrom: ['team/app'] })).toBe('mounted');
    await app.deleteManifest(signature.descriptor.digest);
    expect(await app.listReferrers(image.descriptor.digest)).toEqual([]);
    const names: string[] = [];
    for await (const name of client.listRepositories(host)) names.push(name);
    expect(names).toContain('team/app');
    await expect(stranger.resolve(tagOf('v1'))).rejects.toMatchObject({ code: 'unauthorized' });
  } finally {
    await stranger.close();
    await client.close();
  }
}
