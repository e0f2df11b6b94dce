// Tests the test reporters: the count of cluster tests, the totals of several runs, and the report of a stalled run.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestEvent } from 'node:test/reporters';
import { ClusterTestCounter, needsCluster } from './cluster-tests.ts';
import { RunTotals } from './run-totals.ts';
import { StallGuard } from './stall-guard.ts';

describe('the count of tests against a real API server', () => {
  it('counts only files of that name, skipped tests separately, and cancelled tests not at all', () => {
    const counter = new ClusterTestCounter();
    counter.take(summary('/t/a.cluster.test.ts', { tests: 9, skipped: 2, cancelled: 3 }));
    counter.take(summary('/t/b.cluster.test.ts', { tests: 1, skipped: 0, cancelled: 0 }));
    counter.take(summary('/t/c.test.ts', { tests: 50, skipped: 7, cancelled: 0 }));
    counter.take(summary(undefined, { tests: 60, skipped: 9, cancelled: 3 }));
    assert.deepEqual(counter.counts, { ran: 5, skipped: 2 });
  });

  it('selects the files by name', () => {
    assert.ok(needsCluster('test/x/a.cluster.test.ts'));
    assert.ok(!needsCluster('test/cluster/a.test.ts'));
  });
});

describe('the totals of several runs', () => {
  it('are one sum, and fail if one of the runs failed or none took place', () => {
    const totals = new RunTotals();
    assert.equal(totals.success, false);
    assert.equal(totals.take(summary(undefined, { tests: 5, skipped: 1, cancelled: 0 })), true);
    assert.equal(totals.success, true);
    assert.equal(totals.take(summary('/t/a.test.ts', { tests: 5, skipped: 1, cancelled: 0 })), false);
    totals.take(summary(undefined, { tests: 2, skipped: 0, cancelled: 0 }, false));
    assert.equal(totals.success, false);
    const lines = [...totals.events()].map(
      (event) => event.data !== undefined && 'message' in event.data && event.data.message,
    );
    assert.deepEqual(lines.slice(0, 6), [
      'tests 7',
      'suites 0',
      'pass 0',
      'fail 6',
      'cancelled 0',
      'skipped 1',
    ]);
  });
});

describe('a run without progress', () => {
  it('is reported, with the files that have started and not ended', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const stalls: (readonly string[])[] = [];
    const guard = new StallGuard(1000, (unfinished) => stalls.push(unfinished));
    for (const file of ['a', 'b']) {
      guard.take(ofFile('test:dequeue', file));
    }
    t.mock.timers.tick(999);
    guard.take(ofFile('test:complete', 'a'));
    t.mock.timers.tick(999);
    assert.deepEqual(stalls, []);
    t.mock.timers.tick(1);
    assert.deepEqual(stalls, [['b']]);
  });

  it('is not reported after its end', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const guard = new StallGuard(1000, () => assert.fail('reported'));
    guard.take(ofFile('test:dequeue', 'a'));
    guard.end();
    t.mock.timers.tick(5000);
  });
});

function summary(
  file: string | undefined,
  some: { tests: number; skipped: number; cancelled: number },
  success = true,
): TestEvent {
  const counts = { ...some, passed: 0, suites: 0, todo: 0, topLevel: 0 };
  return { type: 'test:summary', data: { counts, duration_ms: 1, file, success } };
}

/** The event by which Node reports that a file starts or ends, a test with the name of the file. */
function ofFile(type: 'test:dequeue' | 'test:complete', file: string): TestEvent {
  const data = { name: file, file, nesting: 0, testId: 1, parentId: undefined, tags: [] };
  if (type === 'test:dequeue') {
    return { type, data: { ...data, type: 'test' } };
  }
  return { type, data: { ...data, testNumber: 1, details: { passed: true, duration_ms: 1 } } };
}
