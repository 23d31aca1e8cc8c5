import type { ViteUserConfig } from 'vitest/config';
import { suite } from '../support/suite.ts';

const tufSuite = process.env['TUF_CONFORMANCE'];
if (tufSuite === undefined) {
  process.stderr.write(
    'tuf-conformance: not run, and not counted; give its checkout as TUF_CONFORMANCE=DIR\n',
  );
}

/** What `make conformance` runs: the suites that others wrote for our registry and our TUF client. */
const config: ViteUserConfig = suite({
  include: ['test/conformance/**/*.test.ts'],
  exclude: tufSuite === undefined ? ['test/conformance/tuf*.test.ts'] : [],
  testTimeout: 900_000,
  hookTimeout: 120_000,
  fileParallelism: false,
});
export default config;
