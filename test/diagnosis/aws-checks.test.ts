// Tests that doctor names what is wrong with AWS, with the real SDK and the double of ECR and STS.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { stringify } from 'yaml';
import { readConfig } from '../../src/config/load-config.ts';
import { checkAws } from '../../src/diagnosis/aws-checks.ts';
import type { CheckResult } from '../../src/diagnosis/check.ts';
import type { Installation } from '../../src/diagnosis/installation.ts';
import { type ClusterConfig, loadKubeConfig } from '../../src/kube/client.ts';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import type { EcrDoubleOptions } from '../doubles/ecr/ecr-double.ts';
import { type AwsTokensFixture, startAwsTokensFixture } from '../ecr/token-fixtures.ts';
import { buildPullSecret } from '../support/bulk-requests.ts';
import { expectCreated } from '../support/installation.ts';
import { secretsPath } from '../support/pull-secret.ts';
import { issuedHoursAgo } from './stored-findings.ts';

const frankfurt = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const virginia = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
const roleArn = 'arn:aws:iam::123456789012:role/puller';
const hourMs = 3_600_000;

describe('the checks of AWS', () => {
  let api: ApiStandIn;
  let cluster: ClusterConfig;

  before(async () => {
    api = await startApiStandIn();
    cluster = loadKubeConfig({
      kubeconfigPath: api.kubeconfigPath,
      requestTimeoutMs: 20_000,
      userAgent: 'test',
    });
    await createPullSecret(api, 'shop', [frankfurt, virginia]);
  });
  after(async () => {
    await cluster.close();
    await api.stop();
  });

  interface Setup {
    readonly settings?: Record<string, unknown>;
    readonly environment?: Record<string, string>;
    readonly double?: EcrDoubleOptions;
    /** Breaks something. */
    change?(aws: AwsTokensFixture): void;
    readonly installation?: Partial<Installation>;
  }

  async function run({ settings = {}, environment = {}, double, change, installation }: Setup = {}) {
    await using aws = await startAwsTokensFixture({}, double);
    Object.assign(process.env, environment);
    change?.(aws);
    const results = await checkAws(
      {
        viewpoint: 'inside',
        config: readConfig(stringify(settings), 'test'),
        cluster,
        namespace: 'ecr-pull-secrets',
        environment: { ...process.env },
        ...installation,
      },
      AbortSignal.timeout(60_000),
    );
    const shown = JSON.stringify(results);
    assert.ok(aws.double.secrets().every((secret) => !shown.includes(secret)));
    return { results, double: aws.double };
  }

  function summaries(results: readonly CheckResult[], check: string): string[] {
    return results
      .filter((result) => result.check === check)
      .map(({ outcome, summary }) => `${outcome}: ${summary}`);
  }

  it('say who the program is, and that the regions in the pull Secrets issue tokens', async () => {
    const { results, double } = await run();
    assert.deepEqual(
      results.map(({ check, outcome }) => `${check} ${outcome}`),
      [
        'aws-proxy ok',
        'aws-connection ok',
        'aws-clock ok',
        'aws-credentials ok',
        'aws-caller-identity ok',
        'aws-rule-identities ok',
        'aws-tokens ok',
      ],
    );
    assert.match(
      summaries(results, 'aws-caller-identity')[0] ?? '',
      /arn:aws:iam::123456789012:user\/example$/,
    );
    assert.match(summaries(results, 'aws-tokens')[0] ?? '', /eu-central-1, us-east-1$/);
    const regions = double.issued.map(({ region }) => region);
    assert.deepEqual(regions.sort(), ['eu-central-1', 'us-east-1']);
  });

  it('assume the role of each rule as the program would', async () => {
    const rule = {
      accounts: ['123456789012'],
      roleArn,
      externalId: 'secret-id',
      sessionTags: { team: '{namespace}' },
    };
    const { results, double } = await run({ settings: { registries: [rule] } });
    const [result] = results.filter(({ check }) => check === 'aws-rule-identities');
    assert.equal(result?.outcome, 'ok');
    assert.match(
      result?.details?.[0] ?? '',
      /^registries\[0\]: arn:aws:sts::123456789012:assumed-role\/puller\//,
    );
    const [call] = double.callsOf('AssumeRole');
    assert.deepEqual([call?.externalId, call?.tags], ['secret-id', { team: 'shop' }]);
    assert.ok(!JSON.stringify(results).includes('secret-id'));
  });

  it('name a rule that nothing uses, without testing it', async () => {
    const rule = { regions: ['eu-west-1'], namespaces: { names: ['nobody-*'] }, roleArn };
    const { results, double } = await run({ settings: { registries: [rule] } });
    const [result] = results.filter(({ check }) => check === 'aws-rule-identities');
    assert.equal(result?.outcome, 'skipped');
    assert.match(result?.details?.[0] ?? '', /registries\[0\]: not tested/);
    assert.equal(double.callsOf('AssumeRole').length, 0);
  });

  const expired = { error: 'ExpiredToken', status: 403 };
  const noKeys = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' };
  const withRole = { settings: { registries: [{ roleArn, externalId: 'one' }] } };
  const trust = (externalId: string) => ({ roles: { [roleArn]: { externalId } } });
  const hourAhead = { responseDate: () => Date.now() - hourMs };

  for (const [name, setup, check, summary, remedy] of [
    [
      'no credentials',
      { environment: noKeys },
      'aws-credentials',
      /has no AWS credentials/,
      /Provide AWS credentials/,
    ],
    [
      'expired keys',
      { change: ({ double }: AwsTokensFixture) => double.fail(expired) },
      'aws-credentials',
      /have expired \(ExpiredToken\)/,
      /renew/,
    ],
    [
      'an unknown access key',
      { environment: { AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE111111111' } },
      'aws-credentials',
      /does not know the access key/,
      /access key/,
    ],
    [
      'a wrong secret key',
      { environment: { AWS_SECRET_ACCESS_KEY: 'wrong' } },
      'aws-credentials',
      /secret access key does not belong/,
      /secret key/,
    ],
    [
      'a principal that may not fetch tokens',
      {
        change: ({ double }: AwsTokensFixture) =>
          double.fail({ error: 'AccessDeniedException' }, { operation: 'GetAuthorizationToken' }),
      },
      'aws-tokens',
      /AccessDeniedException for arn:aws:iam::123456789012:user\/example/,
      /ecr:GetAuthorizationToken/,
    ],
    [
      'a role that does not trust the program',
      { ...withRole, double: { roles: {} } },
      'aws-rule-identities',
      /refuses role arn:aws:iam::123456789012:role\/puller of registries\[0\]/,
      /trust policy must allow sts:AssumeRole/,
    ],
    [
      'a wrong external ID',
      { ...withRole, double: trust('two') },
      'aws-rule-identities',
      /of registries\[0\] with its externalId \(AccessDenied\)/,
      /Compare externalId of registries\[0\] with sts:ExternalId/,
    ],
    [
      'a clock that is an hour ahead',
      { double: hourAhead },
      'aws-clock',
      /is (?:1h0m|59m|60m) ahead of that of AWS/,
      /Synchronize the clock/,
    ],
    [
      'a clock that is an hour ahead, which AWS refuses',
      {
        double: hourAhead,
        change: ({ double }: AwsTokensFixture) =>
          double.fail({ error: 'SignatureDoesNotMatch', status: 403 }),
      },
      'aws-clock',
      /ahead of that of AWS/,
      /Synchronize the clock/,
    ],
    [
      'throttling',
      {
        change: ({ double }: AwsTokensFixture) =>
          double.fail({ error: 'ThrottlingException' }, { operation: 'GetAuthorizationToken', times: 99 }),
      },
      'aws-tokens',
      /throttled/,
      /Too many calls/,
    ],
    [
      'a closed port',
      { environment: { AWS_ENDPOINT_URL_ECR: 'http://127.0.0.1:1' } },
      'aws-connection',
      /cannot be reached at 127\.0\.0\.1:1: network error \(ECONNREFUSED\)/,
      /network connectivity/,
    ],
    [
      'a proxy that does not respond',
      {
        environment: {
          HTTP_PROXY: 'http://user:pass-word@127.0.0.1:1',
          NO_PROXY: '',
          no_proxy: '',
          AWS_ENDPOINT_URL_ECR: 'http://ecr.example',
        },
      },
      'aws-proxy',
      /proxy 127\.0\.0\.1:1 \(HTTP_PROXY\) does not forward requests/,
      /HTTP_PROXY/,
    ],
    [
      'a variable that cannot be used',
      { environment: { AWS_ACCESS_KEY_ID: 'with a space' } },
      'aws-environment',
      /environment variables for AWS/,
      /Correct the variables/,
    ],
  ] as const) {
    it(`name ${name} first, and nothing else as the cause`, async () => {
      const { results } = await run(setup as Setup);
      const failed = results.filter(({ outcome }) => outcome === 'failed');
      const [first] = failed;
      assert.equal(first?.check, check, JSON.stringify(results, undefined, 1));
      assert.match(first?.summary ?? '', summary);
      assert.match(first?.remedy ?? '', remedy);
      assert.ok(failed.every((one) => one.check === check));
      assert.ok(!JSON.stringify(results).includes('pass-word'));
    });
  }

  it('name a role outside of allowedRoles, and a ServiceAccount that is missing', async () => {
    const webIdentity = { serviceAccount: 'puller', audience: 'sts.amazonaws.com' };
    const rule = { webIdentity, allowedRoles: ['arn:aws:iam::123456789012:role/other'] };
    const missing = await run({ settings: { registries: [rule] } });
    assert.match(
      summaries(missing.results, 'aws-rule-identities')[0] ?? '',
      /failed: ServiceAccount shop\/puller does not exist/,
    );
    await expectCreated(api, '/api/v1/namespaces/shop/serviceaccounts', {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'puller', annotations: { 'eks.amazonaws.com/role-arn': roleArn } },
    });
    const { results } = await run({ settings: { registries: [rule] } });
    assert.match(
      summaries(results, 'aws-rule-identities')[0] ?? '',
      /failed: .*allowedRoles does not contain/,
    );
    await api.request('DELETE', '/api/v1/namespaces/shop/serviceaccounts/puller');
  });

  it('examine what several namespaces or the configuration use before what one tenant has made up', async (t) => {
    const invented = await startApiStandIn();
    t.after(() => invented.stop());
    const crowded = loadKubeConfig({
      ...{ kubeconfigPath: invented.kubeconfigPath, requestTimeoutMs: 20_000, userAgent: 'test' },
    });
    t.after(() => crowded.close());
    const madeUp = Array.from(
      { length: 25 },
      (_, index) => `123456789012.dkr.ecr.xx-fake-${index}.amazonaws.com`,
    );
    await createPullSecret(invented, 'aaa', madeUp);
    await createPullSecret(invented, 'shop', [frankfurt]);
    await createPullSecret(invented, 'web', [frankfurt]);
    const { double } = await run({ installation: { cluster: crowded } });
    assert.ok(double.issued.some(({ region }) => region === 'eu-central-1'));
  });

  it('have bounded durations where nothing responds', async () => {
    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    assert.ok(typeof address === 'object' && address !== null);
    const url = `http://127.0.0.1:${address.port}`;
    const startedAt = performance.now();
    const { results } = await run({ environment: { AWS_ENDPOINT_URL_ECR: url, AWS_ENDPOINT_URL_STS: url } });
    silent.close();
    assert.match(summaries(results, 'aws-connection')[0] ?? '', /failed: .*timed out/);
    assert.ok(performance.now() - startedAt < 30_000);
  });

  it('call nothing from outside, and name the command to run inside', async () => {
    const { results, double } = await run({ installation: { viewpoint: 'outside', namespace: 'tools' } });
    assert.deepEqual(
      results.map(({ outcome }) => outcome),
      ['skipped'],
    );
    assert.match(
      results[0]?.remedy ?? '',
      /kubectl exec --namespace tools deploy\/ecr-pull-secrets -- ecr-pull-secrets doctor --group aws$/,
    );
    assert.equal(double.calls.length, 0);
  });

  it('say which right is missing to know what is in use', async () => {
    const namespace = await api.createNamespace('nobody');
    const kubeconfigPath = await api.serviceAccountKubeconfig(namespace, 'nobody');
    const powerless = loadKubeConfig({ kubeconfigPath, requestTimeoutMs: 20_000, userAgent: 'test' });
    const { results } = await run({ installation: { cluster: powerless } });
    await powerless.close();
    const outcomes = new Map(results.map(({ check, outcome }) => [check, outcome]));
    assert.equal(outcomes.get('aws-caller-identity'), 'ok');
    assert.ok(results.some(({ outcome, summary }) => outcome === 'skipped' && /list secrets/.test(summary)));
    assert.ok(results.every(({ outcome }) => outcome !== 'failed'));
  });
});

/** Creates a managed Secret that claims to hold a token for each host. */
async function createPullSecret(api: ApiStandIn, namespace: string, hosts: readonly string[]): Promise<void> {
  await expectCreated(api, '/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: namespace },
  });
  const secret = buildPullSecret(new Map(hosts.map((host) => [host, issuedHoursAgo(1)])), 1);
  await expectCreated(api, secretsPath(namespace), secret);
}
