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

describe('a failure', () => {
  it('with nothing remembered is told, with when to try again', async () => {
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

  it('has the region left alone for a while, longer each time, in which nobody is made to wait', async () => {
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

  it('is forgotten as soon as a call works', async () => {
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

  it('gives out the old token while that lives, and shows it', async () => {
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

  it('does not take a fresh token away from others when an early renewal fails', async () => {
    await using aws = await startAwsTokensFixture();
    const token = await aws.tokens.get('team', registry());
    aws.pass(2 * hourMs);
    aws.double.fail(throttled);
    assert.equal(await aws.tokens.get('team', registry(), { minRemainingMs: 11 * hourMs }), token);
    assert.equal(await aws.tokens.get('team', registry()), token);
    assert.equal(aws.countTokenCalls(), 2);
  });

  it('of one region is nothing to another', async () => {
    await using aws = await startAwsTokensFixture();
    aws.double.fail(denied, { region: 'eu-west-1' });
    await getTokenError(aws.tokens.get('team', registry('eu-west-1')));
    await aws.tokens.get('team', registry('eu-west-2'));
  });

  it('does not make anybody wait for as long as the clock was set back', async () => {
    await using aws = await startAwsTokensFixture();
    aws.double.fail(denied);
    await getTokenError(aws.tokens.get('team', registry()));
    aws.double.heal();
    aws.pass(-1000 * hourMs);
    await aws.tokens.get('team', registry());
    assert.equal(aws.countTokenCalls(), 2);
  });

  it('is joined by those who come while the call is under way', async () => {
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
