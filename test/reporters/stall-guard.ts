import type { TestEvent } from 'node:test/reporters';

/**
 * Notices that a run stands still: a file whose tests are over but whose process does not end (a child process or
 * a timer was left behind) would otherwise hold it for ever, since Node's timeouts are for tests.
 */
export class StallGuard {
  readonly #afterMs: number;
  readonly #onStall: (unfinished: readonly string[]) => void;
  readonly #unfinished = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param afterMs without any event
   * @param onStall given the files that have begun and not ended
   */
  constructor(afterMs: number, onStall: (unfinished: readonly string[]) => void) {
    this.#afterMs = afterMs;
    this.#onStall = onStall;
  }

  /** Takes every event of the run; with a file's own name a file begins and ends. */
  take(event: TestEvent): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#onStall([...this.#unfinished]), this.#afterMs);
    if (event.type === 'test:dequeue' && event.data.name === event.data.file)
      this.#unfinished.add(event.data.name);
    if (event.type === 'test:complete') this.#unfinished.delete(event.data.name);
  }

  /** The run is over. */
  end(): void {
    clearTimeout(this.#timer);
  }
}
