// A fair queue with a rate limit: how many jobs start, and that none waits for a clock that stands still.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FairQueue, Job } from '../../src/util/fair-queue.ts';
import { TokenBucket } from '../../src/util/rate-limit.ts';

function createFixture(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const clock = { ms: 0 };
  const rate = new TokenBucket({ burst: 3, refillMs: 100, now: () => clock.ms });
  const queue = new FairQueue({ concurrency: 10, perNamespace: 5, maxWaiting: 50, rate });
  const started: string[] = [];
  const add = (namespace: string, name: string) =>
    queue.add(
      namespace,
      new Job(name, async () => {
        started.push(name);
      }),
    );
  /** Lets timers run without moving the clock. */
  const tick = async (ms: number) => {
    t.mock.timers.tick(ms);
    await nextTurn();
  };
  return { clock, started, add, tick };
}

describe('a fair queue with a rate limit', () => {
  it('starts as many jobs as the bucket allows, then one whenever it refills, round-robin by namespace', async (t) => {
    const { clock, started, add, tick } = createFixture(t);
    for (const name of ['a1', 'a2', 'a3', 'a4', 'a5']) {
      add('a', name);
    }
    add('b', 'b1');
    await nextTurn();
    assert.deepEqual(started, ['a1', 'a2', 'a3']);
    clock.ms += 100;
    await tick(100);
    clock.ms += 100;
    await tick(100);
    assert.deepEqual(started, ['a1', 'a2', 'a3', 'a4', 'b1']);
  });

  it('starts one job per timer if the clock stands still', async (t) => {
    const { started, add, tick } = createFixture(t);
    for (const name of ['1', '2', '3', '4', '5']) {
      add('a', name);
    }
    await tick(99);
    assert.equal(started.length, 3);
    await tick(1);
    assert.equal(started.length, 4);
    await tick(100);
    assert.equal(started.length, 5);
  });

  it('saves up unused starts only up to the burst', async (t) => {
    const { clock, started, add, tick } = createFixture(t);
    clock.ms += 3_600_000;
    for (const name of ['1', '2', '3', '4', '5']) {
      add('a', name);
    }
    await tick(0);
    assert.equal(started.length, 3);
  });
});
