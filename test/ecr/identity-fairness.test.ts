// Calls with identities that depend on the namespace or the account: no tenant delays another, and no region is throttled.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { EndpointTrust } from '../../src/ecr/call-queue.ts';
import type { Identity } from '../../src/ecr/identity.ts';
import { unknownFacts } from '../../src/ecr/identity-facts.ts';
import { createIdentityResolver, type IdentityRule } from '../../src/ecr/identity-rules.ts';
import type { Registry } from '../../src/ecr/registry.ts';
import { TokenError } from '../../src/ecr/token-error.ts';
import { createTokenSource, type TokenSource } from '../../src/ecr/token-source.ts';
import { fakeToken, start } from '../pull-secrets/pull-secret-fixtures.ts';
import { hourMs, registry } from './token-fixtures.ts';

const rules: IdentityRule[] = [
  { namespaces: { names: ['hostile'] }, roleArn: 'arn:aws:iam::{account}:role/pull' },
  { namespaces: { names: ['team-*'] }, roleArn: 'arn:aws:iam::123456789012:role/{namespace}' },
];

/** Accounts that do not exist: `900000000000` and so on. */
const madeUpAccounts = Array.from({ length: 1_000 }, (_, index) => String(900_000_000_000 + index));

/** Whether a registry belongs to an account that does not exist. */
function isMadeUp(one: Registry): boolean {
  return one.kind === 'private' && one.account.startsWith('9');
}

/** What happens to calls for made-up accounts and regions. */
type MadeUpCalls = 'hang' | 'fail';

interface Fixture {
  readonly tokens: TokenSource;
  /** Calls that were sent, in order. */
  readonly sent: { readonly identity: Identity; readonly registry: Registry }[];
  countSent(region: string): number;
  /** Advances the clock and the timers, and lets what is due run. */
  pass(ms: number): Promise<void>;
}

/** A token source on a clock that only the test moves. All endpoints of `eu-…` regions are proven. */
function createFixture(t: TestContext, madeUpCalls: MadeUpCalls = 'hang'): Fixture {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let monotonicMs = 0;
  const sent: Fixture['sent'] = [];
  const trustOf = ({ region }: Registry): EndpointTrust => (region.startsWith('eu-') ? 'proven' : 'unproven');
  const tokens = createTokenSource({
    resolveIdentity: createIdentityResolver(rules, unknownFacts),
    fetchToken: async (identity, one) => {
      sent.push({ identity, registry: one });
      if (isMadeUp(one) || one.region.startsWith('xx-')) {
        return madeUpCalls === 'hang'
          ? await new Promise<never>(() => undefined)
          : Promise.reject(new TokenError({ code: 'AccessDenied', region: one.region }));
      }
      return fakeToken(identity.key, start);
    },
    getEndpointTrust: trustOf,
    freshness: { fraction: 0.5, floorMs: hourMs },
    maxKeys: 16,
    now: () => start,
    monotonicNow: () => monotonicMs,
    random: () => 0.5,
  });
  return {
    tokens,
    sent,
    countSent: (region) => sent.filter((call) => call.registry.region === region).length,
    pass: async (ms) => {
      for (let passed = 0; passed < ms; passed += 50) {
        monotonicMs += 50;
        t.mock.timers.tick(50);
        await nextTurn();
      }
    },
  };
}

/** Collects the codes of calls that fail. Calls that hang have none. */
function collectCodes(calls: readonly Promise<unknown>[]): string[] {
  const codes: string[] = [];
  for (const call of calls) {
    call.catch((error: unknown) => codes.push(error instanceof TokenError ? error.code : String(error)));
  }
  return codes;
}

const teams = Array.from({ length: 15 }, (_, index) => `team-${index}`);

describe('a tenant whose pods name 1,000 made-up accounts', () => {
  it('has two calls in flight in a region, and delays no other namespace if they hang', async (t) => {
    const { tokens, sent } = createFixture(t);
    const codes = collectCodes(
      madeUpAccounts.map((account) => tokens.get('hostile', registry('eu-west-1', account))),
    );
    await Promise.all(teams.map((team) => tokens.get(team, registry('eu-west-1'))));
    assert.equal(sent.filter((call) => isMadeUp(call.registry)).length, 2);
    assert.deepEqual([...new Set(codes)], ['too-many-identities']);
    assert.ok(codes.length >= 950, `${codes.length} calls were refused`);
  });

  it("delays another namespace's call by two turns of the rate if they fail fast", async (t) => {
    const { tokens, pass, sent } = createFixture(t, 'fail');
    collectCodes(madeUpAccounts.map((account) => tokens.get('hostile', registry('eu-west-1', account))));
    await pass(50);
    assert.equal(sent.length, 20);
    let isDone = false;
    const call = tokens.get('team-0', registry('eu-west-1')).then(() => {
      isDone = true;
    });
    await pass(200);
    assert.ok(isDone);
    await call;
  });

  it('causes 50 calls, and then 30 per minute', async (t) => {
    const { tokens, pass, sent } = createFixture(t, 'fail');
    const getAll = () =>
      collectCodes(madeUpAccounts.map((account) => tokens.get('hostile', registry('eu-west-1', account))));
    getAll();
    await pass(10_000);
    const before = sent.length;
    for (let second = 0; second < 60; second += 1) {
      getAll();
      await pass(1_000);
    }
    assert.ok(sent.length - before <= 35, `${sent.length - before} calls in a minute`);
    assert.ok(before <= 55, `${before} calls at first`);
  });
});

