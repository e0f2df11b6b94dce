// Tests that token calls are shared, and when a cached token is reused, renewed or evicted.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultIdentity } from '../../src/ecr/identity.ts';
import { createTokenSource } from '../../src/ecr/token-source.ts';
import { fakeToken, start } from '../pull-secrets/pull-secret-fixtures.ts';
import { eventually } from '../support/eventually.ts';
import { getTokenError, hourMs, registry, startAwsTokensFixture } from './token-fixtures.ts';

const denied = { error: 'AccessDeniedException' };

describe('a call for a token', () => {
  it('serves 200 concurrent callers', async () => {
    await using aws = await startAwsTokensFixture();
    const tokens = await Promise.all(Array.from({ length: 200 }, () => aws.tokens.get('team', registry())));
    assert.equal(aws.countTokenCalls(), 1);
    assert.ok(tokens.every((token) => token === tokens[0]));
    assert.equal(tokens[0]?.auth(), aws.double.issued[0]?.auth);
  });

  it('serves three accounts of a region; another region needs another call', async () => {
    await using aws = await startAwsTokensFixture();
    const accounts = ['123456789012', '210987654321', '111122223333'];
    const registries = accounts.flatMap((account) =>
      ['eu-west-1', 'us-east-2'].map((region) => registry(region, account)),
    );
    await Promise.all(registries.map((one) => aws.tokens.get('team', one)));
    assert.deepEqual(aws.double.issued.map(({ region }) => region).sort(), ['eu-west-1', 'us-east-2']);
    assert.deepEqual(
      aws.calls.map(({ region, outcome, identity, servedCached }) => ({
        region,
        outcome,
        identity,
        servedCached,
      })),
      aws.double.issued.map(({ region }) => ({
        region,
        outcome: 'success',
        identity: 'default',
        servedCached: false,
      })),
    );
  });

  it('is serialized for different kinds of endpoint in a region', async () => {
    await using aws = await startAwsTokensFixture();
    const gate = aws.double.hold();
    const kinds = ['dkr.ecr', 'dkr.ecr-fips', 'dkr-ecr', 'dkr-ecr-fips'];
    const tokens = kinds.map((kind) => aws.tokens.get('team', registry('us-east-1', '123456789012', kind)));
    await eventually('one call waits', () => gate.waiting === 1);
    assert.equal(aws.countTokenCalls(), 1);
    gate.open();
    await Promise.all(tokens);
    assert.deepEqual([aws.countTokenCalls(), aws.double.peak], [4, 1]);
  });

  it('is not canceled when a caller goes away', async () => {
    await using aws = await startAwsTokensFixture();
    const gate = aws.double.hold({ region: 'eu-west-1' });
    const first = aws.tokens.get('team', registry('eu-west-1'));
    await Promise.race([first, eventually('the call waits', () => gate.waiting === 1)]);
    gate.open();
    assert.equal((await first).auth(), aws.double.issued[0]?.auth);
  });

  it('is not canceled when its client is evicted', async () => {
    await using aws = await startAwsTokensFixture({ maxKeys: 2 });
    const gate = aws.double.hold({ region: 'eu-west-1' });
    const first = aws.tokens.get('team', registry('eu-west-1'));
    await eventually('the call waits', () => gate.waiting === 1);
    for (const region of ['eu-west-2', 'eu-west-3', 'eu-north-1']) {
      await aws.tokens.get('team', registry(region));
    }
    gate.open();
    await first;
    assert.deepEqual([aws.countTokenCalls(), aws.calls.length], [4, 4]);
  });
});

