// Tests that the ECR double rejects what AWS rejects, and injects faults as requested.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DescribeRegistryCommand, ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr';
import { generatePassword } from './aws-responses.ts';
import { type EcrDouble, startEcrDouble } from './ecr-double.ts';

/** Sends a request as the SDK does, unsigned unless `authorization` is given. */
async function post(double: EcrDouble, headers: Record<string, string>, body: string) {
  const response = await fetch(double.url, { method: 'POST', headers, body });
  return { status: response.status, text: await response.text() };
}

const ecr = (operation: string, more: Record<string, string> = {}) => ({
  'content-type': 'application/x-amz-json-1.1',
  'x-amz-target': `AmazonEC2ContainerRegistry_V20150921.${operation}`,
  ...more,
});
/** The real SDK without retries. */
function createClient(double: EcrDouble, region = 'eu-west-1'): ECRClient {
  const { AWS_ACCESS_KEY_ID: accessKeyId = '', AWS_SECRET_ACCESS_KEY: secretAccessKey = '' } = double.env();
  const credentials = { accessKeyId, secretAccessKey };
  return new ECRClient({ region, endpoint: double.url, credentials, maxAttempts: 1 });
}

const form = { 'content-type': 'application/x-www-form-urlencoded' };

/** The tests in test/ecr show that the double accepts requests that the SDK signs. */
describe('the ECR double', () => {
  it('rejects unsigned requests', async () => {
    const double = await startEcrDouble();
    const toEcr = await post(double, ecr('GetAuthorizationToken'), '{}');
    assert.deepEqual(
      [toEcr.status, JSON.parse(toEcr.text).__type],
      [400, 'MissingAuthenticationTokenException'],
    );
    const toSts = await post(double, form, 'Action=AssumeRole&RoleArn=x');
    assert.equal(toSts.status, 403);
    assert.match(toSts.text, /<Code>MissingAuthenticationToken<\/Code>/);
    assert.equal(double.issued.length, 0);
    await double.stop();
  });

  it('rejects a wrong signature of a known key, and one for another service', async () => {
    const double = await startEcrDouble();
    const header = (service: string) =>
      `AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE000000000/20261124/eu-west-1/${service}/aws4_request, SignedHeaders=host;x-amz-date, Signature=${'0'.repeat(64)}`;
    const signed = async (service: string) => {
      const headers = ecr('GetAuthorizationToken', {
        'x-amz-date': '20261124T000000Z',
        authorization: header(service),
      });
      return JSON.parse((await post(double, headers, '{}')).text).__type;
    };
    assert.equal(await signed('ecr'), 'InvalidSignatureException');
    assert.equal(await signed('s3'), 'MissingAuthenticationTokenException');
    assert.equal(double.callsOf('GetAuthorizationToken')[0]?.region, 'eu-west-1');
    await double.stop();
  });

  it('rejects unknown operations', async () => {
    const double = await startEcrDouble();
    await assert.rejects(createClient(double).send(new DescribeRegistryCommand({})), {
      name: 'UnknownOperationException',
    });
    const { text } = await post(double, form, 'Action=AssumeRoleWithWebIdentity&WebIdentityToken=x');
    assert.match(text, /<Code>InvalidIdentityToken<\/Code>/);
    await double.stop();
  });

  it('expires passwords by its own clock', async () => {
    const double = await startEcrDouble({ tokenLifetimeMs: 60_000 });
    const { authorizationData } = await createClient(double).send(new GetAuthorizationTokenCommand({}));
    const auth = authorizationData?.[0]?.authorizationToken ?? '';
    const password = Buffer.from(auth, 'base64').toString().replace('AWS:', '');
    assert.deepEqual([double.isUnexpired(password), double.isUnexpired('guessed')], [true, false]);
    double.step(60_000);
    assert.equal(double.isUnexpired(password), false);
    assert.ok(double.secrets().some((secret) => password.includes(secret)));
    assert.ok(double.secrets().some((secret) => auth.includes(secret)));
    await double.stop();
  });

  it('injects a fault into the selected requests, as often as requested', async () => {
    const double = await startEcrDouble();
    double.fail({ error: 'ThrottlingException' }, { region: 'eu-west-1', times: 1 });
    const get = (region: string) => createClient(double, region).send(new GetAuthorizationTokenCommand({}));
    await get('eu-west-2');
    await assert.rejects(get('eu-west-1'), { name: 'ThrottlingException' });
    await get('eu-west-1');
    assert.equal(double.issued.length, 2);
    await double.stop();
  });

  it('creates passwords of the size that ECR uses, the same for the same caller', () => {
    for (let serial = 0; serial < 200; serial += 1) {
      const password = generatePassword('canary', 'eu-west-1', 'example', serial);
      assert.ok(password.length >= 2_300 && password.length <= 2_700, `${password.length} characters`);
      assert.equal(password, generatePassword('canary', 'eu-west-1', 'example', serial));
    }
    assert.notEqual(generatePassword('c', 'eu-west-1', 'a', 1), generatePassword('c', 'eu-west-1', 'a', 2));
    assert.notEqual(generatePassword('c', 'eu-west-1', 'a', 1), generatePassword('c', 'eu-west-2', 'a', 1));
  });
});
