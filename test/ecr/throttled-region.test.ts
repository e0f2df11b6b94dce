// A region that throttles replicas which all have a backlog of identities: they slow down, and recover.
import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { unknownFacts } from '../../src/ecr/identity-facts.ts';
import { createIdentityResolver } from '../../src/ecr/identity-rules.ts';
import { TokenError } from '../../src/ecr/token-error.ts';
import { createTokenSource } from '../../src/ecr/token-source.ts';
import { TokenBucket } from '../../src/util/rate-limit.ts';
import { fakeToken, start } from '../pull-secrets/pull-secret-fixtures.ts';
import { hourMs, registry } from './token-fixtures.ts';

const region = 'eu-west-1';

/** Replicas that all call a region, which allows 20 calls per second, on a clock that only the test moves. */
function createRegion(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let ms = 0;
  const allowed = new TokenBucket({ burst: 40, refillMs: 50, now: () => ms });
  const outcomes: ('success' | 'throttled')[] = [];
  const createReplica = () =>
    createTokenSource({
      resolveIdentity: createIdentityResolver(
        [{ roleArn: 'arn:aws:iam::123456789012:role/{namespace}' }],
        unknownFacts,
      ),
      fetchToken: async ({ key }) => {
        outcomes.push(allowed.trySpend() ? 'success' : 'throttled');
        return outcomes.at(-1) === 'success'
          ? fakeToken(key, start)
          : Promise.reject(new TokenError({ code: 'throttled', region }));
      },
      getEndpointTrust: () => 'proven',
      freshness: { fraction: 0.5, floorMs: hourMs },
      maxKeys: 16,
      now: () => start + ms,
      monotonicNow: () => ms,
      random: () => 0.5,
    });
  const pass = async (passMs: number, each: () => void) => {
    for (let passed = 0; passed < passMs; passed += 50) {
      ms += 50;
      each();
      t.mock.timers.tick(50);
      await nextTurn();
    }
  };
  /** The calls since the last call of this function. */
  const takeOutcomes = () => {
    const taken = outcomes.splice(0);
    return { calls: taken.length, throttled: taken.filter((one) => one === 'throttled').length };
  };
  return { createReplica, pass, takeOutcomes };
}

it('five replicas with a backlog share what the region allows, and use it', async (t) => {
  const { createReplica, pass, takeOutcomes } = createRegion(t);
  const replicas = Array.from({ length: 5 }, createReplica);
  let next = 0;
  const keepBacklog = () => {
    for (const replica of replicas) {
      for (let count = 0; count < 5; count += 1) {
        next += 1;
        replica.get(`team-${next}`, registry(region)).catch(() => undefined); // What the region says is counted.
      }
    }
  };
  await pass(30_000, keepBacklog);
  takeOutcomes();
  await pass(60_000, keepBacklog);
  const { calls, throttled } = takeOutcomes();
  assert.ok(calls - throttled >= 60 * 20 * 0.7, `${calls - throttled} successful calls in a minute`);
  assert.ok(throttled <= calls * 0.15, `${throttled} of ${calls} calls were throttled`);
});

it('a replica is as fast as before when the others have nothing to do any more', async (t) => {
  const { createReplica, pass, takeOutcomes } = createRegion(t);
  const [first, ...others] = Array.from({ length: 5 }, createReplica);
  let next = 0;
  const request = (replica: typeof first) => {
    next += 1;
    replica?.get(`team-${next}`, registry(region)).catch(() => undefined);
  };
  await pass(10_000, () => [first, ...others].forEach(request));
  await pass(90_000, () => request(first));
  takeOutcomes();
  await pass(10_000, () => request(first));
  const { calls, throttled } = takeOutcomes();
  assert.equal(throttled, 0);
  assert.ok(calls >= 95 && calls <= 105, `${calls} calls in 10 s`);
});
