import type { Reporter, TestModule } from 'vitest/node';

/**
 * Ends a run with the line `N passed, N failed, N skipped`. A file that cannot be loaded and an error
 * outside of any test count as failed. With CI=true nothing may be skipped.
 */
export class CountsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandled.length, skipped: 0 };
    for (const module of modules) {
      if (module.errors().length > 0) counts.failed += 1;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'pending') counts.failed += 1;
        else counts[state] += 1;
        if (state === 'skipped') {
          const { note } = test.result() as { note?: string };
          process.stderr.write(`skipped: ${test.fullName}${note === undefined ? '' : ` (${note})`}\n`);
        }
      }
    }
    if (counts.failed > 0) process.exitCode = 1;
    if (counts.skipped > 0 && process.env['CI'] === 'true') {
      process.stderr.write('nothing may be skipped where CI=true\n');
      process.exitCode = 1;
    }
    // After the default reporter, which writes its summary in the same hook.
    process.once('exit', () => {
      process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
    });
  }
}
