// Tests when a call is repeated, and which error is returned in the end.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { retry } from '../../src/util/retry.ts';

describe('retry', () => {
  it('repeats a call until it succeeds', async () => {
    let calls = 0;
    const attempts: number[] = [];
    const result = await retry(
      async () => {
        calls += 1;
        if (calls < 3) {
          throw new Error('conflict');
        }
        return calls;
      },
      (_error, failed) => {
        attempts.push(failed);
        return 0;
      },
    );
    assert.deepEqual([result, attempts], [3, [1, 2]]);
  });

  it('rejects with the last error when the policy gives no delay', async () => {
    let calls = 0;
    const run = async () => {
      calls += 1;
      throw new Error(`failure ${calls}`);
    };
    await assert.rejects(
      retry(run, (_error, attempts, elapsedMs) => (attempts < 3 && elapsedMs >= 0 ? 1 : undefined)),
      /failure 3/,
    );
  });
});
