// Tests what callers get after a failed token call: the error, a backoff, or the cached token.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import {
  assertNoSecretLeaked,
  getTokenError,
  hourMs,
  registry,
  startAwsTokensFixture,
} from './token-fixtures.ts';

const denied = { error: 'AccessDeniedException' };
const throttled = { error: 'ThrottlingException' };

describe('a failed call for a token', () => {
  it('is reported with the time of the next call if no token is cached', async () => {
    await using aws = await startAwsTokensFixture();
    aws.double.fail(denied);
    const failure = await getTokenError(aws.tokens.get('team', registry()));
    assert.deepEqual(
      [failure.code, failure.permanent, failure.region],
      ['AccessDeniedException', true, 'eu-west-1'],
    );
    const wait = (failure.retryAt ?? 0) - aws.now();
    assert.equal(wait, 11_250);
    assert.deepEqual([aws.calls[0]?.outcome, aws.calls[0]?.servedCached], ['AccessDeniedException', false]);
    assert.equal(aws.calls[0]?.failure, failure);
    assertNoSecretLeaked(aws.double, [failure, aws.calls, aws.tokens.snapshot()]);
  });

  it('starts a growing backoff, in which callers get the failure at once', async () => {
    await using aws = await startAwsTokensFixture();
    aws.double.fail(throttled);
    const waits: number[] = [];
    for (let round = 1; round <= 9; round += 1) {
      const first = await getTokenError(aws.tokens.get('team', registry()));
      const hammering = Array.from({ length: 50 }, () =>
        getTokenError(aws.tokens.get('team', registry('eu-west-1', '210987654321'))),
      );
      assert.ok((await Promise.all(hammering)).every((failure) => failure === first));
      assert.equal(aws.countTokenCalls(), round);
      const wait = (first.retryAt ?? 0) - aws.now();
      waits.push(wait);
      aws.pass(wait);
    }
    assert.deepEqual(waits, [750, 1_500, 3_000, 6_000, 12_000, 24_000, 48_000, 90_000, 90_000]);
  });

  it('is forgotten after a successful call', async () => {
    await using aws = await startAwsTokensFixture();
    aws.double.fail(throttled, { times: 3 });
    for (let round = 1; round <= 3; round += 1) {
      await getTokenError(aws.tokens.get('team', registry()));
      aws.pass(120_000);
    }
    await aws.tokens.get('team', registry());
    assert.equal(aws.tokens.snapshot()[0]?.failure, undefined);
    aws.pass(7 * hourMs);
    aws.double.fail(throttled);
    await aws.tokens.get('team', registry());
    const wait = (aws.tokens.snapshot()[0]?.failure?.retryAt ?? 0) - aws.now();
    assert.equal(wait, 750);
  });

  it('returns the cached token until it expires, and reports that', async () => {
    await using aws = await startAwsTokensFixture();
    const old = await aws.tokens.get('team', registry());
    aws.pass(7 * hourMs);
    aws.double.fail(denied);
    assert.equal(await aws.tokens.get('team', registry()), old);
    assert.equal(await aws.tokens.get('team', registry()), old);
    assert.equal(aws.countTokenCalls(), 2);
    assert.deepEqual([aws.calls[1]?.outcome, aws.calls[1]?.servedCached], ['AccessDeniedException', true]);
    const [state] = aws.tokens.snapshot();
    assert.deepEqual([state?.expiresAt, state?.failure?.code], [old.expiresAt, 'AccessDeniedException']);
    aws.pass(6 * hourMs);
    const failure = await getTokenError(aws.tokens.get('team', registry()));
    assert.equal(failure.code, 'AccessDeniedException');
    assert.equal(aws.countTokenCalls(), 3);
  });

  it('of an early renewal does not discard a fresh token', async () => {
    await using aws = await startAwsTokensFixture();
    const token = await aws.tokens.get('team', registry());
    aws.pass(2 * hourMs);
    aws.double.fail(throttled);
    assert.equal(await aws.tokens.get('team', registry(), { minRemainingMs: 11 * hourMs }), token);
    assert.equal(await aws.tokens.get('team', registry()), token);
    assert.equal(aws.countTokenCalls(), 2);
  });

  it('of one region does not affect another', async () => {
    await using aws = await startAwsTokensFixture();
    aws.double.fail(denied, { region: 'eu-west-1' });
    await getTokenError(aws.tokens.get('team', registry('eu-west-1')));
    await aws.tokens.get('team', registry('eu-west-2'));
  });

  it('does not extend the backoff when the clock is set back', async () => {
    await using aws = await startAwsTokensFixture();
    aws.double.fail(denied);
    await getTokenError(aws.tokens.get('team', registry()));
    aws.double.heal();
    aws.pass(-1000 * hourMs);
    await aws.tokens.get('team', registry());
    assert.equal(aws.countTokenCalls(), 2);
  });

  it('is shared by callers that arrive while the call is in flight', async () => {
    await using aws = await startAwsTokensFixture();
    const gate = aws.double.hold();
    aws.double.fail(denied);
    const all = Array.from({ length: 50 }, () => getTokenError(aws.tokens.get('team', registry())));
    await eventually('it waits', () => gate.waiting === 1);
    gate.open();
    const failures = await Promise.all(all);
    assert.ok(failures.every((failure) => failure === failures[0]));
    assert.equal(aws.countTokenCalls(), 1);
  });
});
