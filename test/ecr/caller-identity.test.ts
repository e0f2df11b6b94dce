// Tests that the AWS identity of the process and its credential provider are found with the real SDK, and how failures are explained.
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { type CallerIdentityOptions, readCallerIdentity } from '../../src/ecr/caller-identity.ts';
import { nameCredentialProvider } from '../../src/ecr/credential-provider.ts';
import { defaultIdentity } from '../../src/ecr/identity.ts';
import { assertNoSecretLeaked, getTokenError, startAwsTokensFixture } from './token-fixtures.ts';

const timeouts = { connectMs: 20_000, requestMs: 60_000 }; // for busy machines
const roleArn = 'arn:aws:iam::123456789012:role/webhook';
const session = 'arn:aws:sts::123456789012:assumed-role/webhook';

function readIdentity(options: Partial<CallerIdentityOptions> = {}) {
  return readCallerIdentity(process.env, { timeouts, ...options });
}

describe('the AWS identity', () => {
  let directory: string;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'identity-'));
  });

  after(() => rm(directory, { recursive: true }));

  async function write(name: string, content: string): Promise<string> {
    const file = join(directory, name);
    await writeFile(file, content);
    return file;
  }

  it('is that of access keys in the environment', async () => {
    await using aws = await startAwsTokensFixture();
    const identity = await readIdentity();
    assert.deepEqual(identity, {
      arn: 'arn:aws:iam::123456789012:user/example',
      account: '123456789012',
      provider: 'environment',
    });
    assertNoSecretLeaked(aws.double, identity);
  });

  it('is that of a web identity', async () => {
    await using _ = await startAwsTokensFixture();
    replaceKeys({
      AWS_ROLE_ARN: roleArn,
      AWS_ROLE_SESSION_NAME: 'pod',
      AWS_WEB_IDENTITY_TOKEN_FILE: await write('token', 'a.b.c'),
    });
    const { arn, provider } = await readIdentity();
    assert.deepEqual([arn, provider], [`${session}/pod`, 'web-identity']);
  });

  it('is that of the keys, of the process or of the role of a profile', async () => {
    await using aws = await startAwsTokensFixture();
    const { AWS_ACCESS_KEY_ID: id = '', AWS_SECRET_ACCESS_KEY: secret = '' } = aws.double.env();
    const keys = await write(
      'keys.json',
      JSON.stringify({ Version: 1, AccessKeyId: id, SecretAccessKey: secret }),
    );
    const config = [
      `[profile keys]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}`,
      `[profile process]\ncredential_process = cat ${keys}`,
      `[profile role]\nrole_arn = ${roleArn}\nrole_session_name = me\nsource_profile = keys`,
    ];
    replaceKeys({ AWS_CONFIG_FILE: await write('config', config.join('\n')) });
    const found: string[] = [];
    for (const profile of ['keys', 'process', 'role']) {
      process.env['AWS_PROFILE'] = profile;
      const { arn, provider } = await readIdentity();
      found.push(`${arn} ${provider}`);
    }
    const user = 'arn:aws:iam::123456789012:user/example';
    assert.deepEqual(found, [`${user} profile`, `${user} process`, `${session}/me profile`]);
  });

  it('is that of a container and of the instance', async (t) => {
    await using aws = await startAwsTokensFixture();
    const { AWS_ACCESS_KEY_ID: AccessKeyId, AWS_SECRET_ACCESS_KEY: SecretAccessKey } = aws.double.env();
    const Expiration = new Date(Date.now() + 3_600_000).toISOString();
    const credentials = JSON.stringify({
      Code: 'Success',
      AccessKeyId,
      SecretAccessKey,
      Token: '',
      Expiration,
    });
    const url = await serve(t, ({ url: path }) => {
      if (path === '/latest/api/token') {
        return 'metadata-token';
      }
      return path === '/latest/meta-data/iam/security-credentials/' ? 'node-role' : credentials;
    });
    replaceKeys({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/container` });
    assert.equal((await readIdentity()).provider, 'container');
    replaceKeys({ AWS_EC2_METADATA_DISABLED: 'false', AWS_EC2_METADATA_SERVICE_ENDPOINT: url });
    process.env['AWS_CONTAINER_CREDENTIALS_FULL_URI'] = '';
    assert.equal((await readIdentity()).provider, 'instance-metadata');
  });

  it('names EKS Pod Identity by the address of its agent', () => {
    const credentials = { $source: { CREDENTIALS_HTTP: 'z' } };
    for (const host of ['169.254.170.23', '[fd00:ec2::23]']) {
      const environment = { AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://${host}/v1/credentials` };
      assert.equal(nameCredentialProvider(credentials, environment), 'pod-identity');
    }
  });

  it('is that of the session if the role of a rule is assumed', async () => {
    await using _ = await startAwsTokensFixture();
    const identity = {
      ...defaultIdentity,
      key: 'rule',
      fingerprint: 'rule',
      rule: 'registries[0]',
      role: { roleArn },
    };
    const { arn, provider } = await readIdentity({ identity });
    assert.deepEqual([arn, provider], [`${session}/ecr-pull-secrets`, 'environment']);
  });

  it('leaves nothing at the signal that can abort it, which lives as long as the process', async () => {
    await using aws = await startAwsTokensFixture();
    const { signal } = new AbortController();
    await readIdentity({ signal });
    aws.double.fail({ error: 'AccessDenied', status: 403 }, { operation: 'GetCallerIdentity' });
    await getTokenError(readIdentity({ signal }));
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  it('is read in the configured region, or else in the home region of the partition in use', async () => {
    await using aws = await startAwsTokensFixture();
    process.env['AWS_REGION'] = 'eu-central-1';
    await readIdentity({ fallbackRegion: 'cn-north-1' });
    process.env['AWS_REGION'] = '';
    await readIdentity({ fallbackRegion: 'cn-north-1' });
    await readIdentity();
    assert.deepEqual(
      aws.double.callsOf('GetCallerIdentity').map(({ region }) => region),
      ['eu-central-1', 'cn-northwest-1', 'us-east-1'],
    );
  });
});

