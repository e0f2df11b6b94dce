import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSlotLimit } from '../../src/util/slot-limit.ts';
import { eventually } from '../support/eventually.ts';

/** Tasks that have begun, of which some hang until the gate opens. */
function tasks(options: Parameters<typeof createSlotLimit>[0]) {
  const limit = createSlotLimit(options);
  const gate = Promise.withResolvers<void>();
  const begun: string[] = [];
  const run = (name: string, hangs = false) =>
    limit.run(async () => {
      begun.push(name);
      await (hangs && gate.promise);
      return name;
    });
  return { limit, gate, begun, run };
}

describe('a limit with patience', () => {
  it('lets others run while tasks hang, and ends each as the task does', async () => {
    const { limit, gate, run } = tasks({ concurrency: 2, maxWaitMs: 10, maxDetached: 100 });
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
    const { limit, gate, begun, run } = tasks({ concurrency: 2, maxWaitMs: 1, maxDetached: 3 });
    const all = Array.from({ length: 10 }, (_, index) => run(`slow-${index}`, true));
    // it would be past that at the first look if the number were not bounded
    await eventually('as many run as may', () => begun.length === 5);
    assert.equal(limit.waiting, 5);
    gate.resolve();
    await Promise.all(all);
  });
});
