// Counts the tests that ran against a real API server.
import type { TestEvent } from 'node:test/reporters';

/** How many tests ran against a real API server, and how many of those were skipped. */
export interface ClusterTests {
  readonly ran: number;
  readonly skipped: number;
}

/** Whether the tests of a file need a real API server. */
export function needsCluster(file: string): boolean {
  return file.endsWith('.cluster.test.ts');
}

/**
 * Counts the tests against a real API server from the events of a test run. Uses Node's summary of each file, because the event
 * of a test names the file that declares it, which is another file for a shared suite. Suites and tests that were cancelled
 * because a hook failed do not count.
 */
export class ClusterTestCounter {
  readonly #counts = { ran: 0, skipped: 0 };

  get counts(): ClusterTests {
    return { ...this.#counts };
  }

  /**
   * Takes every event of the run.
   * @param isOnCluster whether a file ran against a real API server
   */
  take(event: TestEvent, isOnCluster: (file: string) => boolean = needsCluster): void {
    if (event.type !== 'test:summary') {
      return;
    }
    const { file, counts } = event.data;
    if (file === undefined || !isOnCluster(file)) {
      return; // Without a file: the sum of all.
    }
    this.#counts.skipped += counts.skipped;
    this.#counts.ran += counts.tests - counts.skipped - counts.cancelled;
  }
}
