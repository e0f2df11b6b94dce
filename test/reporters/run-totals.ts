// Adds up what Node reports at the end of each of several test runs, so that the reporter shows one total.
import type { TestEvent } from 'node:test/reporters';

type Counts = Extract<TestEvent, { type: 'test:summary' }>['data']['counts'];

const totalPattern = /^(?:tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) \d/;

export class RunTotals {
  #success = true;
  #runs = 0;
  #durationMs = 0;
  readonly #counts: Counts = {
    tests: 0,
    suites: 0,
    passed: 0,
    cancelled: 0,
    skipped: 0,
    todo: 0,
    topLevel: 0,
  };

  /** Whether at least one run took place and all runs succeeded. */
  get success(): boolean {
    return this.#success && this.#runs > 0;
  }

  /** Takes every event. Returns true for those that {@link events} replaces. */
  take(event: TestEvent): boolean {
    if (event.type === 'test:summary' && event.data.file === undefined) {
      const { counts, duration_ms, success } = event.data;
      this.#runs += 1;
      this.#success &&= success;
      this.#durationMs += duration_ms;
      for (const name of Object.keys(this.#counts) as (keyof Counts)[]) {
        this.#counts[name] += counts[name];
      }
      return true;
    }
    return (
      event.type === 'test:diagnostic' && event.data.nesting === 0 && totalPattern.test(event.data.message)
    );
  }

  /** The totals of all runs, in the form in which Node reports those of one. */
  *events(): Generator<TestEvent> {
    const { tests, suites, passed: pass, cancelled, skipped, todo } = this.#counts;
    const fail = tests - pass - cancelled - skipped - todo;
    const lines = { tests, suites, pass, fail, cancelled, skipped, todo, duration_ms: this.#durationMs };
    for (const [name, value] of Object.entries(lines)) {
      yield { type: 'test:diagnostic', data: { nesting: 0, message: `${name} ${value}`, level: 'info' } };
    }
  }
}
