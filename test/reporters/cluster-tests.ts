import type { TestEvent } from 'node:test/reporters';

/** How many tests there were in files named `*.cluster.test.ts`. */
export type ClusterTests = { readonly ran: number; readonly skipped: number };

/** True for the files whose tests need a real API server. */
export function needsCluster(file: string): boolean {
  return file.endsWith('.cluster.test.ts');
}

/**
 * Counts, from a test run's events, the tests against a real API server. Takes what Node sums up for each file: a
 * single test's event names the file that declares it, which for a suite shared between files is another one.
 * Suites do not count, and neither do tests that were cancelled because their hook failed.
 */
export class ClusterTestCounter {
  readonly #counts = { ran: 0, skipped: 0 };

  get counts(): ClusterTests {
    return { ...this.#counts };
  }

  /** Takes every event of the run. */
  take(event: TestEvent): void {
    if (event.type !== 'test:summary') return;
    const { file, counts } = event.data;
    if (file === undefined || !needsCluster(file)) return; // Without a file: the sum of all.
    this.#counts.skipped += counts.skipped;
    this.#counts.ran += counts.tests - counts.skipped - counts.cancelled;
  }
}
