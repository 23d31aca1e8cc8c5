import type { ViteUserConfig } from 'vitest/config';
import { suite } from './support/suite.ts';

/** What `make test` runs: everything that needs nothing but Node. */
const config: ViteUserConfig = suite({
  include: ['test/**/*.test.ts'],
  exclude: ['test/{interop,conformance,soak,fuzz,bench}/**', 'node_modules/**'],
  // One less than there are, as is the default, would be a single one where CI has two.
  maxWorkers: '100%',
  testTimeout: 30_000,
  hookTimeout: 60_000,
});
export default config;
