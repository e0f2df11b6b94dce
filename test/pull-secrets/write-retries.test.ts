// Tests which failed writes are retried, and for how long.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KubeError, type KubeErrorCode } from '../../src/kube/errors.ts';
import { UnmanagedSecretError } from '../../src/pull-secrets/unavailable-host.ts';
import { retryDelayMs } from '../../src/pull-secrets/write-retries.ts';

const kubeError = (code: KubeErrorCode) => new KubeError({ code, operation: 'apply Secret a/s' });

/** All delays between attempts that fail immediately. */
function listDelays(error: unknown, isPersistent = false): number[] {
  const all: number[] = [];
  for (;;) {
    const elapsed = all.reduce((sum, ms) => sum + ms, 0);
    const ms = retryDelayMs(error, all.length + 1, elapsed, 0.999, isPersistent);
    if (ms === undefined) {
      return all;
    }
    all.push(ms);
  }
}

describe('a failed write', () => {
  it('is retried after a short delay if another replica was faster', () => {
    const all = listDelays(kubeError('conflict'));
    assert.equal(all.length, 7);
    assert.ok(Math.max(...all) <= 1_000);
  });

  for (const code of ['network', 'server-error', 'too-many-requests'] as const) {
    it(`is retried twice within a second after ${code}`, () => {
      const all = listDelays(kubeError(code));
      assert.equal(all.length, 2);
      assert.ok(all.reduce((sum, ms) => sum + ms, 0) < 1_000);
    });
  }

  it('is retried for up to a minute by a command that exits', () => {
    const transient = [
      'conflict',
      'network',
      'server-error',
      'too-many-requests',
      'timeout',
      'overloaded',
    ] as const;
    for (const code of transient) {
      const all = listDelays(kubeError(code), true);
      assert.equal(all.length, 7);
      assert.ok(all.reduce((sum, ms) => sum + ms, 0) >= 20_000);
    }
    assert.deepEqual(listDelays(kubeError('forbidden'), true), []);
    assert.equal(retryDelayMs(kubeError('timeout'), 2, 60_000, 0, true), undefined);
  });

  it('is not retried if it took long or was refused', () => {
    assert.equal(retryDelayMs(kubeError('server-error'), 1, 30_000, 0), undefined);
    assert.equal(retryDelayMs(kubeError('conflict'), 1, 30_000, 0), undefined);
    for (const error of [
      kubeError('timeout'),
      kubeError('overloaded'),
      kubeError('forbidden'),
      kubeError('invalid'),
      new Error('a bug'),
    ]) {
      assert.deepEqual(listDelays(error), []);
    }
    assert.deepEqual(listDelays(new UnmanagedSecretError('a', 's')), []);
  });
});
