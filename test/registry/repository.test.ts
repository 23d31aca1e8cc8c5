import { openRepository } from '../../src/registry/client.ts';
import type { RegistryBehaviour } from '../support/registry/behaviour.ts';
import { startRegistry } from '../support/registry/server.ts';
import { describeTarget, type OpenedTarget } from '../support/target-contract.ts';

function opener(behaviour: RegistryBehaviour, chunkBytes?: number): () => Promise<OpenedTarget> {
  return async () => {
    const registry = await startRegistry({ ...behaviour });
    const target = openRepository(
      { registry: registry.host, repository: 'team/app' },
      { chunkBytes, retry: { baseMs: 5, maxMs: 20 }, settleMs: 20 },
    );
    return { target, dispose: () => registry.close() };
  };
}

describeTarget('a registry with the referrers API', opener({ conditionalPut: true }));
describeTarget(
  'a registry with the fallback tag only',
  opener({ referrersApi: false, conditionalPut: true }),
);
describeTarget('a registry without ETags', opener({ etag: false }));
describeTarget('a registry that takes chunks', opener({ chunkMinLength: 50_000 }, 16));
