import type { ViteUserConfig } from 'vitest/config';
import { suite } from './support/suite.ts';

/** What `make test` runs: everything that needs nothing but Node. */
const config: ViteUserConfig = suite({
  include: ['test/**/*.test.ts'],
  exclude: ['test/{interop,conformance,soak,fuzz,bench}/**', 'node_modules/**'],
  testTimeout: 30_000,
  hookTimeout: 60_000,
});
export default config;
