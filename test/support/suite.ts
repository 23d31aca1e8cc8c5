import { defineConfig, type ViteUserConfig } from 'vitest/config';
import { CountsReporter } from './counts-reporter.ts';

const root = new URL('../..', import.meta.url).pathname;

/** The vitest configuration that all suites share; each names its files and its patience. */
export function suite(
  options: Required<Pick<NonNullable<ViteUserConfig['test']>, 'include'>> & ViteUserConfig['test'],
): ViteUserConfig {
  return defineConfig({
    cacheDir: `${root}/node_modules/.vite`,
    test: {
      root,
      environment: 'node',
      allowOnly: false,
      passWithNoTests: false,
      // A poll ends when what it waits for happens; a loaded machine may take its time.
      expect: { poll: { timeout: 15_000 } },
      reporters: ['default', new CountsReporter()],
      ...options,
    },
  });
}
