// Tests how often a repeatedly replaced Secret is logged.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createReplacedSecretReporter } from '../../src/pull-secrets/replaced-secret-report.ts';

it('logs a Secret that is replaced again and again once per hour, independently for each namespace', () => {
  const clock = { now: 0 };
  const logged: unknown[] = [];
  const warn = (fields: { namespace: string }) => logged.push(fields.namespace);
  const report = createReplacedSecretReporter('pull', { warn } as never, () => clock.now);
  for (let second = 0; second < 3_600; second += 1) {
    report('a');
    if (second === 7) {
      report('b');
    }
    clock.now += 1_000;
  }
  assert.deepEqual(logged, ['a', 'b']);
  report('a');
  assert.deepEqual(logged, ['a', 'b', 'a']);
});
