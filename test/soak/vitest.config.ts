import type { ViteUserConfig } from 'vitest/config';
import { suite } from '../support/suite.ts';

/** What `make soak` runs: what takes minutes to show (kill -9, memory, many writers). */
const config: ViteUserConfig = suite({
  include: ['test/soak/**/*.test.ts'],
  testTimeout: 1_800_000,
  hookTimeout: 300_000,
  fileParallelism: false,
});
export default config;
