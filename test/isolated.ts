/** Test files that get modules and a process of their own, by what would reach the files after them. */
export const ISOLATED: readonly string[] = [
  // Mock a module.
  'test/cli/start/program.test.ts',
  'test/cli/statements.test.ts',
  'test/state/trusted-directory-races.test.ts',
  // Set variables, the exit status or listeners of the process.
  'test/cli/start/run.test.ts',
  'test/cli/tls-attacks.test.ts',
  'test/cli/copy.test.ts',
  'test/cli/flow-quirks.test.ts',
  'test/deploy/release.test.ts',
  // Asks V8 whether compiled code fits its flags, which others change.
  'test/api/package.test.ts',
  // Measure the memory of the process.
  'test/cli/endless-files.test.ts',
];
