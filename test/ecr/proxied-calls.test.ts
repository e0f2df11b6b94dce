// Tests which proxy AWS calls use, and what is reported if that proxy fails.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { type ConnectProxy, type ConnectProxyOptions, startConnectProxy } from './connect-proxy.ts';
import { startTlsTerminator, type TlsTerminator } from './tls-terminator.ts';
import { fetchTokensInChild, fetchTokensWithEnvironment } from './token-fetch.ts';
import {
  type AwsTokensFixture,
  assertNoSecretLeaked,
  getTokenError,
  registry,
  startAwsTokensFixture,
} from './token-fixtures.ts';

const host = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
const ecrName = 'api.ecr.eu-west-1.amazonaws.com';
const stsName = 'sts.us-east-1.amazonaws.com';
const rule = { roleArn: 'arn:aws:iam::210987654321:role/puller' };

describe('calls of AWS through a proxy', () => {
  let double: EcrDouble;
  let front: TlsTerminator;

  before(async () => {
    double = await startEcrDouble();
    front = await startTlsTerminator(double.url, [ecrName, stsName]);
  });

  after(async () => {
    await front.stop();
    await double.stop();
  });

  /** AWS's own endpoints, and no proxy. */
  function ownEndpoints(more: Record<string, string>): Record<string, string> {
    const {
      AWS_ENDPOINT_URL_ECR: _ecr,
      AWS_ENDPOINT_URL_STS: _sts,
      NO_PROXY: _upper,
      no_proxy: _lower,
      ...kept
    } = double.env();
    return { ...kept, ...more };
  }

  /** The double at an address that is no loopback address to the program, yet reaches this machine. */
  function elsewhere(more: Record<string, string>): Record<string, string> {
    return ownEndpoints({ AWS_ENDPOINT_URL_ECR: double.url.replace('127.0.0.1', '0.0.0.0'), ...more });
  }

  it('use its tunnel to ECR and STS with the password of its URL, also if the URL has no scheme', async (t) => {
    const proxy = await proxyFor(t, { to: front.url, authenticates: true });
    const environment = ownEndpoints({
      HTTPS_PROXY: proxy.url.replace('http://', ''),
      AWS_CA_BUNDLE: front.caFile,
    });
    assert.deepEqual(await fetchTokensWithEnvironment(environment, [host], [rule]), ['token']);
    assert.deepEqual(proxy.tunnels, [`${stsName}:443`, `${ecrName}:443`]);
  });

  it('use an HTTPS proxy whose CA is in NODE_EXTRA_CA_CERTS', async (t) => {
    const proxy = await proxyFor(t, { to: front.url, authenticates: true });
    const proxyFront = await startTlsTerminator(`http://127.0.0.1:${proxy.port}`, ['localhost']);
    t.after(() => proxyFront.stop());
    const environment = ownEndpoints({
      HTTPS_PROXY: proxy.url.replace(/^http:(.*):\d+$/, `https:$1:${new URL(proxyFront.url).port}`),
      AWS_CA_BUNDLE: front.caFile,
    });
    assert.deepEqual((await fetchTokensInChild(environment, [host], [])).results, ['tls']);
    const trusting = { ...environment, NODE_EXTRA_CA_CERTS: proxyFront.caFile };
    assert.deepEqual((await fetchTokensInChild(trusting, [host], [])).results, ['token']);
    assert.deepEqual(proxy.tunnels, [`${ecrName}:443`]);
  });

  it('use the proxy of ALL_PROXY', async (t) => {
    const proxy = await proxyFor(t, { to: front.url });
    const environment = ownEndpoints({ all_proxy: proxy.url, AWS_CA_BUNDLE: front.caFile });
    assert.deepEqual(await fetchTokensWithEnvironment(environment, [host]), ['token']);
    assert.deepEqual(proxy.tunnels, [`${ecrName}:443`]);
  });

  it('use HTTP_PROXY for an http endpoint, and no proxy for a loopback endpoint', async (t) => {
    const proxy = await proxyFor(t, {});
    const environment = elsewhere({ HTTP_PROXY: proxy.url });
    assert.deepEqual(await fetchTokensWithEnvironment(environment, [host]), ['token']);
    assert.deepEqual(proxy.forwarded, [`${environment['AWS_ENDPOINT_URL_ECR']}/`]);
    const loopback = { ...environment, AWS_ENDPOINT_URL_ECR: double.url };
    assert.deepEqual(await fetchTokensWithEnvironment(loopback, [host]), ['token']);
    assert.equal(proxy.forwarded.length, 1);
  });

  it('use no proxy if NO_PROXY names a network that contains the endpoint, or a parent domain', async (t) => {
    const proxy = await proxyFor(t, {});
    assert.deepEqual(
      await fetchTokensWithEnvironment(elsewhere({ HTTP_PROXY: proxy.url, NO_PROXY: '0.0.0.0/8' }), [host]),
      ['token'],
    );
    const internal = ownEndpoints({
      AWS_ENDPOINT_URL_ECR: 'https://ecr.internal.invalid',
      HTTPS_PROXY: proxy.url,
      AWS_MAX_ATTEMPTS: '1',
    });
    assert.deepEqual(await fetchTokensWithEnvironment(internal, [host]), ['proxy']);
    assert.deepEqual(proxy.tunnels, ['ecr.internal.invalid:443']);
    const [direct] = await fetchTokensWithEnvironment({ ...internal, NO_PROXY: 'internal.invalid' }, [host]);
    assert.match(`${direct}`, /^(network|timeout)$/);
    assert.deepEqual([proxy.tunnels.length, proxy.forwarded.length], [1, 0]);
  });

  it('include those of IAM Identity Center, but not those of the node metadata', async (t) => {
    const proxy = await proxyFor(t, {});
    const home = await mkdtemp(join(tmpdir(), 'sso-'));
    t.after(() => rm(home, { recursive: true }));
    const startUrl = 'https://example.awsapps.com/start';
    const cache = join(home, '.aws/sso/cache');
    await mkdir(cache, { recursive: true });
    const token = { accessToken: 'example', expiresAt: new Date(Date.now() + 3_600_000).toISOString() };
    const cacheFile = `${createHash('sha1').update(startUrl).digest('hex')}.json`;
    await writeFile(join(cache, cacheFile), JSON.stringify(token));
    const lines = [
      '[default]',
      `sso_start_url = ${startUrl}`,
      'sso_region = eu-west-1',
      'sso_account_id = 123456789012',
      'sso_role_name = puller',
    ];
    await writeFile(join(home, 'config'), lines.join('\n'));
    const { AWS_ACCESS_KEY_ID: _id, AWS_SECRET_ACCESS_KEY: _secret, ...rest } = ownEndpoints({});
    const environment = { ...rest, HOME: home, HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url };
    await fetchTokensWithEnvironment({ ...environment, AWS_CONFIG_FILE: join(home, 'config') }, [host]);
    assert.equal(proxy.tunnels[0], 'portal.sso.eu-west-1.amazonaws.com:443');

    const called: string[] = [];
    const metadata = createServer(({ url }, response) => {
      called.push(`${url}`);
      response.writeHead(404).end();
    });
    t.after(() => metadata.close());
    await new Promise<void>((resolve) => metadata.listen(0, '127.0.0.1', resolve));
    const { port } = metadata.address() as AddressInfo;
    const endpoint = `http://0.0.0.0:${port}`;
    const ofNode = {
      ...environment,
      AWS_EC2_METADATA_DISABLED: 'false',
      AWS_EC2_METADATA_SERVICE_ENDPOINT: endpoint,
    };
    await fetchTokensWithEnvironment(ofNode, [host]);
    assert.ok(called.length > 0, 'the metadata service is called directly');
    assert.deepEqual(proxy.forwarded, []);
  });

  describe('a failure of the proxy', () => {
    async function through(
      url: string,
      scheme: 'http' | 'https',
      connectMs = 60_000,
    ): Promise<AwsTokensFixture> {
      const variable = scheme === 'https' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
      const aws = await startAwsTokensFixture({
        timeouts: { connectMs, requestMs: 60_000 },
        environment: { [variable]: url },
      });
      delete process.env['AWS_ENDPOINT_URL_ECR'];
      if (scheme === 'http') {
        process.env['AWS_ENDPOINT_URL_ECR'] = 'http://ecr.internal.invalid';
      }
      return aws;
    }

    for (const scheme of ['http', 'https'] as const) {
      const variable = scheme === 'https' ? 'HTTPS_PROXY' : 'HTTP_PROXY';

      it(`is permanent and names ${variable} if a password is missing`, async (t) => {
        const proxy = await proxyFor(t, { to: front.url, authenticates: true });
        await using aws = await through(proxy.url.replace('password', 'wrong'), scheme);
        const failure = await getTokenError(aws.tokens.get('team', registry()));
        assert.deepEqual([failure.code, failure.permanent], ['proxy-authentication', true]);
        assert.equal(failure.shortCause, 'proxy login failed (permanent)');
        assert.match(
          failure.message,
          new RegExp(
            `Check the user name and password of the proxy in ${variable} \\(http://127.0.0.1:\\d+\\)\\.$`,
          ),
        );
        assertShowsNoProxy(failure, aws);
      });

      it(`names ${variable} if the proxy does not listen`, async (t) => {
        const proxy = await proxyFor(t, {});
        await proxy.stop();
        await using aws = await through(proxy.url, scheme);
        const failure = await getTokenError(aws.tokens.get('team', registry()));
        assert.deepEqual([failure.code, failure.permanent], ['proxy', false]);
        assert.equal(failure.shortCause, 'proxy error (ECONNREFUSED)');
        assert.match(
          failure.message,
          new RegExp(`Check the proxy in ${variable} \\(http://127.0.0.1:\\d+\\), or add`),
        );
        assertShowsNoProxy(failure, aws);
      });
    }

    it('names HTTPS_PROXY if the tunnel never opens', async (t) => {
      const proxy = await proxyFor(t, { hangs: true });
      await using aws = await through(proxy.url, 'https', 300);
      const failure = await getTokenError(aws.tokens.get('team', registry()));
      assert.deepEqual([failure.code, failure.permanent], ['proxy', false]);
      assert.match(failure.message, /Check the proxy in HTTPS_PROXY/);
      assertShowsNoProxy(failure, aws);
    });

    it('leaves no connection open if the tunnel never opens', async (t) => {
      const proxy = await proxyFor(t, { hangs: true });
      await using aws = await through(proxy.url, 'https', 300);
      await getTokenError(aws.tokens.get('team', registry()));
      assert.deepEqual(proxy.tunnels, [`${ecrName}:443`]);
      // Node's own agent closes it after its `timeout`, 20 s
      await eventually('the connection is closed', async () => proxy.open() === 0);
    });

    it('adds no listeners for a response in very many parts', async (t) => {
      const warnings: string[] = [];
      const note = ({ name }: Error) => void warnings.push(name);
      process.on('warning', note);
      t.after(() => process.off('warning', note));
      const proxy = await proxyFor(t, { responds: (socket) => void respondInParts(socket, 60) });
      await using aws = await through(proxy.url, 'https', 10_000);
      const failure = await getTokenError(aws.tokens.get('team', registry()));
      assert.deepEqual([failure.code, failure.permanent], ['proxy', false]);
      assert.deepEqual(warnings, []); // MaxListenersExceededWarning; the number doubles until the process ends
    });

    it('names HTTPS_PROXY if the response never ends', async (t) => {
      const proxy = await proxyFor(t, { responds: respondEndlessly });
      await using aws = await through(proxy.url, 'https');
      const failure = await getTokenError(aws.tokens.get('team', registry()));
      assert.deepEqual([failure.code, failure.permanent], ['proxy', false]);
      assert.match(failure.message, /Check the proxy in HTTPS_PROXY/);
      await eventually('the connection is closed', async () => proxy.open() === 0);
    });
  });
});