describe('a failure to read the AWS identity', () => {
  for (const [name, fault, code, remedy] of [
    [
      'a policy of an endpoint',
      { error: 'AccessDenied', status: 403 },
      'caller-identity-denied',
      /VPC endpoint of STS denies it/,
    ],
    [
      'rejected keys',
      { error: 'InvalidClientTokenId', status: 403 },
      'InvalidClientTokenId',
      /Check the access key/,
    ],
    ['a login page', 'html', 'invalid-response', /STS endpoint/],
  ] as const) {
    it(`names the remedy after ${name}`, async () => {
      await using aws = await startAwsTokensFixture();
      aws.double.fail(fault, { operation: 'GetCallerIdentity' });
      const failure = await getTokenError(readIdentity());
      assert.equal(failure.code, code);
      assert.match(failure.message, /^No AWS identity: /);
      assert.match(failure.advice, remedy);
      assertNoSecretLeaked(aws.double, failure);
    });
  }

  it('says that there are no credentials', async () => {
    await using aws = await startAwsTokensFixture();
    replaceKeys({});
    const failure = await getTokenError(readIdentity());
    assert.deepEqual(
      [failure.code, failure.permanent, failure.description],
      ['no-credentials', true, 'no AWS credentials'],
    );
    assert.equal(aws.double.calls.length, 0);
  });

  it('says that the role of the web identity is denied', async () => {
    await using aws = await startAwsTokensFixture();
    const file = await writeToken();
    replaceKeys({ AWS_ROLE_ARN: roleArn, AWS_WEB_IDENTITY_TOKEN_FILE: file });
    aws.double.fail({ error: 'AccessDenied', status: 403 }, { operation: 'AssumeRoleWithWebIdentity' });
    const failure = await getTokenError(readIdentity());
    await rm(file);
    assert.equal(failure.code, 'AccessDenied');
    assert.match(failure.advice, /trust policy must allow sts:AssumeRole/);
  });
});

async function writeToken(): Promise<string> {
  const file = join(await mkdtemp(join(tmpdir(), 'token-')), 'token');
  await writeFile(file, 'a.b.c');
  return file;
}

/** Removes the access keys from the environment of the fixture, and sets other variables, until the fixture is disposed of. */
function replaceKeys(variables: Record<string, string>): void {
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', ...variables });
}

/** Serves texts on loopback until the test ends. */
async function serve(t: TestContext, respond: (request: IncomingMessage) => string): Promise<string> {
  const server = createServer((request, response) => response.end(respond(request)));
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
