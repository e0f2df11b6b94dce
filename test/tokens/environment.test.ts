import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/double.ts';
import { askIn, askInChild } from './ask.ts';
import { type ConnectProxy, startConnectProxy } from './connect-proxy.ts';

const host = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
const fips = '123456789012.dkr.ecr-fips.us-east-1.amazonaws.com';
const dualStack = '123456789012.dkr-ecr.us-east-1.on.aws';
const webRole = 'arn:aws:iam::123456789012:role/web';
const webSession = 'arn:aws:sts::123456789012:assumed-role/web/web';

describe('the SDK’s own environment', () => {
  let double: EcrDouble;
  let proxy: ConnectProxy;
  let directory: string;

  before(async () => {
    double = await startEcrDouble();
    proxy = await startConnectProxy();
    directory = await mkdtemp(join(tmpdir(), 'tokens-'));
  });

  after(async () => {
    await double.stop();
    await proxy.stop();
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
    assert.deepEqual(await askIn(double.env(), [host, fips, dualStack]), ['token', 'token', 'token']);
  });

  it('sends them to an endpoint that is set for all services', async () => {
    const environment = withoutEndpoints({ AWS_ENDPOINT_URL: double.url });
    assert.deepEqual(await askIn(environment, [host, fips, dualStack]), ['token', 'token', 'token']);
  });

  it('sends them to an endpoint that is set in the profile', async () => {
    const file = join(directory, 'config');
    await writeFile(file, `[default]\nservices = s\n[services s]\necr =\n  endpoint_url = ${double.url}\n`);
    const environment = withoutEndpoints({ AWS_CONFIG_FILE: file });
    assert.deepEqual(await askIn(environment, [host, fips, dualStack]), ['token', 'token', 'token']);
  });

  it('gives it a web identity, once for all regions', async () => {
    const environment = await withWebIdentity('eyJexample.eyJexample.c2lnbmF0dXJl');
    assert.deepEqual(await askIn(environment, [host, fips]), ['token', 'token']);
    assert.equal(double.callsOf('AssumeRoleWithWebIdentity').length, 1);
    assert.deepEqual(
      double.issued.slice(-2).map(({ principal }) => principal),
      [webSession, webSession],
    );
  });

  it('chains a rule’s role to the web identity', async () => {
    const environment = await withWebIdentity('eyJexample.eyJexample.c2lnbmF0dXJl');
    const rules = [{ roleArn: 'arn:aws:iam::210987654321:role/puller' }];
    assert.deepEqual(await askIn(environment, [host], rules), ['token']);
    assert.equal(double.callsOf('AssumeRole').at(-1)?.principal, webSession);
  });

  it('tells a web identity that is none, and one whose file is not there', async () => {
    const environment = await withWebIdentity('not a token');
    assert.deepEqual(await askIn(environment, [host]), ['InvalidIdentityTokenException']);
    const missing = { ...environment, AWS_WEB_IDENTITY_TOKEN_FILE: join(directory, 'nothing') };
    assert.deepEqual(await askIn(missing, [host]), ['no-credentials']);
  });

  it('has it go through HTTP_PROXY, and past it for NO_PROXY', async () => {
    const { NO_PROXY: _upper, no_proxy: _lower, ...environment } = double.env();
    assert.deepEqual(await askIn({ ...environment, HTTP_PROXY: proxy.url }, [host]), ['token']);
    assert.deepEqual(proxy.passedOn, [`${double.url}/`]);
    assert.deepEqual(await askIn({ ...double.env(), HTTP_PROXY: proxy.url }, [host]), ['token']);
    assert.equal(proxy.passedOn.length, 1);
  });

  it('has it start with an unreadable proxy refused, without showing the password in it', async () => {
    const HTTPS_PROXY = 'http://user:canary0proxy0password@not a host:1';
    await assert.rejects(askIn({ ...double.env(), HTTPS_PROXY }, [host]), (error) => {
      assert.ok(error instanceof Error);
      assert.match(error.message, /HTTPS_PROXY/);
      return !`${error.stack}`.includes('canary');
    });
  });

  it('works in a process of its own, which writes nothing of a secret', async () => {
    const environment = { ...(await withWebIdentity('eyJexample.eyJexample.c2lnbmF0dXJl')), AWS_REGION: '' };
    const rules = [{ regions: ['eu-*'], roleArn: 'arn:aws:iam::210987654321:role/puller' }];
    const { results, written } = await askInChild(environment, [host, fips], rules);
    assert.deepEqual(results, ['token', 'token']);
    assert.equal(written, '');
  });
});
