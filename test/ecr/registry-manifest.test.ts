// Tests the request for an image's manifest against a real registry behind ECR's hosts, which require a valid token.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { inspect } from 'node:util';
import { parseImageReference } from '../../src/ecr/image-reference.ts';
import { createRegistryResolver } from '../../src/ecr/registry.ts';
import { checkManifest, type ManifestRequest } from '../../src/ecr/registry-manifest.ts';
import { denyPull, type EcrHosts, type InterceptedResponse, startEcrHosts } from '../pull/ecr-hosts.ts';
import { type Registry, startRegistry } from '../pull/local-registry.ts';
import { findPullTestObstacle } from '../pull/pull-tools.ts';
import { declareUnless } from '../support/required-tools.ts';
import { type AwsTokensFixture, startAwsTokensFixture } from './token-fixtures.ts';

const frankfurt = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const ireland = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
const publicHost = 'public.ecr.aws';
const resolveRegistry = createRegistryResolver({ publicRegistry: true });
const name = 'the manifest of an image';

declareUnless(findPullTestObstacle(process.env), name, () => describe(name, suite));

function suite(): void {
  let aws: AwsTokensFixture;
  let storage: Registry;
  let hosts: EcrHosts;
  let folder: string;
  let intercept: (request: IncomingMessage) => InterceptedResponse | undefined;
  const requests: string[] = [];

  before(async () => {
    aws = await startAwsTokensFixture();
    storage = await startRegistry();
    await storage.push('cart', '1');
    await storage.pushIndex('shop/cart', '1', ['linux/amd64', 'linux/arm/v7', 'unknown/unknown']);
    hosts = await startEcrHosts({
      ecr: aws.double,
      regions: ['eu-central-1', 'eu-west-1'],
      otherHosts: { [publicHost]: { service: 'ecr-public', region: 'us-east-1' } },
      socketPath: storage.socketPath,
      intercept: (request) => {
        requests.push(`${request.method} ${request.url}`);
        return intercept(request);
      },
    });
    folder = await mkdtemp(join(tmpdir(), 'manifest-'));
    await writeFile(join(folder, 'ca.crt'), hosts.caPem);
  });
  beforeEach(() => {
    intercept = () => undefined;
    requests.length = 0;
  });
  after(async () => {
    await hosts?.stop();
    await storage?.stop();
    await rm(folder, { recursive: true });
    await aws[Symbol.asyncDispose]();
  });

  function registryOfHost(host: string) {
    const registry = resolveRegistry(host);
    assert.ok(registry);
    return registry;
  }

  async function fetchAuth(host: string): Promise<string> {
    return (await aws.tokens.get('shop', registryOfHost(host))).auth();
  }

  async function check(image: string, options: Partial<ManifestRequest> = {}) {
    const parsed = parseImageReference(image);
    assert.ok(typeof parsed === 'object');
    const result = await checkManifest({
      image: parsed,
      registry: registryOfHost(parsed.host),
      platform: undefined,
      auth: options.auth ?? (await fetchAuth(parsed.host)),
      environment: { HTTPS_PROXY: hosts.proxyUrl, AWS_CA_BUNDLE: join(folder, 'ca.crt') },
      timeouts: { connectMs: 10_000, requestMs: 20_000 },
      signal: AbortSignal.timeout(60_000),
      ...options,
    });
    const shown = inspect(result, { depth: 9 });
    assert.ok(aws.double.secrets().every((secret) => !shown.includes(secret)));
    return result;
  }

  it('is found with one request, by tag and by digest', async () => {
    const found = await check(`${frankfurt}/cart:1`);
    assert.ok(found.outcome === 'found' && found.digest !== undefined);
    assert.deepEqual(requests, ['HEAD /v2/cart/manifests/1']);
    assert.equal((await check(`${frankfurt}/cart@${found.digest}`)).outcome, 'found');
  });

  it('is found in the public registry, which exchanges the token for another', async () => {
    assert.equal((await check(`${publicHost}/cart:1`)).outcome, 'found');
  });

  it('is not found: tag and repository are told apart', async () => {
    assert.equal((await check(`${frankfurt}/cart:2`)).outcome, 'manifest-unknown');
    // docker-registry knows no repositories without images, so this is the response of ECR
    const body = JSON.stringify({ errors: [{ code: 'NAME_UNKNOWN', message: 'does not exist' }] });
    intercept = () => ({ status: 404, body });
    assert.equal((await check(`${frankfurt}/none:1`)).outcome, 'repository-unknown');
  });

  it('is refused with the token of another region, without one, and with an expired one', async () => {
    const wrong = await fetchAuth(ireland);
    assert.equal((await check(`${frankfurt}/cart:1`, { auth: wrong })).outcome, 'unauthorized');
    const none = Buffer.from('AWS:none').toString('base64');
    assert.equal((await check(`${frankfurt}/cart:1`, { auth: none })).outcome, 'unauthorized');
    const auth = await fetchAuth(frankfurt);
    aws.double.step(86_400_000);
    const expired = await check(`${frankfurt}/cart:1`, { auth });
    aws.double.step(-86_400_000);
    assert.equal(expired.outcome, 'expired-token');
  });

  it('is refused by IAM, with the facts of the message', async () => {
    const message =
      'User: arn:aws:iam::111122223333:user/puller is not authorized to perform: ecr:BatchGetImage on resource: ' +
      'arn:aws:ecr:eu-central-1:123456789012:repository/cart because no resource-based policy allows the ecr:BatchGetImage action';
    intercept = () => denyPull(message);
    assert.deepEqual(await check(`${frankfurt}/cart:1`), {
      outcome: 'denied',
      principal: 'arn:aws:iam::111122223333:user/puller',
      action: 'ecr:BatchGetImage',
      policy: 'resource-based policy',
      isExplicit: false,
    });
  });

  it('is compared with the platform that is needed', async () => {
    const image = `${frankfurt}/shop/cart:1`;
    const matching = await check(image, { platform: 'linux/arm' });
    assert.deepEqual(matching.outcome === 'found' && [matching.hasPlatform, matching.platforms], [
      true,
      ['linux/amd64', 'linux/arm/v7'],
    ]);
    const missing = await check(image, { platform: 'linux/arm64' });
    assert.equal(missing.outcome === 'found' && missing.hasPlatform, false);
    const single = await check(`${frankfurt}/cart:1`, { platform: 'linux/arm64' });
    assert.equal(single.outcome === 'found' && single.hasPlatform, undefined);
  });

  it('is not said to lack a platform if the registry does not return the list of platforms', async () => {
    intercept = ({ method }) => (method === 'GET' ? { status: 429 } : undefined);
    const result = await check(`${frankfurt}/shop/cart:1`, { platform: 'linux/amd64' });
    assert.equal(result.outcome, 'throttled');
  });

  it('is not fetched from another host', async () => {
    intercept = () => ({ status: 307, headers: { location: `https://${ireland}/v2/cart/manifests/1` } });
    assert.equal((await check(`${frankfurt}/cart:1`)).outcome, 'redirected');
    const challenge = `Bearer realm="https://${ireland}/token/",service="x"`;
    intercept = () => ({ status: 401, headers: { 'www-authenticate': challenge } });
    assert.equal((await check(`${frankfurt}/cart:1`)).outcome, 'unauthorized');
    assert.deepEqual(new Set(requests), new Set(['HEAD /v2/cart/manifests/1', 'GET /v2/cart/manifests/1']));
  });

  it('is not read if it is larger than any manifest', async () => {
    const body = 'x'.repeat(2 * 1024 * 1024);
    intercept = ({ method }) => (method === 'GET' ? { status: 404, body } : { status: 404 });
    const result = await check(`${frankfurt}/cart:1`);
    assert.equal(result.outcome === 'unreachable' && result.failure.code, 'invalid-response');
  });

  it('is not reached through a proxy that refuses, without a proxy that responds, or in time', async () => {
    const codes: string[] = [];
    for (const options of [
      {
        environment: { HTTPS_PROXY: hosts.proxyUrl, AWS_CA_BUNDLE: join(folder, 'ca.crt') },
        host: 'x.example',
      },
      { environment: { HTTPS_PROXY: 'http://127.0.0.1:1' }, host: frankfurt },
      { signal: AbortSignal.abort(), environment: {}, host: frankfurt },
    ]) {
      const { host, ...given } = options;
      const image = { host, repository: 'cart', reference: '1' };
      const result = await check(`${frankfurt}/cart:1`, { ...given, image });
      codes.push(result.outcome === 'unreachable' ? result.failure.code : result.outcome);
    }
    assert.deepEqual(codes, ['proxy', 'proxy', 'timeout']);
  });
}
