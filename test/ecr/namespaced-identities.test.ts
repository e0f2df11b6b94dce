// Identities of rules end to end: the real SDK against a double of STS and ECR that verifies and records who called.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type IdentityFacts, unknownFacts } from '../../src/ecr/identity-facts.ts';
import { createIdentityResolver, type IdentityRule } from '../../src/ecr/identity-rules.ts';
import { createRegistryResolver } from '../../src/ecr/registry.ts';
import type { Token } from '../../src/ecr/token.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';
import { createOidcIssuer } from '../support/oidc-issuer.ts';
import {
  type AwsTokensFixture,
  assertNoSecretLeaked,
  getTokenError,
  hourMs,
  registry,
  startAwsTokensFixture,
} from './token-fixtures.ts';

/** Timeouts that also suffice on a busy machine. */
const timeouts = { connectMs: 20_000, requestMs: 60_000 };
const account = 'arn:aws:iam::123456789012';
const root = 'AKIAEXAMPLE000000000';

/** The identity that fetched a token, as the double recorded it. */
function originOf({ double }: { double: EcrDouble }, token: Token) {
  const issued = double.findIssued(token.auth());
  assert.ok(issued);
  return issued.origin;
}

describe('a rule with placeholders', () => {
  const rule: IdentityRule = {
    namespaces: { names: ['team-*'] },
    roleArn: `${account}:role/ecr-{namespace}`,
    externalId: 'our-cluster',
    sessionName: 'pull-{namespace}-{region}',
    sessionTags: { 'kubernetes-namespace': '{namespace}', account: '{account}' },
    sessionPolicy: '{"Resource":"arn:{partition}:ecr:{region}:{account}:repository/{namespace}/*"}',
  };
  const roleOf = (namespace: string) => ({
    externalId: 'our-cluster',
    accessKeyIds: [root],
    sessionTags: { 'kubernetes-namespace': namespace, account: '123456789012' },
    sessionPolicy: `{"Resource":"arn:aws:ecr:eu-west-1:123456789012:repository/${namespace}/*"}`,
  });
  const roles = {
    [`${account}:role/ecr-team-a`]: roleOf('team-a'),
    [`${account}:role/ecr-team-b`]: roleOf('team-b'),
  };

  it('looks up the settings of the environment and the AWS files once for all namespaces', async () => {
    await using aws = await startAwsTokensFixture({ rules: [rule], timeouts }, { roles });
    await aws.tokens.get('team-a', registry());
    process.env['AWS_MAX_ATTEMPTS'] = '3';
    aws.double.fail('reset', { operation: 'GetAuthorizationToken' });
    const before = aws.countTokenCalls();
    await assert.rejects(aws.tokens.get('team-b', registry()));
    assert.equal(aws.countTokenCalls() - before, 1);
  });

  it('calls no FIPS endpoint because another namespace names a FIPS region', async () => {
    const rules = [{ roleArn: `${account}:role/ecr-{namespace}` }];
    await using aws = await startAwsTokensFixture({ rules, timeouts });
    await aws.tokens.get('team-a', registry('fips-us-east-1')).catch(() => undefined);
    await aws.tokens.get('team-b', registry());
  });

  it('calls the APIs of private and public registries under their own names', async () => {
    const rules = [{ roleArn: `${account}:role/ecr-{namespace}` }];
    await using aws = await startAwsTokensFixture({ rules, timeouts });
    const publicRegistry = createRegistryResolver({ publicRegistry: true })('public.ecr.aws');
    assert.ok(publicRegistry);
    await aws.tokens.get('team-a', registry());
    await aws.tokens.get('team-b', publicRegistry);
    const apis = aws.double
      .callsOf('GetAuthorizationToken')
      .map(({ userAgent }) => /api\/(\S+)#/.exec(userAgent)?.[1]);
    assert.deepEqual(apis, ['ecr', 'ecr-public']);
  });

  it('fetches the token of each namespace with its own role, tags and policy', async () => {
    await using aws = await startAwsTokensFixture({ rules: [rule], timeouts }, { roles });
    const [a, b, other] = await Promise.all(
      ['team-a', 'team-b', 'other'].map((namespace) => aws.tokens.get(namespace, registry())),
    );
    assert.ok(a && b && other);
    for (const [namespace, token] of [['team-a', a] as const, ['team-b', b] as const]) {
      assert.deepEqual(originOf(aws, token), {
        roleArn: `${account}:role/ecr-${namespace}`,
        sessionName: `pull-${namespace}-eu-west-1`,
        assumedBy: root,
        subject: undefined,
        externalId: 'our-cluster',
        tags: { 'kubernetes-namespace': namespace, account: '123456789012' },
        policy: roleOf(namespace).sessionPolicy,
      });
    }
    assert.equal(originOf(aws, other), undefined);
    assert.equal(new Set([a.identity, b.identity, other.identity]).size, 3);
    assert.equal(other.identity, undefined);
    assert.equal(await aws.tokens.get('team-a', registry()), a);
    assert.equal(aws.countTokenCalls(), 3);
    assertNoSecretLeaked(aws.double, [aws.calls, aws.tokens.snapshot()]);
    assert.ok(!JSON.stringify([aws.calls, aws.tokens.snapshot()]).includes('our-cluster'));
  });

  it('names role, rule and what to change if STS denies the role', async () => {
    await using aws = await startAwsTokensFixture({ rules: [rule], timeouts }, { roles });
    const failure = await getTokenError(aws.tokens.get('team-c', registry()));
    assert.equal(failure.code, 'AccessDenied');
    assert.equal(
      failure.message,
      `No ECR token for eu-west-1: AWS STS returned AccessDenied for ${account}:role/ecr-team-c of registries[0]. The role must ` +
        'exist, and its trust policy must allow sts:AssumeRole and sts:TagSession for the base credentials, with the same external ' +
        'ID if it requires one; their own policy must allow it too.',
    );
    assert.equal(failure.shortCause, 'AccessDenied (permanent)');
    assertNoSecretLeaked(aws.double, failure);
  });

  it('is refused before STS is called if its policy is too long for STS', async () => {
    const long = { ...rule, sessionPolicy: JSON.stringify('{namespace}'.repeat(150)) };
    await using aws = await startAwsTokensFixture({ rules: [long], timeouts });
    const failure = await getTokenError(aws.tokens.get('team-with-a-name', registry()));
    assert.deepEqual([failure.code, failure.permanent], ['session-policy-too-long', true]);
    assert.match(failure.message, /session policy of registries\[0\] is too long after its placeholders/);
    assert.equal(aws.double.calls.length, 0);
  });

  it('keeps at most `maxKeys` sessions, tokens and clients of its identities, and evicts no shared token', async () => {
    const rules = [{ namespaces: { names: ['team-*'] }, roleArn: `${account}:role/{namespace}` }];
    await using aws = await startAwsTokensFixture({ rules, timeouts, maxKeys: 2 });
    await aws.tokens.get('shared', registry());
    for (const team of ['team-a', 'team-b', 'team-c', 'team-d']) {
      await aws.tokens.get(team, registry());
    }
    const calls = aws.countTokenCalls();
    await aws.tokens.get('shared', registry());
    await aws.tokens.get('team-d', registry());
    assert.equal(aws.countTokenCalls(), calls);
    await aws.tokens.get('team-a', registry());
    assert.equal(aws.countTokenCalls(), calls + 1);
    assert.equal(aws.double.callsOf('AssumeRole').length, 5);
  });
});

describe('a token', () => {
  it('carries the fingerprint of the identity that fetched it, whatever is fetched at the same time', async () => {
    const role = (name: string) => `${account}:role/${name}`;
    const rules: IdentityRule[] = [
      { namespaces: { names: ['a'] }, roleArn: role('{namespace}'), sessionName: '{region}' },
      { namespaces: { names: ['b', 'c'] }, roleArn: role('shared'), sessionTags: { ns: '{namespace}' } },
      { accounts: ['2*'], roleArn: 'arn:aws:iam::{account}:role/x', sessionPolicy: '"{account}"' },
      { regions: ['us-*'], roleArn: role('shared'), externalId: 'our-cluster' },
    ];
    await using aws = await startAwsTokensFixture({ rules, timeouts, getEndpointTrust: () => 'proven' });
    const resolve = createIdentityResolver(rules, unknownFacts);
    const cases = ['a', 'b', 'c', 'd', 'e'].flatMap((namespace) =>
      ['eu-west-1', 'us-east-1'].flatMap((region) =>
        ['123456789012', '210987654321', '220987654321'].map((owner) => ({
          namespace,
          one: registry(region, owner),
        })),
      ),
    );
    const fetched = await Promise.all(
      cases.map(async ({ namespace, one }) => ({
        decision: resolve(namespace, one),
        token: await aws.tokens.get(namespace, one),
      })),
    );
    for (const { decision, token } of fetched) {
      assert.ok(decision.access === 'allowed');
      const { role: expected, fingerprint } = decision.identity;
      const origin = originOf(aws, token);
      assert.equal(token.identity, fingerprint);
      assert.deepEqual(
        [origin?.roleArn, origin?.externalId, origin?.policy, origin?.tags ?? {}],
        [expected?.roleArn, expected?.externalId, expected?.sessionPolicy, expected?.sessionTags ?? {}],
      );
    }
    assert.equal(new Set(fetched.map(({ token }) => token.auth())).size, aws.countTokenCalls());
  });
});

/** Writes a file, and returns its path. */
async function writeFileOf(t: TestContext, name: string, content: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'identities-'));
  t.after(() => rm(directory, { recursive: true }));
  const file = join(directory, name);
  await writeFile(file, content);
  return file;
}