describe('a cached token', () => {
  it('is returned until half of its lifetime is over', async () => {
    await using aws = await startAwsTokensFixture();
    const first = await aws.tokens.get('team', registry());
    aws.pass(6 * hourMs - 60_000);
    assert.equal(await aws.tokens.get('team', registry()), first);
    aws.pass(120_000);
    assert.notEqual(await aws.tokens.get('team', registry()), first);
    assert.equal(aws.countTokenCalls(), 2);
  });

  it('is renewed early for a caller that requires nearly the whole lifetime', async () => {
    await using aws = await startAwsTokensFixture();
    await aws.tokens.get('team', registry());
    aws.pass(2 * hourMs);
    const wish = { minRemainingMs: 11.5 * hourMs };
    const renewed = await aws.tokens.get('team', registry(), { minRemainingMs: 10.5 * hourMs });
    assert.equal(aws.countTokenCalls(), 2);
    // Requiring more than a new token has does not cause further calls.
    assert.equal(await aws.tokens.get('team', registry(), wish), renewed);
    assert.equal(await aws.tokens.get('team', registry(), { minRemainingMs: 100 * hourMs }), renewed);
    assert.equal(aws.countTokenCalls(), 2);
  });

  it('whose lifetime is shorter than the floor is not fetched for every caller', async () => {
    await using aws = await startAwsTokensFixture({}, { tokenLifetimeMs: 60_000 });
    await aws.tokens.get('team', registry());
    await aws.tokens.get('team', registry());
    assert.equal(aws.countTokenCalls(), 1);
  });

  it('is fetched again when the clock is set far back', async () => {
    await using aws = await startAwsTokensFixture();
    await aws.tokens.get('team', registry());
    aws.pass(-100 * hourMs);
    const token = await aws.tokens.get('team', registry());
    assert.equal(aws.countTokenCalls(), 2);
    assert.ok(token.expiresAt < Date.now() - 80 * hourMs);
  });

  it('is not evicted by any number of made-up regions', async () => {
    await using aws = await startAwsTokensFixture({ maxKeys: 2 });
    await aws.tokens.get('team', registry('eu-west-1'));
    aws.double.fail(denied);
    for (const region of ['xx-made-1', 'xx-made-2', 'xx-made-3', 'xx-made-4']) {
      await getTokenError(aws.tokens.get('team', registry(region)));
    }
    const callsBefore = aws.countTokenCalls();
    await aws.tokens.get('team', registry('eu-west-1'));
    assert.equal(aws.countTokenCalls(), callsBefore);
    const { tokens, failures } = counted(aws.tokens.snapshot());
    assert.deepEqual([tokens, failures], [1, 4]);
  });

  it('is fetched and cached for each identity that the namespaces resolve to', async () => {
    const fetched: string[] = [];
    const tokens = createTokenSource({
      resolveIdentity: (namespace) => ({
        access: 'allowed',
        identity: { ...defaultIdentity, key: namespace.startsWith('team-') ? 'teams' : 'default' },
      }),
      fetchToken: async ({ key }) => {
        fetched.push(key);
        return fakeToken(key, start);
      },
      freshness: { fraction: 0.5, floorMs: hourMs },
      maxKeys: 4,
      now: () => start,
      monotonicNow: () => 0,
      random: () => 0.5,
    });
    const [a, b, other] = await Promise.all(
      ['team-a', 'team-b', 'other'].map((namespace) => tokens.get(namespace, registry())),
    );
    assert.deepEqual(fetched.sort(), ['default', 'teams']);
    assert.equal(a, b);
    assert.notEqual(a, other);
    assert.equal(tokens.getCached('team-b', registry()), a);
    assert.equal(tokens.getCached('other', registry()), other);
  });

  it('is evicted if there are too many', async () => {
    await using aws = await startAwsTokensFixture({ maxKeys: 2 });
    for (const region of ['eu-west-1', 'eu-west-2', 'eu-west-3']) {
      await aws.tokens.get('team', registry(region));
    }
    assert.deepEqual(
      aws.tokens
        .snapshot()
        .map(({ region }) => region)
        .sort(),
      ['eu-west-2', 'eu-west-3'],
    );
  });
});

function counted(states: readonly { expiresAt?: number; failure?: unknown }[]) {
  return {
    tokens: states.filter(({ expiresAt }) => expiresAt !== undefined).length,
    failures: states.filter(({ failure }) => failure !== undefined).length,
  };
}
