// Hosts of the operator that stand for private registries: how they are recognized, and which API issues their tokens.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  createRegistryResolver,
  getEndpointId,
  type HostMapping,
  type Registry,
} from '../../src/ecr/registry.ts';
import { startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { registryOfHost } from '../support/registries.ts';
import { getTokenError, registry, startAwsTokensFixture } from './token-fixtures.ts';

const mapping = { account: '123456789012', region: 'eu-west-1' };

/** The registry of a configured host. */
function mapped(host: string, more: Partial<HostMapping> = {}): Registry {
  const found = createRegistryResolver({ hosts: { [host]: { ...mapping, ...more } } })(host);
  assert.ok(found);
  return found;
}

describe('a configured host', () => {
  it('is a registry of its account and region, under its own name and port', () => {
    const resolve = createRegistryResolver({
      hosts: { 'registry.example.com:5000': { account: '210987654321', region: 'cn-north-1' } },
    });
    assert.deepEqual(resolve('registry.example.com:5000'), {
      kind: 'private',
      host: 'registry.example.com:5000',
      account: '210987654321',
      region: 'cn-north-1',
      partition: 'aws-cn',
      fips: false,
      dualStack: false,
    });
    for (const other of ['registry.example.com', 'registry.example.com:443', 'x.registry.example.com:5000']) {
      assert.equal(resolve(other), undefined);
    }
  });

  it('is none without configuration, and none by the name of a property of every object', () => {
    assert.equal(createRegistryResolver({})('registry.example.com'), undefined);
    for (const name of ['constructor', '__proto__', 'toString']) {
      assert.equal(createRegistryResolver({ hosts: {} })(name), undefined);
    }
  });

  it('leaves the host names of ECR as they are', () => {
    const host = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
    const resolve = createRegistryResolver({ hosts: { 'registry.example.com': mapping } });
    assert.deepEqual(resolve(host), registryOfHost(host));
  });

  it('gives the host name of ECR another endpoint, and keeps what the name says', () => {
    const host = '123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com';
    const endpoint = 'https://vpce-1.api.ecr.eu-west-1.vpce.amazonaws.com';
    assert.deepEqual(mapped(host, { endpoint }), { ...registryOfHost(host), endpoint: `${endpoint}/` });
  });

  it('has one endpoint, however its URL is written', () => {
    const ids = ['https://API.example.com', 'https://api.example.com:443/'].map((endpoint) =>
      getEndpointId(mapped('registry.example.com', { endpoint })),
    );
    assert.equal(ids[0], ids[1]);
  });
});

describe('the token of a configured host', () => {
  it('is that of the region, without another call', async () => {
    await using aws = await startAwsTokensFixture();
    const token = await aws.tokens.get('team', registry('eu-west-1'));
    assert.equal(await aws.tokens.get('team', mapped('registry.example.com')), token);
    assert.equal(await aws.tokens.get('team', mapped('localhost:5000', { account: '210987654321' })), token);
    assert.equal(aws.countTokenCalls(), 1);
  });

  it('is that of the endpoint, which also replaces the endpoint of the environment', async () => {
    await using aws = await startAwsTokensFixture();
    const local = await startEcrDouble({ canary: 'local0canary' });
    Object.assign(process.env, { AWS_USE_FIPS_ENDPOINT: 'true', AWS_USE_DUALSTACK_ENDPOINT: 'false' });
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = local.env();
    Object.assign(process.env, { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY });
    const ofLocal = mapped('registry.example.com:5000', { endpoint: local.url });
    const token = await aws.tokens.get('team', ofLocal);
    assert.equal(token.auth(), local.issued[0]?.auth);
    assert.deepEqual(
      local.calls.map(({ host, region, service }) => [`http://${host}`, region, service]),
      [[local.url, 'eu-west-1', 'ecr']],
    );
    assert.equal(aws.double.calls.length, 0);
    const second = mapped('other.example.com', { endpoint: `${local.url}/` });
    assert.equal(
      await aws.tokens.get('team', second),
      token,
      'hosts with one endpoint and region share the token',
    );
    await aws.tokens.get('team', mapped('third.example.com', { region: 'eu-west-2', endpoint: local.url }));
    assert.deepEqual(
      local.calls.map(({ region }) => region),
      ['eu-west-1', 'eu-west-2'],
    );
    await local.stop();
  });

  it('uses the path of the endpoint', async () => {
    await using aws = await startAwsTokensFixture();
    const local = await startEcrDouble();
    const { code } = await getTokenError(
      aws.tokens.get('team', mapped('registry.example.com', { endpoint: `${local.url}/ecr` })),
    );
    // the double verifies signatures for the path / only
    assert.equal(code, 'InvalidSignatureException');
    await local.stop();
  });

  it('does not delay the tokens of the region while the endpoint does not respond', async () => {
    await using aws = await startAwsTokensFixture({ getEndpointTrust: () => 'proven' });
    const local = await startEcrDouble();
    const gate = local.hold();
    const hanging = aws.tokens.get('team', mapped('registry.example.com', { endpoint: local.url }));
    await eventually('the call of the endpoint hangs', () => gate.waiting === 1);
    await aws.tokens.get('team', registry('eu-west-1'));
    gate.open();
    await hanging;
    await local.stop();
  });

  it('fails with an error that names the endpoint', async () => {
    await using aws = await startAwsTokensFixture();
    const local = await startEcrDouble();
    await local.stop();
    const refused = await getTokenError(
      aws.tokens.get('team', mapped('registry.example.com', { endpoint: local.url })),
    );
    assert.equal(
      refused.message,
      `No ECR token for eu-west-1: network error (ECONNREFUSED). Check the endpoint ${local.url}/ in hosts, and the network to it.`,
    );
    assert.deepEqual([refused.code, refused.permanent], ['network', false]);
  });

  it('fails with the ordinary error if the credentials cannot be fetched', async () => {
    const roleArn = 'arn:aws:iam::210987654321:role/puller';
    await using aws = await startAwsTokensFixture({ rules: [{ roleArn }] });
    aws.double.fail('reset', { operation: 'AssumeRole' });
    const { message } = await getTokenError(
      aws.tokens.get('team', mapped('registry.example.com', { endpoint: 'http://127.0.0.1:9' })),
    );
    assert.match(message, /Check DNS and network connectivity to AWS\.$/);
  });

  it('is fetched by the identity of the rules, by the account and region of the host', async () => {
    const roleArn = 'arn:aws:iam::210987654321:role/puller';
    await using aws = await startAwsTokensFixture({
      rules: [{ accounts: ['210987654321'], regions: ['eu-west-1'], roleArn }],
    });
    await aws.tokens.get('team', mapped('a.example.com', { account: '210987654321' }));
    await aws.tokens.get('team', mapped('b.example.com'));
    assert.deepEqual(
      aws.double.issued.map(({ principal }) => /assumed-role|user/.exec(principal)?.[0]),
      ['assumed-role', 'user'],
    );
  });
});
