// A double of Amazon ECR and AWS STS on loopback HTTP, in this process.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Aws, type Call, Calls } from './aws.ts';
import { type Key, readRequest } from './aws-requests.ts';
import type { IssuedPassword } from './aws-responses.ts';
import { EcrFaults, type Fault, type FaultScope, type Gate } from './ecr-faults.ts';
import type { OidcProvider, RoleTrust } from './sts-sessions.ts';

export interface EcrDoubleOptions {
  /** Text that every secret of the double contains, which must never appear in any output. */
  readonly canary?: string;
  /** Lifetime of tokens in ms; 12 hours by default, as in ECR. */
  readonly tokenLifetimeMs?: number;
  /** Lifetime of sessions of roles in ms; one hour by default. */
  readonly sessionLifetimeMs?: number;
  /** Roles by ARN that can be assumed; all by default. */
  readonly roles?: Readonly<Record<string, RoleTrust>>;
  /**
   * OIDC providers by issuer, for AssumeRoleWithWebIdentity; by default, every text with the form of a token is accepted for
   * every role. Like `roles`, it is read at each call, so that a test can change it.
   */
  readonly oidcProviders?: Readonly<Record<string, OidcProvider>>;
  /** The double's clock in ms; the wall clock by default. */
  readonly now?: () => number;
  /** Whether the double refuses requests that were signed 15 minutes too early or too late, as AWS does; false by default. */
  readonly verifiesDates?: boolean;
  /** The time in the header `Date` of responses, in ms; the wall clock by default, whatever the double's clock says. */
  readonly responseDate?: () => number;
  /** Receives each call when it arrives. */
  readonly onCall?: (call: Call) => void;
  /** Where it listens; a free loopback port by default. */
  readonly listen?: { readonly host: string; readonly port: number };
}

/** An HTTP server with the protocols of ECR and STS, for the real AWS SDK. */
export interface EcrDouble {
  readonly url: string;
  /** Environment variables that make an SDK in this or another process call only the double. */
  env(): Record<string, string>;
  /** Calls in order of arrival; `peak` is the max number of concurrent GetAuthorizationToken calls of an identity and region. */
  readonly calls: readonly Call[];
  callsOf(operation: string): readonly Call[];
  readonly peak: number;
  /** Issued tokens, the oldest first. */
  readonly issued: readonly IssuedPassword[];
  /** The token with a password or `auth`, with the identity that fetched it. */
  findIssued(secret: string): IssuedPassword | undefined;
  /** Creates the access key of another user, by its ARN. */
  createUser(principal: string): Pick<Key, 'accessKeyId' | 'secretAccessKey'>;
  /** Environment variables with the temporary key of a role, which expired some ms ago. */
  expiredEnv(roleArn: string, agoMs: number): Record<string, string>;
  /** Whether a registry would accept the password now. */
  isUnexpired(password: string): boolean;
  /** Fragments of all secrets of the double. None may appear in a log, an error or a metric. */
  secrets(): string[];
  /** Makes requests fail until `heal` is called. */
  fail(fault: Fault, where?: FaultScope): void;
  heal(): void;
  /** Makes requests wait until the gate is opened. */
  hold(where?: FaultScope): Gate;
  /** Moves the double's clock by some ms, forward or back. */
  step(ms: number): void;
  stop(): Promise<void>;
}

/** Starts the double, on a free loopback port by default. */
export async function startEcrDouble(options: EcrDoubleOptions = {}): Promise<EcrDouble> {
  const canary = options.canary ?? 'canary0ecr0secret0';
  const clock = options.now ?? Date.now;
  let steppedMs = 0;
  const now = () => clock() + steppedMs;
  const aws = new Aws({
    canary,
    now,
    tokenLifetimeMs: options.tokenLifetimeMs ?? 12 * 3_600_000,
    sessionLifetimeMs: options.sessionLifetimeMs ?? 3_600_000,
    roles: options.roles,
    verifiesDates: options.verifiesDates ?? false,
    oidcProviders: options.oidcProviders,
  });
  const { responseDate = Date.now } = options;
  const dependencies = {
    aws,
    calls: new Calls(options.onCall),
    faults: new EcrFaults(),
    now,
    responseDate,
  };
  const server = createServer((message, response) => {
    serve(message, response, dependencies).catch(() => response.destroy());
  });
  const { listen = { host: '127.0.0.1', port: 0 } } = options;
  await new Promise<void>((resolve) => server.listen({ ...listen }, resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    env: () => buildEnvironment(url, aws),
    calls: dependencies.calls.all,
    callsOf: (operation) => dependencies.calls.of(operation),
    get peak() {
      return dependencies.calls.peak;
    },
    issued: aws.issued,
    findIssued: (secret) => aws.findIssued(secret),
    createUser: (principal) => aws.keys.user(principal, canary),
    expiredEnv: (roleArn, agoMs) => toEnvironment(aws.createSession(roleArn, now() - agoMs)),
    isUnexpired: (password) => aws.issued.some((one) => one.password === password && now() < one.expiresAt),
    secrets: () => getSecretFragments(canary, aws),
    fail: (fault, where = {}) => dependencies.faults.add(fault, where),
    heal: () => dependencies.faults.clear(),
    hold: (where = {}) => dependencies.faults.hold(where),
    step: (ms) => {
      steppedMs += ms;
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface EcrDoubleDependencies {
  readonly aws: Aws;
  readonly calls: Calls;
  readonly faults: EcrFaults;
  now(): number;
  responseDate(): number;
}

async function serve(
  message: IncomingMessage,
  response: ServerResponse,
  dependencies: EcrDoubleDependencies,
): Promise<void> {
  const { aws, calls, faults, now, responseDate } = dependencies;
  const request = await readRequest(message);
  const key = aws.keys.find(request.credential?.accessKeyId ?? '');
  response.once('close', calls.begin(request, key, now()));
  await faults.waitForGate(request);
  const fault = faults.take(request);
  if (fault === 'hang') {
    return;
  }
  if (fault === 'reset') {
    message.socket.resetAndDestroy();
    return;
  }
  const endpoint = `https://123456789012.dkr.ecr.${request.region}.amazonaws.com`;
  const { status, type, body } = aws.respond(request, fault, endpoint);
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    date: new Date(responseDate()).toUTCString(),
  });
  if (fault === 'hang-in-body') {
    response.write(body.slice(0, body.length / 2));
    return;
  }
  response.end(body);
}

/**
 * Static keys and endpoints. Profile, shared files, node metadata and proxy are disabled, so that the SDK calls nothing
 * else.
 */
function buildEnvironment(url: string, { keys }: Aws): Record<string, string> {
  return {
    AWS_ENDPOINT_URL_ECR: url,
    AWS_ENDPOINT_URL_ECR_PUBLIC: url,
    AWS_ENDPOINT_URL_STS: url,
    ...toEnvironment(keys.root),
    AWS_REGION: 'us-east-1',
    AWS_PROFILE: '',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
    NO_PROXY: '127.0.0.1',
    no_proxy: '127.0.0.1',
  };
}

function toEnvironment({ accessKeyId, secretAccessKey, sessionToken = '' }: Key): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  };
}

function getSecretFragments(canary: string, { keys, issued }: Aws): string[] {
  const known = [
    canary,
    ...keys.all().flatMap(({ secretAccessKey, sessionToken }) => [secretAccessKey, sessionToken ?? canary]),
    ...issued.flatMap(({ password, auth }) => [
      password.slice(0, 60),
      password.slice(-60),
      auth.slice(0, 24),
    ]),
  ];
  return [...new Set(known)];
}
