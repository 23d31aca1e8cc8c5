import type { ViteUserConfig } from 'vitest/config';
import { suite } from '../support/suite.ts';

/** What `make interop` runs: bulla with the registries and tools of others (peers.ts). */
const config: ViteUserConfig = suite({
  include: ['test/interop/**/*.test.ts'],
  testTimeout: 120_000,
  hookTimeout: 120_000,
  maxWorkers: 2,
});
export default config;
