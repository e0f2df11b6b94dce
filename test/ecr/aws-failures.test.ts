import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Fault } from '../doubles/ecr/ecr-faults.ts';
import { assertShowsNoSecret, onDouble, refusal, registry } from './token-fixtures.ts';

const quick = { timeouts: { connectMs: 500, requestMs: 200, totalMs: 2_000 } };

describe('ECR gone wrong', () => {
  const cases: [Fault, string, boolean][] = [
    ['hang', 'timeout', false],
    ['hang-in-body', 'timeout', false],
    ['cut', 'network', false],
    ['html', 'bad-answer', false],
    ['not-json', 'bad-answer', false],
    ['not-base64', 'bad-answer', false],
    ['wrong-user', 'bad-answer', false],
    ['empty-password', 'bad-answer', false],
    ['line-break', 'bad-answer', false],
    ['ended', 'bad-answer', false],
    ['no-end', 'bad-answer', false],
    ['no-data', 'bad-answer', false],
    ['forbidden-page', 'bad-answer', false],
    [{ error: 'AccessDeniedException' }, 'AccessDeniedException', true],
    [{ error: 'UnrecognizedClientException' }, 'UnrecognizedClientException', true],
    [{ error: 'InvalidSignatureException' }, 'InvalidSignatureException', true],
    [{ error: 'ExpiredTokenException' }, 'ExpiredTokenException', true],
    [{ error: 'InvalidParameterException' }, 'InvalidParameterException', true],
    [{ error: 'UnknownOperationException' }, 'UnknownOperationException', true],
    [{ error: 'ThrottlingException' }, 'throttled', false],
    [{ error: 'ServerException', status: 500 }, 'server-error', false],
    [{ error: 'ServiceUnavailable', status: 503 }, 'server-error', false],
  ];
  for (const [fault, code, permanent] of cases) {
    it(`(${JSON.stringify(fault)}) ends as ${code}, and shows no secret`, async () => {
      await using ground = await onDouble(quick);
      ground.double.fail(fault);
      const failure = await refusal(ground.tokens.get(registry()));
      assert.deepEqual([failure.code, failure.permanent], [code, permanent]);
      assertShowsNoSecret(ground.double, failure);
      assertShowsNoSecret(ground.double, ground.calls);
      assert.equal(ground.asked(), 1);
      assert.ok((ground.calls[0]?.durationMs ?? 0) < 1_500, 'it ends by the time for one request');
    });
  }

  it('ends a call that answers at a crawl, by the time that a whole call may take', async () => {
    await using ground = await onDouble({ timeouts: { connectMs: 500, requestMs: 60_000, totalMs: 200 } });
    ground.double.fail('hang-in-body');
    assert.equal((await refusal(ground.tokens.get(registry()))).code, 'timeout');
  });

  it('is told as a refused connection where nobody listens', async () => {
    await using ground = await onDouble();
    await ground.double.stop();
    const failure = await refusal(ground.tokens.get(registry()));
    assert.deepEqual([failure.code, failure.shortCause], ['network', 'network error (ECONNREFUSED)']);
  });

  it('for a moment is healed by the tries of the SDK', async () => {
    await using ground = await onDouble();
    process.env['AWS_MAX_ATTEMPTS'] = '3';
    ground.double.fail({ error: 'ServerException', status: 500 }, { times: 2 });
    await ground.tokens.get(registry());
    assert.deepEqual([ground.asked(), ground.calls.length], [3, 1]);
  });
});

describe('wrong keys', () => {
  it('are told as such, and show nowhere', async () => {
    await using ground = await onDouble();
    process.env['AWS_SECRET_ACCESS_KEY'] = 'canary0wrong0secret';
    const wrong = await refusal(ground.tokens.get(registry('eu-west-1')));
    assert.deepEqual([wrong.code, wrong.permanent], ['InvalidSignatureException', true]);
    assertShowsNoSecret(ground.double, wrong);
    process.env['AWS_ACCESS_KEY_ID'] = 'AKIAEXAMPLE999999999';
    const unknown = await refusal(ground.tokens.get(registry('eu-west-2')));
    assert.deepEqual([unknown.code, unknown.permanent], ['UnrecognizedClientException', true]);
  });

  it('are read anew after they were refused', async () => {
    await using ground = await onDouble();
    const right = String(process.env['AWS_SECRET_ACCESS_KEY']);
    process.env['AWS_SECRET_ACCESS_KEY'] = 'wrong';
    await refusal(ground.tokens.get(registry()));
    process.env['AWS_SECRET_ACCESS_KEY'] = right;
    ground.pass(60_000);
    await ground.tokens.get(registry());
  });

  it('that are missing are told as such', async () => {
    await using ground = await onDouble();
    delete process.env['AWS_ACCESS_KEY_ID'];
    const failure = await refusal(ground.tokens.get(registry()));
    assert.deepEqual([failure.code, failure.permanent], ['no-credentials', true]);
    assert.equal(ground.asked(), 0);
  });
});
