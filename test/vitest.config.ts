import { availableParallelism } from 'node:os';
import type { ViteUserConfig } from 'vitest/config';
import { ISOLATED } from './isolated.ts';
import { useMemoryDirectory } from './support/memory-directory.ts';
import { suite } from './support/suite.ts';

useMemoryDirectory();

const exclude = ['test/{interop,conformance,soak,fuzz,bench}/**', 'node_modules/**'];

/**
 * What `make test` runs: everything that needs nothing but Node. Most files share the modules of their worker, which
 * are then loaded and compiled once instead of once per file: a third of the processor time.
 */
const config: ViteUserConfig = suite({
  // Each project has its own, and a project would add to what stands here.
  include: [],
  exclude,
  // More than there are processors: many tests wait for a clock, a disk or a program.
  maxWorkers: 2 * availableParallelism(),
  testTimeout: 30_000,
  hookTimeout: 60_000,
  setupFiles: ['test/support/crypto-once.ts'],
  projects: [
    {
      extends: true,
      test: { name: 'shared', isolate: false, include: ['test/**/*.test.ts'], exclude: [...ISOLATED] },
    },
    { extends: true, test: { name: 'isolated', include: [...ISOLATED] } },
  ],
});
export default config;
