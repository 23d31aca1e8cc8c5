import { availableParallelism } from 'node:os';
import type { ViteUserConfig } from 'vitest/config';
import { suite } from '../support/suite.ts';

/** What `make interop` runs: bulla with the registries and tools of others (peers.ts). */
const config: ViteUserConfig = suite({
  include: ['test/interop/**/*.test.ts'],
  testTimeout: 120_000,
  hookTimeout: 120_000,
  // More than there are processors: peers are waited for. Each file has the time that it needs.
  maxWorkers: 1 + availableParallelism(),
});
export default config;
