import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveRegistry } from '../../../src/api/registry-server.ts';
import { openRepository } from '../../../src/registry/client.ts';
import { describeTarget } from '../../support/target-contract.ts';

describeTarget('the embedded registry', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'bulla-registry-'));
  const server = await serveRegistry({ dir });
  const target = openRepository({ registry: server.address, repository: 'team/app' });
  return {
    target,
    async dispose(): Promise<void> {
      await server.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
});
