import type { ViteUserConfig } from 'vitest/config';
import { suite } from '../support/suite.ts';

/** What `make fuzz` runs: for FUZZ_SECONDS (60) in all, from FUZZ_SEED where one is given. */
const config: ViteUserConfig = suite({
  include: ['test/fuzz/**/*.test.ts'],
  testTimeout: 3_600_000,
  fileParallelism: false,
});
export default config;