/** Writes a shared AWS file and makes the SDK use it. */
async function writeProfiles(t: TestContext, lines: readonly string[]): Promise<void> {
  process.env['AWS_CONFIG_FILE'] = await writeFileOf(t, 'config', `${lines.join('\n')}\n`);
}

describe('a rule with a profile', () => {
  const rules: IdentityRule[] = [
    {
      accounts: ['444455556666'],
      credentials: { profile: 'china' },
      roleArn: 'arn:aws-cn:iam::444455556666:role/x',
    },
    { accounts: ['333333333333'], credentials: { profile: 'china' } },
    { accounts: ['222222222222'], credentials: { profile: 'missing' } },
  ];

  async function startWithProfiles(
    t: TestContext,
  ): Promise<AwsTokensFixture & { readonly accessKeyId: string }> {
    const aws = await startAwsTokensFixture({ rules, timeouts });
    const user = aws.double.createUser('arn:aws-cn:iam::444455556666:user/example');
    const { accessKeyId, secretAccessKey } = user;
    const keys = [`aws_access_key_id = ${accessKeyId}`, `aws_secret_access_key = ${secretAccessKey}`];
    await writeProfiles(t, ['[profile china]', 'region = cn-north-1', ...keys]);
    return { ...aws, accessKeyId };
  }

  it('uses its credentials, also to assume a role', async (t) => {
    await using aws = await startWithProfiles(t);
    const own = await aws.tokens.get('team', registry('eu-west-1', '333333333333'));
    const assumed = await aws.tokens.get('team', registry('eu-west-1', '444455556666'));
    const process = await aws.tokens.get('team', registry());
    const issued = [own, assumed, process].map((token) => aws.double.findIssued(token.auth()));
    assert.equal(issued[0]?.accessKeyId, aws.accessKeyId);
    assert.equal(issued[1]?.origin?.assumedBy, aws.accessKeyId);
    assert.equal(issued[2]?.accessKeyId, root);
    assert.match(aws.double.callsOf('AssumeRole')[0]?.region ?? '', /^cn-north/);
    assert.equal(new Set([own.identity, assumed.identity, process.identity]).size, 3);
  });

  it('never falls back to other credentials', async (t) => {
    await using aws = await startWithProfiles(t);
    // the SDK's default chain would use these even if a profile is set
    process.env['AWS_ROLE_ARN'] = `${account}:role/other`;
    process.env['AWS_WEB_IDENTITY_TOKEN_FILE'] = await writeFileOf(t, 'token', 'a.b.c');
    const failure = await getTokenError(aws.tokens.get('team', registry('eu-west-1', '222222222222')));
    assert.deepEqual([failure.code, failure.permanent], ['no-credentials', true]);
    assert.match(
      failure.message,
      /no AWS credentials in profile missing of registries\[2\]\. Add the profile/,
    );
    assert.equal(aws.double.calls.length, 0);
  });

  it('finds its credentials as soon as the file has them', async (t) => {
    await using aws = await startWithProfiles(t);
    const missing = registry('eu-west-1', '222222222222');
    await getTokenError(aws.tokens.get('team', missing));
    const { accessKeyId, secretAccessKey } = aws.double.createUser('arn:aws:iam::222222222222:user/example');
    const keys = [`aws_access_key_id = ${accessKeyId}`, `aws_secret_access_key = ${secretAccessKey}`];
    await writeProfiles(t, ['[profile missing]', ...keys]);
    aws.pass(60_000);
    const token = await aws.tokens.get('team', missing);
    assert.equal(aws.double.findIssued(token.auth())?.accessKeyId, accessKeyId);
  });
});

