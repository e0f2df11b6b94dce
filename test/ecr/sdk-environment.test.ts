// Tests that the program respects the SDK's own settings: endpoints, web identity, profiles and CAs.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { startTlsTerminator } from './tls-terminator.ts';
import { fetchTokensInChild, fetchTokensWithEnvironment } from './token-fetch.ts';

const host = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
const fips = '123456789012.dkr.ecr-fips.us-east-1.amazonaws.com';
const dualStack = '123456789012.dkr-ecr.us-east-1.on.aws';
const webRole = 'arn:aws:iam::123456789012:role/web';
const webSession = 'arn:aws:sts::123456789012:assumed-role/web/web';

describe('the SDK’s own environment', () => {
  let double: EcrDouble;
  let directory: string;

  before(async () => {
    double = await startEcrDouble();
    directory = await mkdtemp(join(tmpdir(), 'tokens-'));
  });

  after(async () => {
    await double.stop();
    await rm(directory, { recursive: true });
  });

  function withoutEndpoints(more: Record<string, string>): Record<string, string> {
    const { AWS_ENDPOINT_URL_ECR: _ecr, AWS_ENDPOINT_URL_STS: _sts, ...kept } = double.env();
    return { ...kept, ...more };
  }

  async function withWebIdentity(token: string): Promise<Record<string, string>> {
    const { AWS_ACCESS_KEY_ID: _id, AWS_SECRET_ACCESS_KEY: _secret, ...kept } = double.env();
    const file = join(directory, 'token');
    await writeFile(file, token);
    return {
      ...kept,
      AWS_ROLE_ARN: webRole,
      AWS_ROLE_SESSION_NAME: 'web',
      AWS_WEB_IDENTITY_TOKEN_FILE: file,
    };
  }

  it('sends FIPS and dual-stack hosts to an endpoint that is set for ECR', async () => {
    assert.deepEqual(await fetchTokensWithEnvironment(double.env(), [host, fips, dualStack]), [
      'token',
      'token',
      'token',
    ]);
  });

  it('sends them to an endpoint that is set for all services', async () => {
    const environment = withoutEndpoints({ AWS_ENDPOINT_URL: double.url });
    assert.deepEqual(await fetchTokensWithEnvironment(environment, [host, fips, dualStack]), [
      'token',
      'token',
      'token',
    ]);
  });

  it('sends them to an endpoint that is set in the profile', async () => {
    const file = join(directory, 'config');
    await writeFile(file, `[default]\nservices = s\n[services s]\necr =\n  endpoint_url = ${double.url}\n`);
    const environment = withoutEndpoints({ AWS_CONFIG_FILE: file });
    assert.deepEqual(await fetchTokensWithEnvironment(environment, [host, fips, dualStack]), [
      'token',
      'token',
      'token',
    ]);
  });

  it('provides a web identity, which is used once for all regions', async () => {
    const environment = await withWebIdentity('eyJexample.eyJexample.c2lnbmF0dXJl');
    assert.deepEqual(await fetchTokensWithEnvironment(environment, [host, fips]), ['token', 'token']);
    assert.equal(double.callsOf('AssumeRoleWithWebIdentity').length, 1);
    assert.deepEqual(
      double.issued.slice(-2).map(({ principal }) => principal),
      [webSession, webSession],
    );
  });

  it('assumes the role of a rule with the web identity', async () => {
    const environment = await withWebIdentity('eyJexample.eyJexample.c2lnbmF0dXJl');
    const rules = [{ roleArn: 'arn:aws:iam::210987654321:role/puller' }];
    assert.deepEqual(await fetchTokensWithEnvironment(environment, [host], rules), ['token']);
    assert.equal(double.callsOf('AssumeRole').at(-1)?.principal, webSession);
  });

  it('reports an invalid web identity, and a missing token file', async () => {
    const environment = await withWebIdentity('not a token');
    assert.deepEqual(await fetchTokensWithEnvironment(environment, [host]), [
      'InvalidIdentityTokenException',
    ]);
    const missing = { ...environment, AWS_WEB_IDENTITY_TOKEN_FILE: join(directory, 'nothing') };
    assert.deepEqual(await fetchTokensWithEnvironment(missing, [host]), ['no-credentials']);
  });

  it('reports an endpoint without a scheme in the profile as a permanent failure', async () => {
    const file = join(directory, 'config-without-scheme');
    await writeFile(file, '[default]\nendpoint_url = ecr.example.com\n');
    const environment = withoutEndpoints({ AWS_CONFIG_FILE: file });
    assert.deepEqual(await fetchTokensWithEnvironment(environment, [host]), ['invalid-endpoint-url']);
  });

  it('replaces the CAs for ECR and STS with AWS_CA_BUNDLE, or adds NODE_EXTRA_CA_CERTS', async () => {
    const front = await startTlsTerminator(double.url, ['localhost']);
    const other = await startTlsTerminator(double.url, ['localhost']);
    const rules = [{ roleArn: 'arn:aws:iam::210987654321:role/puller' }];
    const environment = withoutEndpoints({ AWS_ENDPOINT_URL: front.url });
    const fetchIn = async (more: Record<string, string>) => {
      const { results, written } = await fetchTokensInChild({ ...environment, ...more }, [host], rules);
      assert.equal(written, '');
      return results;
    };
    assert.deepEqual(await fetchIn({}), ['tls']);
    assert.deepEqual(await fetchIn({ AWS_CA_BUNDLE: front.caFile }), ['token']);
    assert.deepEqual(await fetchIn({ NODE_EXTRA_CA_CERTS: front.caFile }), ['token']);
    assert.deepEqual(await fetchIn({ NODE_EXTRA_CA_CERTS: front.caFile, AWS_CA_BUNDLE: other.caFile }), [
      'tls',
    ]);
    await Promise.all([front.stop(), other.stop()]);
  });

  it('works in a separate process, which writes no secret', async () => {
    const environment = { ...(await withWebIdentity('eyJexample.eyJexample.c2lnbmF0dXJl')), AWS_REGION: '' };
    const rules = [{ regions: ['eu-*'], roleArn: 'arn:aws:iam::210987654321:role/puller' }];
    const { results, written } = await fetchTokensInChild(environment, [host, fips], rules);
    assert.deepEqual(results, ['token', 'token']);
    assert.equal(written, '');
  });
});
