import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { assertShowsNoSecret, hourMs, onDouble, refusal, registry } from './token-fixtures.ts';

const denied = { error: 'AccessDeniedException' };
const throttled = { error: 'ThrottlingException' };

describe('a failure', () => {
  it('with nothing remembered is told, with when to try again', async () => {
    await using ground = await onDouble();
    ground.double.fail(denied);
    const failure = await refusal(ground.tokens.get(registry()));
    assert.deepEqual(
      [failure.code, failure.permanent, failure.region],
      ['AccessDeniedException', true, 'eu-west-1'],
    );
    const wait = (failure.retryAt ?? 0) - ground.now();
    assert.equal(wait, 11_250);
    assert.deepEqual(
      [ground.calls[0]?.outcome, ground.calls[0]?.servedOld],
      ['AccessDeniedException', false],
    );
    assert.equal(ground.calls[0]?.failure, failure);
    assertShowsNoSecret(ground.double, [failure, ground.calls, ground.tokens.snapshot()]);
  });

  it('has the region left alone for a while, longer each time, in which nobody is made to wait', async () => {
    await using ground = await onDouble();
    ground.double.fail(throttled);
    const waits: number[] = [];
    for (let round = 1; round <= 9; round += 1) {
      const first = await refusal(ground.tokens.get(registry()));
      const hammering = Array.from({ length: 50 }, () =>
        refusal(ground.tokens.get(registry('eu-west-1', '210987654321'))),
      );
      assert.ok((await Promise.all(hammering)).every((failure) => failure === first));
      assert.equal(ground.asked(), round);
      const wait = (first.retryAt ?? 0) - ground.now();
      waits.push(wait);
      ground.pass(wait);
    }
    assert.deepEqual(waits, [750, 1_500, 3_000, 6_000, 12_000, 24_000, 48_000, 90_000, 90_000]);
  });

  it('is forgotten as soon as a call works', async () => {
    await using ground = await onDouble();
    ground.double.fail(throttled, { times: 3 });
    for (let round = 1; round <= 3; round += 1) {
      await refusal(ground.tokens.get(registry()));
      ground.pass(120_000);
    }
    await ground.tokens.get(registry());
    assert.equal(ground.tokens.snapshot()[0]?.failure, undefined);
    ground.pass(7 * hourMs);
    ground.double.fail(throttled);
    await ground.tokens.get(registry());
    const wait = (ground.tokens.snapshot()[0]?.failure?.retryAt ?? 0) - ground.now();
    assert.equal(wait, 750);
  });

  it('gives out the old token while that lives, and shows it', async () => {
    await using ground = await onDouble();
    const old = await ground.tokens.get(registry());
    ground.pass(7 * hourMs);
    ground.double.fail(denied);
    assert.equal(await ground.tokens.get(registry()), old);
    assert.equal(await ground.tokens.get(registry()), old);
    assert.equal(ground.asked(), 2);
    assert.deepEqual([ground.calls[1]?.outcome, ground.calls[1]?.servedOld], ['AccessDeniedException', true]);
    const [state] = ground.tokens.snapshot();
    assert.deepEqual([state?.expiresAt, state?.failure?.code], [old.expiresAt, 'AccessDeniedException']);
    ground.pass(6 * hourMs);
    const failure = await refusal(ground.tokens.get(registry()));
    assert.equal(failure.code, 'AccessDeniedException');
    assert.equal(ground.asked(), 3);
  });

  it('does not take a fresh token away from others when an early renewal fails', async () => {
    await using ground = await onDouble();
    const token = await ground.tokens.get(registry());
    ground.pass(2 * hourMs);
    ground.double.fail(throttled);
    assert.equal(await ground.tokens.get(registry(), { minRemainingMs: 11 * hourMs }), token);
    assert.equal(await ground.tokens.get(registry()), token);
    assert.equal(ground.asked(), 2);
  });

  it('of one region is nothing to another', async () => {
    await using ground = await onDouble();
    ground.double.fail(denied, { region: 'eu-west-1' });
    await refusal(ground.tokens.get(registry('eu-west-1')));
    await ground.tokens.get(registry('eu-west-2'));
  });

  it('does not make anybody wait for as long as the clock was set back', async () => {
    await using ground = await onDouble();
    ground.double.fail(denied);
    await refusal(ground.tokens.get(registry()));
    ground.double.heal();
    ground.pass(-1000 * hourMs);
    await ground.tokens.get(registry());
    assert.equal(ground.asked(), 2);
  });

  it('is joined by those who come while the call is under way', async () => {
    await using ground = await onDouble();
    const gate = ground.double.hold();
    ground.double.fail(denied);
    const all = Array.from({ length: 50 }, () => refusal(ground.tokens.get(registry())));
    await eventually('it waits', () => gate.waiting === 1);
    gate.open();
    const failures = await Promise.all(all);
    assert.ok(failures.every((failure) => failure === failures[0]));
    assert.equal(ground.asked(), 1);
  });
});