describe('a rule with a web identity', () => {
  const issuer = createOidcIssuer();
  const audience = 'sts.amazonaws.com';
  const roleArn = `${account}:role/payments`;
  const rules: IdentityRule[] = [
    {
      namespaces: { names: ['pay*'] },
      webIdentity: { serviceAccount: 'ecr-pull', audience },
      sessionName: '{namespace}',
    },
    { accounts: ['333333333333'], roleArn: `${account}:role/shared` },
  ];
  const facts: IdentityFacts = {
    namespaceLabels: () => undefined,
    serviceAccount: () => ({ state: 'exists', role: { annotation: 'eks.amazonaws.com/role-arn', roleArn } }),
  };
  const subject = 'system:serviceaccount:payments:ecr-pull';
  const doubleOptions = {
    oidcProviders: { [issuer.issuer]: { audiences: [audience], keys: issuer.keys } },
    roles: {
      [roleArn]: { webIdentity: { issuer: issuer.issuer, subject, audience } },
      [`${account}:role/shared`]: {},
    },
  };
  const options = {
    rules,
    facts,
    timeouts,
    requestToken: async (...asked: [string, string, string]) => issuer.issueToken(...asked),
  };

  it("exchanges the ServiceAccount's token for a session of the role that it names", async () => {
    await using aws = await startAwsTokensFixture(options, doubleOptions);
    const token = await aws.tokens.get('payments', registry());
    assert.deepEqual(originOf(aws, token), {
      roleArn,
      sessionName: 'payments',
      assumedBy: undefined,
      subject,
      externalId: undefined,
      tags: {},
      policy: undefined,
    });
    await aws.tokens.get('payments', registry('eu-west-2'));
    assert.equal(aws.double.callsOf('AssumeRoleWithWebIdentity').length, 1);
    assert.ok(!JSON.stringify([aws.calls, aws.tokens.snapshot()]).includes('eyJ'));
  });

  it('names role, rule, subject and audience if the trust policy refuses the ServiceAccount', async () => {
    await using aws = await startAwsTokensFixture(options, doubleOptions);
    const failure = await getTokenError(aws.tokens.get('pay-2', registry()));
    assert.deepEqual([failure.code, failure.permanent], ['web-identity-denied', true]);
    assert.equal(
      failure.message,
      `No ECR token for eu-west-1: AWS STS returned AccessDenied for ${roleArn} of registries[0]. The role must exist, and its ` +
        "trust policy must allow sts:AssumeRoleWithWebIdentity for the cluster's OIDC provider with sub " +
        'system:serviceaccount:pay-2:ecr-pull and aud sts.amazonaws.com.',
    );
    assertNoSecretLeaked(aws.double, failure);
  });

  it('says what IAM lacks if it does not know the issuer or the audience', async () => {
    await using aws = await startAwsTokensFixture(options, { ...doubleOptions, oidcProviders: {} });
    const failure = await getTokenError(aws.tokens.get('payments', registry()));
    assert.equal(failure.code, 'InvalidIdentityTokenException');
    assert.match(
      failure.message,
      /IAM has an OIDC provider for the issuer .* with audience sts\.amazonaws\.com/,
    );
  });

  for (const [code, permanent] of [
    ['forbidden', true],
    ['not-found', true],
    ['timeout', false],
    ['weird code with eyJ', false],
  ] as const) {
    it(`reports that the API server issues no token (${code})`, async () => {
      const requestToken = () => Promise.reject(Object.assign(new Error('eyJ'), { code }));
      await using aws = await startAwsTokensFixture({ ...options, requestToken }, doubleOptions);
      const failure = await getTokenError(aws.tokens.get('payments', registry()));
      assert.deepEqual([failure.code, failure.permanent], ['service-account-token', permanent]);
      assert.match(
        failure.message,
        /ServiceAccount payments\/ecr-pull of registries\[0\] \((forbidden|not-found|timeout|unknown)\)/,
      );
      assert.ok(!failure.message.includes('eyJ'));
      assert.equal(aws.double.calls.length, 0);
    });
  }

  it('does not make others get new credentials when its own are refused', async () => {
    await using aws = await startAwsTokensFixture(options, { ...doubleOptions, oidcProviders: {} });
    const shared = (region: string) => aws.tokens.get('team', registry(region, '333333333333'));
    await shared('eu-west-1');
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await getTokenError(aws.tokens.get('payments', registry()));
      aws.pass(0.1 * hourMs);
    }
    await shared('eu-west-2');
    assert.equal(aws.double.callsOf('AssumeRole').length, 1);
    assert.equal(aws.double.callsOf('AssumeRoleWithWebIdentity').length, 3);
  });

  it('keeps its session when the credentials of the program fail and are read again', async () => {
    await using aws = await startAwsTokensFixture(options, doubleOptions);
    delete process.env['AWS_ACCESS_KEY_ID'];
    delete process.env['AWS_SECRET_ACCESS_KEY'];
    await aws.tokens.get('payments', registry());
    assert.equal((await getTokenError(aws.tokens.get('team', registry()))).code, 'no-credentials');
    await aws.tokens.get('payments', registry('eu-west-2'));
    assert.equal(aws.double.callsOf('AssumeRoleWithWebIdentity').length, 1);
  });

  it('gets a new token of the ServiceAccount before its session expires', async () => {
    let requested = 0;
    const requestToken: typeof options.requestToken = async (...asked) => {
      requested += 1;
      return await options.requestToken(...asked);
    };
    await using aws = await startAwsTokensFixture({ ...options, requestToken }, doubleOptions);
    await aws.tokens.get('payments', registry());
    aws.pass(0.95 * hourMs);
    await aws.tokens.get('payments', registry('eu-west-2'));
    assert.equal(requested, 2);
  });
});