describe('a tenant whose pods name 1,000 made-up regions that hang', () => {
  it('delays neither known nor new regions of another namespace', async (t) => {
    const { tokens, sent } = createFixture(t);
    const regions = Array.from(
      { length: 1_000 },
      (_, index) => `xx-made${String.fromCharCode(97 + (index % 26))}-${1 + Math.floor(index / 26)}`,
    );
    collectCodes(regions.map((region) => tokens.get('team-hostile', registry(region))));
    await Promise.all(
      teams.flatMap((team) => [
        tokens.get(team, registry('eu-west-1')),
        tokens.get(team, registry('us-east-1')),
      ]),
    );
    assert.equal(sent.filter((call) => call.registry.region.startsWith('xx-')).length, 2);
  });
});

describe('a region with an identity for each namespace', () => {
  const namespaces = Array.from({ length: 300 }, (_, index) => `team-${index}`);

  it('gets 20 calls at once, then 10 per second, while another region is not delayed', async (t) => {
    const { tokens, pass, countSent } = createFixture(t);
    const calls = namespaces.map((namespace) => tokens.get(namespace, registry('eu-west-1')));
    await pass(50);
    assert.equal(countSent('eu-west-1'), 20);
    await pass(10_000);
    const sent = countSent('eu-west-1');
    assert.ok(sent >= 115 && sent <= 121, `${sent} calls in 10 s`);
    await tokens.get('team-299', registry('eu-central-1'));
    await pass(20_000);
    await Promise.all(calls);
    assert.equal(countSent('eu-west-1'), 300);
  });

  it('does not delay another region if it hangs', async (t) => {
    const { tokens, pass, sent } = createFixture(t);
    collectCodes(namespaces.map((namespace) => tokens.get(namespace, registry('eu-west-2', '999999999999'))));
    await pass(5_000);
    assert.equal(sent.length, 16);
    await tokens.get('team-1', registry('eu-west-1'));
  });

  it('keeps a bounded number of tokens and failures', async (t) => {
    const { tokens, pass } = createFixture(t, 'fail');
    const calls = namespaces.flatMap((namespace) => [
      tokens.get(namespace, registry('eu-west-1')),
      tokens.get(namespace, registry('eu-west-2', '999999999999')),
    ]);
    collectCodes(calls);
    await pass(40_000);
    await Promise.allSettled(calls);
    const states = tokens.snapshot();
    assert.equal(states.filter(({ expiresAt }) => expiresAt !== undefined).length, 16);
    assert.equal(states.filter(({ failure }) => failure !== undefined).length, 300);
  });

  it('finds the tokens and failures that are still cached, and no others', async (t) => {
    const { tokens, pass } = createFixture(t, 'fail');
    const good = registry('eu-west-1');
    const bad = registry('eu-west-2', '999999999999');
    const fetch = async (namespace: string, one: Registry) => {
      const call = tokens.get(namespace, one).catch(() => undefined);
      await pass(200);
      await call;
    };
    await fetch('team-0', good);
    await fetch('team-0', bad);
    await fetch('team-0', good);
    assert.notEqual(tokens.getCached('team-0', good), undefined);
    assert.equal(tokens.getFailure('team-0', bad)?.error.code, 'AccessDenied');
    assert.equal(tokens.getFailure('team-0', good), undefined);
    for (const namespace of namespaces.slice(1, 17)) {
      await fetch(namespace, good);
    }
    assert.equal(tokens.getCached('team-0', good), undefined, 'other namespaces have evicted it');
    assert.notEqual(tokens.getFailure('team-0', bad), undefined);
    assert.notEqual(tokens.getCached('team-16', good), undefined);
    assert.equal(tokens.getCached('team-200', good), undefined);
  });
});
