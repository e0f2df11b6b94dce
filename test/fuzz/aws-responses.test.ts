// Random responses of Amazon ECR and AWS STS: statuses, headers, bodies, sizes, connection resets.
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe } from 'node:test';
import fc from 'fast-check';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { installServiceAccount } from '../support/installation.ts';
import { generateNonexistentRegions } from '../support/nonexistent-regions.ts';
import { startProgram } from '../support/program.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { buildPodReview } from '../webhook/admission-reviews.ts';
import { fuzz } from './fuzz-runner.ts';
import { FuzzTarget, host } from './fuzz-target.ts';
import { hostileText, mutate, placeholder } from './malformed-json.ts';

/** The response of AWS to one call. */
interface AwsResponse {
  /** `sts`: the program assumes a role, and AWS STS sends this response. */
  readonly service: 'ecr' | 'sts';
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** `cut`: the connection is reset after half of the body. */
  readonly end: 'whole' | 'cut' | 'no-length';
}

const inTwelveHours = Math.floor(Date.now() / 1000) + 12 * 3_600;
const goodToken = btoa(`AWS:${'t'.repeat(200)}`);
const role = 'arn:aws:iam::210987654321:role/pull';

const authorization = fc.record({
  authorizationData: fc.array(
    fc.record({
      authorizationToken: fc.oneof(
        { weight: 4, arbitrary: fc.constant(goodToken) },
        fc.constantFrom('', '====', btoa('AWS:'), btoa(`root:${placeholder}`), btoa(`AWS:a\n${placeholder}`)),
        fc.string().map((text) => btoa(`AWS:${Buffer.from(text).toString('latin1')}`)),
        fc.nat(40_000).map((length) => btoa(`AWS:${'x'.repeat(length)}`)),
      ),
      expiresAt: fc.oneof(
        { weight: 4, arbitrary: fc.constant(inTwelveHours) },
        fc.constantFrom(0, -1, 1e18, 0.5, -1e18, '2026', null, inTwelveHours + 1e6),
      ),
      proxyEndpoint: fc.constantFrom('https://x', '', placeholder),
    }),
    { maxLength: 2 },
  ),
});

const awsError = fc.record({
  __type: fc.oneof(
    fc.constantFrom(
      'AccessDeniedException',
      'ThrottlingException',
      'UnrecognizedClientException',
      placeholder,
    ),
    fc.constantFrom('com.amazonaws.ecr#ServerException', '__proto__', 'toString', 'n'.repeat(5_000)),
    fc.string({ maxLength: 10 }),
  ),
  message: fc.constantFrom('no', `arn:aws:sts::123456789012:assumed-role/${placeholder}`, placeholder),
});

const xml = fc
  .tuple(
    fc.constantFrom('AssumeRoleResponse', 'ErrorResponse', '__proto__', 'a:b'),
    fc.constantFrom('Code', 'Credentials', 'SessionToken', 'Error'),
    fc.oneof(fc.constantFrom('AccessDenied', placeholder, '&x;', '&#0;', '<![CDATA[', '<'), fc.string()),
  )
  .map(([outer, inner, text]) => `<${outer}><Error><${inner}>${text}</${inner}></Error></${outer}>`);

const responses: fc.Arbitrary<AwsResponse> = fc.record({
  service: fc.constantFrom('ecr', 'ecr', 'ecr', 'sts'),
  status: fc.oneof(
    fc.constantFrom(200, 200, 200, 400, 403, 429, 500, 503),
    fc.integer({ min: 200, max: 599 }),
  ),
  headers: fc.dictionary(
    fc.constantFrom(
      'content-type',
      'x-amzn-errortype',
      'x-amzn-requestid',
      'date',
      'retry-after',
      'location',
    ),
    fc.constantFrom(
      'application/x-amz-json-1.1',
      'text/html',
      'text/xml',
      placeholder,
      '-1',
      'Thu, 01 Jan 1970 00:00:00 GMT',
      'AccessDeniedException:http://x/',
    ),
    { maxKeys: 3 },
  ),
  body: fc.oneof(
    { weight: 4, arbitrary: mutate(authorization, 2) },
    { weight: 2, arbitrary: mutate(awsError, 1) },
    { weight: 2, arbitrary: xml },
    hostileText,
    fc.constantFrom('', '{', 'null', `<html>${placeholder}</html>`, '\u0000', ' '.repeat(300_000)),
  ),
  end: fc.constantFrom('whole', 'whole', 'whole', 'no-length', 'cut'),
});

