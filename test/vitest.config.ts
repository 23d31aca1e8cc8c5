import type { ViteUserConfig } from 'vitest/config';
import { ISOLATED } from './isolated.ts';
import { suite } from './support/suite.ts';

const exclude = ['test/{interop,conformance,soak,fuzz,bench}/**', 'node_modules/**'];

/**
 * What `make test` runs: everything that needs nothing but Node. Most files share the modules of their worker, which
 * are then loaded and compiled once instead of once per file: a third of the processor time.
 */
const config: ViteUserConfig = suite({
  // Each project has its own, and a project would add to what stands here.
  include: [],
  exclude,
  // One less than there are, as is the default, would be a single one where CI has two.
  maxWorkers: '100%',
  testTimeout: 30_000,
  hookTimeout: 60_000,
  setupFiles: ['test/support/scrypt-once.ts'],
  projects: [
    {
      extends: true,
      test: { name: 'shared', isolate: false, include: ['test/**/*.test.ts'], exclude: [...ISOLATED] },
    },
    { extends: true, test: { name: 'isolated', include: [...ISOLATED] } },
  ],
});
export default config;
