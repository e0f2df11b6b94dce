// Tests which error the program reports for each failure of Amazon ECR, and that no credential appears in it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Fault } from '../doubles/ecr/ecr-faults.ts';
import { assertNoSecretLeaked, getTokenError, registry, startAwsTokensFixture } from './token-fixtures.ts';

const quick = { timeouts: { connectMs: 500, requestMs: 200, totalMs: 2_000 } };

describe('a failing ECR', () => {
  const cases: [Fault, string, boolean][] = [
    ['hang', 'timeout', false],
    ['hang-in-body', 'timeout', false],
    ['reset', 'network', false],
    ['html', 'invalid-response', false],
    ['not-json', 'invalid-response', false],
    ['not-base64', 'invalid-response', false],
    ['wrong-user', 'invalid-response', false],
    ['empty-password', 'invalid-response', false],
    ['line-break', 'invalid-response', false],
    ['expired', 'invalid-response', false],
    ['no-expiry', 'invalid-response', false],
    ['no-data', 'invalid-response', false],
    ['forbidden-page', 'invalid-response', false],
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
    it(`(${JSON.stringify(fault)}) is reported as ${code} without any secret`, async () => {
      await using aws = await startAwsTokensFixture(quick);
      aws.double.fail(fault);
      const failure = await getTokenError(aws.tokens.get('team', registry()));
      assert.deepEqual([failure.code, failure.permanent], [code, permanent]);
      assertNoSecretLeaked(aws.double, failure);
      assertNoSecretLeaked(aws.double, aws.calls);
      assert.equal(aws.countTokenCalls(), 1);
      assert.ok((aws.calls[0]?.durationMs ?? 0) < 1_500, 'it ends within the timeout of one request');
    });
  }

  it('times out a call whose response is slow after the timeout of a whole call', async () => {
    await using aws = await startAwsTokensFixture({
      timeouts: { connectMs: 500, requestMs: 60_000, totalMs: 200 },
    });
    aws.double.fail('hang-in-body');
    assert.equal((await getTokenError(aws.tokens.get('team', registry()))).code, 'timeout');
  });

  it('is reported as a refused connection if the endpoint does not listen', async () => {
    await using aws = await startAwsTokensFixture();
    await aws.double.stop();
    const failure = await getTokenError(aws.tokens.get('team', registry()));
    assert.deepEqual([failure.code, failure.shortCause], ['network', 'network error (ECONNREFUSED)']);
  });

  it('is retried by the SDK', async () => {
    await using aws = await startAwsTokensFixture();
    process.env['AWS_MAX_ATTEMPTS'] = '3';
    aws.double.fail({ error: 'ServerException', status: 500 }, { times: 2 });
    await aws.tokens.get('team', registry());
    assert.deepEqual([aws.countTokenCalls(), aws.calls.length], [3, 1]);
  });
});

describe('wrong AWS keys', () => {
  it('are reported as such, and never shown', async () => {
    await using aws = await startAwsTokensFixture();
    process.env['AWS_SECRET_ACCESS_KEY'] = 'canary0wrong0secret';
    const wrong = await getTokenError(aws.tokens.get('team', registry('eu-west-1')));
    assert.deepEqual([wrong.code, wrong.permanent], ['InvalidSignatureException', true]);
    assertNoSecretLeaked(aws.double, wrong);
    process.env['AWS_ACCESS_KEY_ID'] = 'AKIAEXAMPLE999999999';
    const unknown = await getTokenError(aws.tokens.get('team', registry('eu-west-2')));
    assert.deepEqual([unknown.code, unknown.permanent], ['UnrecognizedClientException', true]);
  });

  it('are read again after they were rejected', async () => {
    await using aws = await startAwsTokensFixture();
    const right = String(process.env['AWS_SECRET_ACCESS_KEY']);
    process.env['AWS_SECRET_ACCESS_KEY'] = 'wrong';
    await getTokenError(aws.tokens.get('team', registry()));
    process.env['AWS_SECRET_ACCESS_KEY'] = right;
    aws.pass(60_000);
    await aws.tokens.get('team', registry());
  });

  it('are reported as missing credentials if there are none', async () => {
    await using aws = await startAwsTokensFixture();
    delete process.env['AWS_ACCESS_KEY_ID'];
    const failure = await getTokenError(aws.tokens.get('team', registry()));
    assert.deepEqual([failure.code, failure.permanent], ['no-credentials', true]);
    assert.equal(aws.countTokenCalls(), 0);
  });
});
