// Tests that repeated reports are summed up once per interval.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { throttleReport } from '../../src/util/throttle-report.ts';

describe('a throttled report', () => {
  it('is made at once, then once per interval with the number of calls', () => {
    let now = 1_000;
    const reports: [number, string][] = [];
    const report = throttleReport(
      60_000,
      () => now,
      (count, detail: string) => reports.push([count, detail]),
    );
    report('a');
    report('b');
    now += 59_999;
    report('c');
    now += 1;
    report('d');
    assert.deepEqual(reports, [
      [1, 'a'],
      [3, 'd'],
    ]);
  });
});
