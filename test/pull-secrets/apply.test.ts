import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KubeError, type KubeErrorCode } from '../../src/kube/errors.ts';
import { retryDelayMs } from '../../src/pull-secrets/apply.ts';
import { UnmanagedSecretError } from '../../src/pull-secrets/unavailable-host.ts';

const failed = (code: KubeErrorCode) => new KubeError({ code, operation: 'apply Secret a/s' });

/** All waits between tries that end at once. */
function waits(error: unknown, isPersistent = false): number[] {
  const all: number[] = [];
  for (;;) {
    const elapsed = all.reduce((sum, ms) => sum + ms, 0);
    const ms = retryDelayMs(error, all.length + 1, elapsed, 0.999, isPersistent);
    if (ms === undefined) return all;
    all.push(ms);
  }
}

describe('a write that failed', () => {
  it('is tried again at once where another replica was faster', () => {
    const all = waits(failed('conflict'));
    assert.equal(all.length, 7);
    assert.ok(Math.max(...all) <= 1_000);
  });

  for (const code of ['network', 'server-error', 'too-many-requests'] as const) {
    it(`is tried again twice after ${code}, and is over within a second`, () => {
      const all = waits(failed(code));
      assert.equal(all.length, 2);
      assert.ok(all.reduce((sum, ms) => sum + ms, 0) < 1_000);
    });
  }

  it('is tried again for up to a minute by a command that ends', () => {
    const transient = [
      'conflict',
      'network',
      'server-error',
      'too-many-requests',
      'timeout',
      'overloaded',
    ] as const;
    for (const code of transient) {
      const all = waits(failed(code), true);
      assert.equal(all.length, 7);
      assert.ok(all.reduce((sum, ms) => sum + ms, 0) >= 20_000);
    }
    assert.deepEqual(waits(failed('forbidden'), true), []);
    assert.equal(retryDelayMs(failed('timeout'), 2, 60_000, 0, true), undefined);
  });

  it('keeps no caller waiting where it took long, or is refused', () => {
    assert.equal(retryDelayMs(failed('server-error'), 1, 30_000, 0), undefined);
    assert.equal(retryDelayMs(failed('conflict'), 1, 30_000, 0), undefined);
    for (const error of [
      failed('timeout'),
      failed('overloaded'),
      failed('forbidden'),
      failed('invalid'),
      new Error('a bug'),
    ]) {
      assert.deepEqual(waits(error), []);
    }
    assert.deepEqual(waits(new UnmanagedSecretError('a', 's')), []);
  });
});
