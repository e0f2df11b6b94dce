// Tests that tasks that hang do not prevent other tasks from running.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSlotLimit } from '../../src/util/slot-limit.ts';
import { eventually } from '../support/eventually.ts';

/** Runs tasks under a limit, and records which of them have started. A task that hangs ends when the gate opens. */
function createTasks(options: Parameters<typeof createSlotLimit>[0]) {
  const limit = createSlotLimit(options);
  const gate = Promise.withResolvers<void>();
  const started: string[] = [];
  const run = (name: string, hangs = false) =>
    limit.run(async () => {
      started.push(name);
      await (hangs && gate.promise);
      return name;
    });
  return { limit, gate, started, run };
}

describe('a slot limit', () => {
  it('runs other tasks while some hang, and settles each as its task does', async () => {
    const { limit, gate, run } = createTasks({ concurrency: 2, maxWaitMs: 10, maxDetached: 100 });
    const slow = Array.from({ length: 10 }, (_, index) => run(`slow-${index}`, true));
    assert.equal(limit.waiting, 8);
    assert.equal(await run('quick'), 'quick');
    await assert.rejects(
      limit.run(async () => {
        throw new Error('refused');
      }),
      /refused/,
    );
    await assert.rejects(
      limit.run(() => {
        throw new Error('thrown');
      }),
      /thrown/,
    );
    gate.resolve();
    assert.equal((await Promise.all(slow)).length, 10);
  });

  it('bounds how many tasks run without a slot', async () => {
    const { limit, gate, started, run } = createTasks({ concurrency: 2, maxWaitMs: 1, maxDetached: 3 });
    const all = Array.from({ length: 10 }, (_, index) => run(`slow-${index}`, true));
    // without the bound, more would have started by the first probe
    await eventually('as many run as may', () => started.length === 5);
    assert.equal(limit.waiting, 5);
    gate.resolve();
    await Promise.all(all);
  });
});
