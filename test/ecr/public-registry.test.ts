// The registry of Amazon ECR Public: its hosts, its tokens, and what it needs of IAM.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { unknownFacts } from '../../src/ecr/identity-facts.ts';
import { createIdentityResolver, type IdentityRule } from '../../src/ecr/identity-rules.ts';
import { createRegistryResolver, type Registry } from '../../src/ecr/registry.ts';
import { eventually } from '../support/eventually.ts';
import {
  assertNoSecretLeaked,
  getTokenError,
  hourMs,
  registry,
  startAwsTokensFixture,
} from './token-fixtures.ts';

/** For an endpoint that never responds. */
const shortTimeouts = { connectMs: 500, requestMs: 500 };

const resolvePublic = createRegistryResolver({ publicRegistry: true });

function publicRegistry(host = 'public.ecr.aws'): Registry {
  const found = resolvePublic(host);
  assert.ok(found);
  return found;
}

describe('the public registry', () => {
  it('is recognized under both names, with a port too, if it is enabled', () => {
    const parts = { kind: 'public', region: 'us-east-1', partition: 'aws', fips: false };
    assert.deepEqual(publicRegistry(), { ...parts, host: 'public.ecr.aws', dualStack: false });
    assert.deepEqual(publicRegistry('ecr-public.aws.com:443'), {
      ...parts,
      host: 'ecr-public.aws.com:443',
      dualStack: true,
    });
    for (const host of ['public.ecr.aws', 'ecr-public.aws.com']) {
      assert.equal(createRegistryResolver({})(host), undefined);
      assert.equal(createRegistryResolver({ publicRegistry: false })(host), undefined);
    }
  });

  for (const host of [
    'public.ecr.aws.evil.example',
    'x.public.ecr.aws',
    'public-ecr.aws',
    'Public.ecr.aws',
    'public.ecr.aws:0',
    'public.ecr.aws:65536',
    'ecr-public.aws',
    `${'a'.repeat(120)}public.ecr.aws`,
  ]) {
    it(`is not ${host}`, () => assert.equal(resolvePublic(host), undefined));
  }

  it('matches rules by region only, because it belongs to no account', () => {
    const roleArn = 'arn:aws:iam::123456789012:role/puller';
    const roleOf = (rule: Partial<IdentityRule>) => {
      const resolve = createIdentityResolver([{ roleArn, ...rule }], unknownFacts);
      const decision = resolve('team', publicRegistry());
      assert.ok(decision.access === 'allowed');
      return decision.identity.role?.roleArn;
    };
    assert.deepEqual([{}, { regions: ['us-*'] }, { regions: ['eu-*'] }, { accounts: ['*'] }].map(roleOf), [
      roleArn,
      roleArn,
      undefined,
      undefined,
    ]);
    assert.equal(roleOf({ roleArn: 'arn:aws:iam::{account}:role/puller' }), undefined);
  });
});

describe('the token of the public registry', () => {
  it('comes from the API of ECR Public in us-east-1, and not from that of the region', async () => {
    await using aws = await startAwsTokensFixture();
    const token = await aws.tokens.get('team', publicRegistry());
    const ofRegion = await aws.tokens.get('team', registry('us-east-1'));
    assert.deepEqual(
      aws.double.issued.map(({ service, region, auth }) => [service, region, auth]),
      [
        ['ecr-public', 'us-east-1', token.auth()],
        ['ecr', 'us-east-1', ofRegion.auth()],
      ],
    );
    assert.equal(token.expiresAt, Math.floor((aws.now() + 12 * hourMs) / 1000) * 1000);
    assert.equal(await aws.tokens.get('other', publicRegistry()), token);
    assert.match(aws.double.calls[0]?.userAgent ?? '', /ecr-pull-secrets/);
    assertNoSecretLeaked(aws.double, [aws.calls, aws.tokens.snapshot()]);
  });

  it('is fetched beside that of the region, so that neither waits for the other', async () => {
    await using aws = await startAwsTokensFixture({ getEndpointTrust: () => 'proven' });
    const gate = aws.double.hold();
    const both = [publicRegistry(), registry('us-east-1')].map((one) => aws.tokens.get('team', one));
    await eventually('both calls are in flight', () => gate.waiting === 2);
    gate.open();
    await Promise.all(both);
  });

  it('is fetched with the role of a rule', async () => {
    await using aws = await startAwsTokensFixture({
      rules: [{ regions: ['us-east-1'], roleArn: 'arn:aws:iam::210987654321:role/puller' }],
    });
    await aws.tokens.get('team', publicRegistry());
    assert.match(aws.double.issued[0]?.principal ?? '', /assumed-role\/puller/);
  });

  it('fails with an error that names both permissions, if they are missing', async () => {
    await using aws = await startAwsTokensFixture();
    aws.double.fail({ error: 'AccessDeniedException' });
    const denied = await getTokenError(aws.tokens.get('team', publicRegistry()));
    assert.deepEqual([denied.code, denied.permanent], ['AccessDeniedException', true]);
    assert.equal(
      denied.message,
      'No ECR token for us-east-1: AWS returned AccessDeniedException for arn:aws:iam::123456789012:user/example. ' +
        'Allow ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken on resource "*" for the identity in use, ' +
        'or set publicRegistry to false, so that images of ECR Public are pulled without a token.',
    );
    assertNoSecretLeaked(aws.double, denied);
    const ofRegion = await getTokenError(aws.tokens.get('team', registry('us-east-1')));
    assert.match(ofRegion.message, /Allow ecr:GetAuthorizationToken/);
  });

  for (const [fault, code] of [
    ['no-data', 'invalid-response'],
    ['not-json', 'invalid-response'],
    ['not-base64', 'invalid-response'],
    ['expired', 'invalid-response'],
    ['no-expiry', 'invalid-response'],
    ['hang', 'timeout'],
    ['reset', 'network'],
    [{ error: 'ServerException', status: 500 }, 'server-error'],
    [{ error: 'UnsupportedCommandException' }, 'UnsupportedCommandException'],
  ] as const) {
    it(`fails with ${code} for ${JSON.stringify(fault)}`, async () => {
      await using aws = await startAwsTokensFixture(fault === 'hang' ? { timeouts: shortTimeouts } : {});
      aws.double.fail(fault);
      const failure = await getTokenError(aws.tokens.get('team', publicRegistry()));
      assert.equal(failure.code, code);
      assertNoSecretLeaked(aws.double, failure);
    });
  }

  it('needs a client that is loaded only for it', async () => {
    const script = fileURLToPath(new URL('./lazy-client-process.ts', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [script]);
    assert.equal(stdout, '123456789012.dkr.ecr.us-east-1.amazonaws.com false\npublic.ecr.aws true\n');
  });
});
