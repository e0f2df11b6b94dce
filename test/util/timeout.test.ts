// Tests what callers get from work that takes too long, and whether it is aborted.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitAtMost, withTimeout } from '../../src/util/timeout.ts';

const never = new Promise<never>(() => undefined);

describe('waitAtMost', () => {
  it('settles as the work does, if that is in time', async () => {
    assert.equal(await waitAtMost(10_000, Promise.resolve('done'), assert.fail), 'done');
    await assert.rejects(waitAtMost(10_000, Promise.reject(new Error('refused')), assert.fail), /refused/);
  });

  for (const ms of [0, 5]) {
    it(`resolves with the fallback after ${ms} ms, and ignores a later rejection of the work`, async () => {
      const { promise, reject } = Promise.withResolvers<string>();
      assert.equal(await waitAtMost(ms, promise, () => 'late', { ref: true }), 'late');
      reject(new Error('ignored'));
      await sleep(1);
    });
  }
});

describe('withTimeout', () => {
  it('aborts the signal and rejects with an error of the given name', async () => {
    let received: AbortSignal | undefined;
    const work = (signal: AbortSignal) => {
      received = signal;
      return never;
    };
    await assert.rejects(withTimeout(5, 'CredentialsTimeoutError', work), {
      name: 'CredentialsTimeoutError',
      message: 'timed out after 5 ms',
    });
    assert.equal(received?.aborted, true);
  });

  it('does not abort the signal if the work is in time', async () => {
    const signal = await withTimeout(10_000, 'TimeoutError', async (signal) => signal);
    assert.equal(signal.aborted, false);
  });
});
