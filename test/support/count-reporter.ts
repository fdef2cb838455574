import type { Reporter, TestModule } from 'vitest/node';

/** Ends the run with one plain line: '12 passed, 0 failed, 1 skipped'. */
class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let passed = 0;
    let skipped = 0;
    let failed = unhandledErrors.length;
    for (const module of modules) {
      if (module.state() === 'failed' && [...module.children.allTests()].length === 0) failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') passed++;
        else if (state === 'failed') failed++;
        else skipped++;
      }
    }
    // After the other reporters' summaries, so that it is the last line.
    process.once('exit', () =>
      console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`),
    );
  }
}

// biome-ignore lint/style/noDefaultExport: vitest loads reporters by their default export
export default CountReporter;