describe('fuzzed responses of AWS', () => {
  let cluster: ApiStandIn;
  let aws: FakeAws;
  let target: FuzzTarget;
  let count = 0;
  before(async () => {
    cluster = await startApiStandIn();
    aws = await FakeAws.start();
    cluster.seed('/api/v1/namespaces/team-good', { metadata: { name: 'team-good' } });
    const kubeconfigPath = await installServiceAccount(cluster);
    const program = await startProgram({
      kubeconfigPath,
      environment: aws.environment(),
      config: {
        registries: [{ accounts: ['210987654321'], roleArn: role }],
        tokens: { requestTimeout: '1s', connectTimeout: '1s' },
      },
    });
    target = new FuzzTarget(program, () => ['fuzz0secret0access0key', goodToken.slice(0, 60)]);
  });
  after(async () => {
    target.close();
    await target.program.stop();
    await aws.stop();
    await cluster.stop();
  });

  fuzz({
    part: 'aws-responses',
    values: responses,
    check: async (response) => {
      count += 1;
      const namespace = `team-${count}`;
      cluster.seed(`/api/v1/namespaces/${namespace}`, { metadata: { name: namespace } });
      const [region = ''] = generateNonexistentRegions(1, count);
      const account = response.service === 'sts' ? '210987654321' : '123456789012';
      const requestedHost = host.replace('123456789012', account).replace('eu-central-1', region);
      aws.setResponse({
        ...response,
        body: target.plant(response.body),
        headers: plantInHeaders(response.headers, target),
      });
      try {
        await assertAdmits(target, namespace, requestedHost);
      } finally {
        aws.setResponse(undefined);
      }
      await assertStoresTokensOnly(cluster, namespace);
    },
    afterwards: async () => await target.assertCleanAfterwards(),
  });
});

function plantInHeaders(headers: AwsResponse['headers'], target: FuzzTarget): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, target.plant(value)]));
}

/** The pod gets its reference with any response of AWS, and its author sees at most a warning without credentials. */
async function assertAdmits(target: FuzzTarget, namespace: string, requestedHost: string): Promise<void> {
  const pod = { metadata: { name: 'app' }, spec: { containers: [{ image: `${requestedHost}/app:1` }] } };
  const { status, body } = await target.post(JSON.stringify(buildPodReview(pod, { namespace })));
  assert.equal(status, 200, body);
  const { allowed, patch, warnings = [] } = JSON.parse(body).response;
  assert.equal(allowed, true);
  assert.match(atob(patch), /"ecr-pull-secrets"/);
  for (const warning of warnings) {
    assert.match(warning, /^[\x20-\x7e]{1,120}$/);
  }
  target.assertShowsNothing('the warning', warnings.join('\n'));
}

/** A kubelet can use every token that was stored. */
async function assertStoresTokensOnly(cluster: ApiStandIn, namespace: string): Promise<void> {
  const secret = await readPullSecret(cluster, namespace);
  for (const { auth = '' } of Object.values(secret?.auths ?? {})) {
    assert.match(auth, /^[A-Za-z0-9+/]+={0,2}$/);
    assert.match(atob(auth), /^AWS:[\x21-\x7e]+$/);
  }
  for (const lifetime of Object.values(secret?.hosts ?? {})) {
    if (lifetime !== null) {
      assert.ok(Date.parse(lifetime.expiresAt) <= Date.now() + 12 * 3_600_000 + 60_000);
    }
  }
}

/** An HTTP server that sends the configured response, or by default a valid one. */
class FakeAws {
  readonly #server: Server;
  readonly #port: number;
  #response: AwsResponse | undefined;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.#port = port;
    server.on('request', (request, response) => this.#handle(request, response));
  }

  static async start(): Promise<FakeAws> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new FakeAws(server, (server.address() as AddressInfo).port);
  }

  environment(): Record<string, string> {
    const url = `http://127.0.0.1:${this.#port}`;
    return {
      AWS_ENDPOINT_URL_ECR: url,
      AWS_ENDPOINT_URL_STS: url,
      AWS_ACCESS_KEY_ID: 'FUZZEXAMPLE000000000',
      AWS_SECRET_ACCESS_KEY: 'fuzz0secret0access0key',
      AWS_REGION: 'us-east-1',
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
      AWS_EC2_METADATA_DISABLED: 'true',
      // Without retries, because most of the time would be spent on the SDK's backoff.
      AWS_MAX_ATTEMPTS: '1',
      NO_PROXY: '127.0.0.1',
    };
  }

  setResponse(response: AwsResponse | undefined): void {
    this.#response = response;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    const toEcr = request.headers['x-amz-target'] !== undefined;
    const configured = this.#response;
    if (configured === undefined || (configured.service === 'ecr') !== toEcr) {
      const data = { authorizationToken: goodToken, expiresAt: inTwelveHours, proxyEndpoint: 'https://x' };
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' });
      response.end(JSON.stringify({ authorizationData: [data] }));
      return;
    }
    const { status, headers, body, end } = configured;
    const length = end === 'no-length' ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    response.writeHead(status, { ...headers, ...length });
    if (end === 'cut') {
      response.write(body.slice(0, body.length / 2), () => request.socket.resetAndDestroy());
    } else {
      response.end(body);
    }
  }
}
