// Tests that groups of checks run at the same time, are reported in order, and cannot hang.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readConfig } from '../../src/config/load-config.ts';
import type { CheckGroup, CheckResult } from '../../src/diagnosis/check.ts';
import { createCheckGroups } from '../../src/diagnosis/check-groups.ts';
import type { Installation } from '../../src/diagnosis/installation.ts';
import { runChecks } from '../../src/diagnosis/run-checks.ts';
import { settleChecks } from '../../src/diagnosis/settle-checks.ts';
import { ClusterConfig } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/errors.ts';
import { brief } from './diagnosis-fixtures.ts';

const installation: Installation = {
  viewpoint: 'outside',
  config: readConfig('', 'test'),
  cluster: new ClusterConfig({ requestTimeoutMs: 1000, userAgent: 'test' }),
  namespace: undefined,
  environment: {},
};
const ok = (check: string): CheckResult => ({ check, outcome: 'ok', summary: check });
const never = () => new Promise<never>(() => undefined);

describe('groups of checks', () => {
  const run = async (groups: Parameters<typeof runChecks>[0], signal = new AbortController().signal) => {
    const found: CheckGroup[] = [];
    await runChecks(groups, installation, { timeoutMs: 20, signal, onGroup: (group) => found.push(group) });
    return found.flatMap(({ name, checks }) => checks.map((check) => `${name}: ${brief(check)}`));
  };

  it('are reported in order, whichever ends first', async () => {
    const first = Promise.withResolvers<void>();
    const lines = await run([
      { name: 'configuration', run: () => first.promise.then(() => [ok('a')]) },
      {
        name: 'webhook',
        run: async () => {
          first.resolve();
          return [ok('b')];
        },
      },
    ]);
    assert.deepEqual(lines, ['configuration: ok: a', 'webhook: ok: b']);
  });

  it('that hang fail after their deadline, and the others are reported', async () => {
    const lines = await run([
      { name: 'webhook', run: never },
      { name: 'pods', run: async () => [ok('b')] },
    ]);
    assert.deepEqual(lines, ['webhook: failed: not finished within 0.02 s', 'pods: ok: b']);
  });

  it('return what they found if they are interrupted', async () => {
    const interrupt = new AbortController();
    const running = run(
      [
        {
          name: 'webhook',
          run: (_, signal) =>
            settleChecks(
              [
                { check: 'a', run: async () => ok('a') },
                { check: 'b', run: never },
              ],
              'outside',
              signal,
            ),
        },
        { name: 'pods', run: never },
      ],
      interrupt.signal,
    );
    interrupt.abort();
    assert.deepEqual(await running, [
      'webhook: ok: a',
      'webhook: skipped: not finished, because you interrupted it',
      'pods: skipped: not finished, because you interrupted it',
    ]);
  });

  it('that end with a bug fail without ending the others', async () => {
    const lines = await run([
      { name: 'aws', run: () => Promise.reject(new Error('boom')) },
      { name: 'pods', run: async () => [ok('b')] },
    ]);
    assert.deepEqual(lines, ['aws: failed: ended with an unexpected error: boom', 'pods: ok: b']);
  });

  it('that need the configuration are skipped if it is not known', async () => {
    const problem = { check: 'configuration-valid', outcome: 'failed', summary: 'not valid' } as const;
    const groups = createCheckGroups({
      ...{ problem, source: undefined, namespace: undefined },
      onTimeline: () => undefined,
    });
    const dependent = groups.filter(({ name }) => name !== 'configuration' && name !== 'api-server');
    for (const { run: runGroup } of dependent) {
      const [result] = await runGroup(installation, new AbortController().signal);
      assert.deepEqual([result?.check, result?.outcome], ['group-skipped', 'skipped']);
    }
    assert.ok(dependent.length > 0);
  });
});

it('a missing right is a skipped check that names verb and resource', async () => {
  const error = new KubeError({ code: 'forbidden', operation: 'list pods' });
  const pending = [{ check: 'a', run: () => Promise.reject(error) }];
  const { signal } = new AbortController();
  const [outside] = await settleChecks(pending, 'outside', signal);
  assert.deepEqual(outside && brief(outside), 'skipped: not checked, because you may not list pods');
  const [inside] = await settleChecks(pending, 'inside', signal);
  assert.deepEqual(inside && brief(inside), 'skipped: not checked, because the program may not list pods');
});