/** Refuses a tunnel, in so many parts that each arrive alone. */
async function respondInParts(socket: Duplex, parts: number): Promise<void> {
  socket.write('HTTP/1.1 502 Bad Gateway\r\n');
  for (let part = 0; part < parts && !socket.destroyed; part += 1) {
    await sleep(2);
    socket.write(`X-Part: ${part}\r\n`);
  }
  socket.end('\r\n');
}

function respondEndlessly(socket: Duplex): void {
  socket.write('HTTP/1.1 200 OK\r\nX-Header: ');
  const writeMore = () => {
    while (!socket.destroyed && socket.write('x'.repeat(4_096))) {}
  };
  socket.on('drain', writeMore);
  writeMore();
}

/** Starts a proxy that stops with the test. */
async function proxyFor(
  t: { after(stop: () => Promise<void>): void },
  options: ConnectProxyOptions,
): Promise<ConnectProxy> {
  const proxy = await startConnectProxy(options);
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= proxy.stop();
    return stopped;
  };
  t.after(stop);
  return { ...proxy, stop };
}

function assertShowsNoProxy(failure: Error, { double }: AwsTokensFixture): void {
  assertNoSecretLeaked(double, failure);
  assert.ok(!`${failure.stack}`.includes('canary0proxy'));
}
