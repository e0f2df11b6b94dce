// Tests that tokens are fetched with the role that the rules configure, and how its failures are reported.
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

const roleArn = 'arn:aws:iam::210987654321:role/puller';
const other = 'arn:aws:iam::111122223333:role/puller';
const sessionPolicy = JSON.stringify({ Version: '2012-10-17', Statement: [] });
const rule = {
  accounts: ['210987654321'],
  roleArn,
  externalId: 'ours',
  sessionName: 'webhook',
  sessionPolicy,
};
const roles = { [roleArn]: { externalId: 'ours' }, [other]: {} };
const otherRegistry = registry('eu-west-1', '210987654321');

describe('a rule with a role', () => {
  it('fetches tokens for its registries with the role, and for no others', async () => {
    await using aws = await startAwsTokensFixture({ rules: [rule] }, { roles });
    await aws.tokens.get('team', registry());
    await aws.tokens.get('team', otherRegistry);
    assert.deepEqual(
      aws.double.issued.map(({ principal }) => principal),
      ['arn:aws:iam::123456789012:user/example', 'arn:aws:sts::210987654321:assumed-role/puller/webhook'],
    );
    const [assumed] = aws.double.callsOf('AssumeRole');
    assert.deepEqual(
      [assumed?.roleArn, assumed?.externalId, assumed?.sessionName, assumed?.policy],
      [roleArn, 'ours', 'webhook', sessionPolicy],
    );
    assertNoSecretLeaked(aws.double, [aws.calls, aws.tokens.snapshot()]);
    assert.ok(!JSON.stringify(aws.calls).includes('2012-10-17'));
  });

  it('assumes the role once for all regions, with STS in AWS_REGION', async () => {
    await using aws = await startAwsTokensFixture({ rules: [rule] }, { roles });
    process.env['AWS_REGION'] = 'eu-central-1';
    const regions = ['xx-made-1', 'eu-west-1', 'eu-west-2'];
    await Promise.all(regions.map((region) => aws.tokens.get('team', registry(region, '210987654321'))));
    assert.deepEqual(
      aws.double.callsOf('AssumeRole').map(({ region }) => region),
      ['eu-central-1'],
    );
    assert.deepEqual([aws.countTokenCalls(), aws.double.peak], [3, 1]);
  });

  it('calls STS in the partition of the role, whatever region is set', async () => {
    const china = 'arn:aws-cn:iam::210987654321:role/puller';
    await using aws = await startAwsTokensFixture({ rules: [{ roleArn: china }] });
    await aws.tokens.get('team', registry());
    assert.deepEqual(
      aws.double.callsOf('AssumeRole').map(({ region }) => region),
      ['cn-northwest-1'],
    );
  });

  it('does not make one role wait for another', async () => {
    await using aws = await startAwsTokensFixture({ rules: [rule, { roleArn: other }] }, { roles });
    const gate = aws.double.hold({ operation: 'AssumeRole', roleArn });
    const held = aws.tokens.get('team', otherRegistry);
    await eventually('the first waits', () => gate.waiting === 1);
    await aws.tokens.get('team', registry('eu-west-1', '111122223333'));
    gate.open();
    await held;
    assert.equal(aws.double.peak, 1);
  });

  it('is reported as denied if the external ID is not the one that the role requires', async () => {
    await using aws = await startAwsTokensFixture({ rules: [{ ...rule, externalId: 'guessed' }] }, { roles });
    const failure = await getTokenError(aws.tokens.get('team', otherRegistry));
    assert.deepEqual([failure.code, failure.permanent], ['AccessDenied', true]);
    assert.match(failure.message, /sts:AssumeRole/);
    assert.ok(!failure.message.includes('guessed'));
    assertNoSecretLeaked(aws.double, failure);
    assert.equal(aws.countTokenCalls(), 0);
  });

  it('assumes the role again before its session expires', async () => {
    await using aws = await startAwsTokensFixture({ rules: [rule] }, { roles });
    await aws.tokens.get('team', otherRegistry);
    aws.pass(7 * hourMs);
    await aws.tokens.get('team', registry('eu-west-2', '210987654321'));
    assert.equal(aws.double.callsOf('AssumeRole').length, 2);
    assert.equal(aws.countTokenCalls(), 2);
  });

  for (const [fault, code] of [
    ['hang', 'timeout'],
    ['html', 'invalid-response'],
    ['forbidden-page', 'http-403'],
    [{ error: 'PackedPolicyTooLarge' }, 'PackedPolicyTooLargeException'],
    [{ error: 'ExpiredToken', status: 403 }, 'ExpiredToken'],
    [{ error: 'Throttling' }, 'throttled'],
  ] as const) {
    it(`is reported as ${code} if STS returns ${JSON.stringify(fault)}, and works again afterwards`, async () => {
      const timeouts = { connectMs: 500, requestMs: 200, totalMs: 2_000 };
      await using aws = await startAwsTokensFixture({ rules: [rule], timeouts }, { roles });
      aws.double.fail(fault, { operation: 'AssumeRole' });
      const failure = await getTokenError(aws.tokens.get('team', otherRegistry));
      assert.equal(failure.code, code);
      assert.doesNotMatch(failure.message, /ECR endpoint/);
      assertNoSecretLeaked(aws.double, failure);
      aws.double.heal();
      aws.pass(300_000);
      await aws.tokens.get('team', otherRegistry);
    });
  }
});
