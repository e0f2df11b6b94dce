// Detects a test run that makes no progress.
import type { TestEvent } from 'node:test/reporters';

/**
 * Detects a run without progress. A file whose tests are over but whose process does not exit, because of a child process or a
 * timer, would otherwise block the run without end, because Node's timeouts apply to tests only.
 */
export class StallGuard {
  readonly #afterMs: number;
  readonly #onStall: (unfinished: readonly string[]) => void;
  readonly #unfinished = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param afterMs without any event
   * @param onStall receives the files that have started and not ended
   */
  constructor(afterMs: number, onStall: (unfinished: readonly string[]) => void) {
    this.#afterMs = afterMs;
    this.#onStall = onStall;
  }

  /** Receives every event of the run. Events with the name of a file report its start and end. */
  take(event: TestEvent): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#onStall([...this.#unfinished]), this.#afterMs);
    if (event.type === 'test:dequeue' && event.data.name === event.data.file) {
      this.#unfinished.add(event.data.name);
    }
    if (event.type === 'test:complete') {
      this.#unfinished.delete(event.data.name);
    }
  }

  /** Stops, because the run is over. */
  end(): void {
    clearTimeout(this.#timer);
  }
}
