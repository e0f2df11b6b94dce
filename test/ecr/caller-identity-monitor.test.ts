// Tests when the AWS identity is checked, what is logged about it, and whether the credentials count as valid.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CallerIdentity } from '../../src/ecr/caller-identity.ts';
import { CallerIdentityMonitor } from '../../src/ecr/caller-identity-monitor.ts';
import { TokenError } from '../../src/ecr/token-error.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';

const identity: CallerIdentity = {
  arn: 'arn:aws:iam::123456789012:user/example',
  account: '123456789012',
  provider: 'environment',
};
const secondMs = 1_000;
const hourMs = 3_600_000;

function failure(code: string): TokenError {
  return new TokenError({ code, region: 'us-east-1' }).about('AWS identity');
}

/** A monitor on a clock that the test moves. `state.result` is what AWS answers. */
function setUp({ usesOwnCredentials = true } = {}) {
  const state = {
    result: identity as CallerIdentity | Error,
    checks: 0,
    lines: [] as Record<string, unknown>[],
  };
  const clock = { ms: 0 };
  const monitor = new CallerIdentityMonitor({
    readIdentity: async () => {
      state.checks += 1;
      return state.result instanceof Error ? await Promise.reject(state.result) : state.result;
    },
    usesOwnCredentials,
    log: createJsonLog('info', { write: (line) => void state.lines.push(JSON.parse(line)) }),
    monotonicNow: () => clock.ms,
    random: () => 1,
  });
  const pass = async (ms: number) => {
    clock.ms += ms;
    monitor.tick();
    await monitor.waitUntilIdle();
  };
  const logged = () => state.lines.map(({ level, msg }) => `${level} ${msg}`);
  const recordCall = (code?: string, key = 'default') =>
    monitor.recordCall(code === undefined ? { identity: key } : { identity: key, failure: failure(code) });
  return { monitor, state, pass, logged, recordCall };
}

describe('the monitor of the AWS identity', () => {
  it('logs ARN, account and provider once, and again when they change', async () => {
    const { monitor, state, pass } = setUp();
    assert.equal(monitor.areCredentialsValid, undefined);
    await pass(0);
    assert.equal(monitor.areCredentialsValid, true);
    const [line] = state.lines;
    assert.deepEqual(
      [line?.['msg'], line?.['arn'], line?.['account'], line?.['provider']],
      ['the AWS credentials are valid', identity.arn, identity.account, 'environment'],
    );
    await pass(hourMs);
    assert.deepEqual([state.checks, state.lines.length], [2, 1]);
    state.result = { ...identity, provider: 'web-identity' };
    await pass(hourMs);
    assert.equal(state.lines.length, 2);
  });

  it('logs a failure once with its remedy, retries with backoff, and logs the recovery', async () => {
    const { monitor, state, pass, logged } = setUp();
    state.result = failure('no-credentials');
    for (let second = 0; second < 600; second += 1) {
      await pass(secondMs);
    }
    assert.deepEqual(logged(), ['error failed to get the AWS identity; will retry']);
    assert.match(
      JSON.stringify(state.lines),
      /No AWS identity: no AWS credentials\. Provide AWS credentials/,
    );
    assert.ok(state.checks >= 6 && state.checks <= 9, `${state.checks} checks in ten minutes`);
    assert.equal(monitor.areCredentialsValid, false);
    state.result = identity;
    await pass(300 * secondMs);
    assert.deepEqual(logged().slice(1), ['info the AWS credentials are valid']);
    assert.equal(monitor.areCredentialsValid, true);
  });

  it('does not know whether the credentials are valid while STS is unreachable, until ECR accepts them', async () => {
    const { monitor, state, pass, logged, recordCall } = setUp();
    state.result = failure('network');
    await pass(0);
    assert.equal(monitor.areCredentialsValid, undefined);
    assert.deepEqual(logged(), ['warn failed to get the AWS identity; will retry']);
    recordCall();
    assert.equal(monitor.areCredentialsValid, true);
    await pass(300 * secondMs);
    assert.equal(monitor.areCredentialsValid, true);
  });

  it('asks no more than once an hour, and not while ECR accepts the credentials', async () => {
    const { state, pass, recordCall } = setUp();
    await pass(0);
    await pass(hourMs - 1);
    recordCall();
    await pass(hourMs - 1);
    assert.equal(state.checks, 1);
    await pass(1);
    assert.equal(state.checks, 2);
  });

  it('checks within a minute whether ECR is right to reject the credentials, and at most once a minute', async () => {
    const { monitor, state, pass, recordCall } = setUp();
    await pass(0);
    recordCall('UnrecognizedClientException');
    assert.equal(monitor.areCredentialsValid, true, 'the region may not be enabled');
    await pass(59 * secondMs);
    assert.equal(state.checks, 1);
    await pass(secondMs);
    assert.equal(state.checks, 2);
    state.result = failure('InvalidClientTokenId');
    for (let second = 0; second < 60; second += 1) {
      recordCall('UnrecognizedClientException');
      await pass(secondMs);
    }
    assert.deepEqual([state.checks, monitor.areCredentialsValid], [3, false]);
  });

  it('learns nothing from calls with the identities of rules, nor from missing permissions', async () => {
    const { monitor, state, pass, recordCall } = setUp();
    state.result = failure('network');
    await pass(0);
    recordCall(undefined, 'registries[0]');
    assert.equal(monitor.areCredentialsValid, undefined);
    state.result = identity;
    await pass(300 * secondMs);
    const { checks } = state;
    recordCall('AccessDeniedException');
    await pass(300 * secondMs);
    assert.deepEqual([state.checks, monitor.areCredentialsValid], [checks, true]);
  });

  it('checks nothing if the rules never use the credentials of the process', () => {
    const { monitor, state } = setUp({ usesOwnCredentials: false });
    monitor.start();
    assert.deepEqual([state.checks, monitor.areCredentialsValid], [0, undefined]);
    monitor.stop();
  });
});
