// Runs a check on the corpus of past failures, then on random values until the time has passed.
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';

/** A past failure of one part, or a similar example. */
interface CorpusEntry<T> {
  /** The name of its test. */
  readonly why: string;
  readonly value: T;
}

/** One part of the fuzz suite. */
export interface FuzzPart<T> {
  /** `reviews` reads `corpus/reviews.json`. */
  readonly part: string;
  readonly values: fc.Arbitrary<T>;
  /** Rejects if the value has a forbidden effect. Must settle for every value. */
  check(value: T): Promise<void>;
  /** Checks what is only known after all values, such as the whole log. */
  afterwards?(): Promise<void>;
}

/** The same seed gives the same values in the same order. Set FUZZ_SEED to repeat a run. */
const seed = Number(process.env['FUZZ_SEED'] ?? randomInt(2 ** 31));

/** How long each part runs on random values, in seconds. */
const seconds = Number(process.env['FUZZ_SECONDS'] ?? 5);

/** Additional timeout for the corpus and the final checks, in ms. */
const extraTimeoutMs = 120_000;

/** Defines the tests of one part: one for each corpus entry, and one for all random values. */
export function fuzz<T>({ part, values, check, afterwards }: FuzzPart<T>): void {
  describe(`the corpus of ${part}`, () => {
    for (const { why, value } of readCorpus<T>(part)) {
      it(why, async () => await check(value));
    }
  });
  it(`random ${part}`, { timeout: seconds * 1000 + extraTimeoutMs }, async (context) => {
    await checkRandom(part, values, check, context);
  });
  if (afterwards !== undefined) {
    it(`after all ${part}`, { timeout: extraTimeoutMs }, async () => await afterwards());
  }
}

function readCorpus<T>(part: string): CorpusEntry<T>[] {
  return JSON.parse(readFileSync(new URL(`corpus/${part}.json`, import.meta.url), 'utf8'));
}

async function checkRandom<T>(
  part: string,
  values: fc.Arbitrary<T>,
  check: (value: T) => Promise<void>,
  context: TestContext,
): Promise<void> {
  const result = await fc.check(fc.asyncProperty(values, check), {
    seed,
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    markInterruptAsFailure: false,
  });
  context.diagnostic(`${part}: ${result.numRuns} values with FUZZ_SEED=${seed}`);
  if (result.failed && result.counterexample !== null) {
    const entry = { why: 'describe the problem', value: result.counterexample[0] };
    throw new Error(
      `${part} fail with FUZZ_SEED=${seed} after ${result.numRuns} values. ` +
        `Add this to test/fuzz/corpus/${part}.json:\n${JSON.stringify(entry)}`,
      { cause: result.errorInstance },
    );
  }
}
