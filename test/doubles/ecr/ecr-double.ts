import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Aws, type Call, Calls, type RoleTrust } from './aws.ts';
import { readRequest } from './aws-requests.ts';
import type { IssuedPassword } from './aws-responses.ts';
import { EcrFaults, type Fault, type FaultScope, type Gate } from './ecr-faults.ts';

export interface EcrDoubleOptions {
  /** A text that stands in every secret that the double makes, and that therefore must never show anywhere. */
  readonly canary?: string;
  /** How long tokens live in ms; ECR's 12 hours if not given. */
  readonly tokenLifeMs?: number;
  /** Roles by ARN that may be assumed; not given: all. */
  readonly roles?: Readonly<Record<string, RoleTrust>>;
  /** The double's own clock in ms; the wall clock if not given. */
  readonly now?: () => number;
}

/** An HTTP server that speaks ECR's and STS's protocols to the real AWS SDK. */
export interface EcrDouble {
  readonly url: string;
  /** What makes an SDK in this or another process call the double, and nothing else. */
  env(): Record<string, string>;
  /** Calls in the order in which they came; `peak` is the most GetAuthorizationToken at once of an identity and region. */
  readonly calls: readonly Call[];
  callsOf(operation: string): readonly Call[];
  readonly peak: number;
  /** Tokens that were given out, the oldest first. */
  readonly issued: readonly IssuedPassword[];
  /** Whether a registry would take the password now. */
  isUnexpired(password: string): boolean;
  /** Fragments of every secret the double ever made: none may be found in a log, an error or a metric. */
  secrets(): string[];
  /** Has requests go wrong until `heal`. */
  fail(fault: Fault, where?: FaultScope): void;
  heal(): void;
  /** Has requests wait until the gate is opened. */
  hold(where?: FaultScope): Gate;
  /** Moves the double's clock by some ms, forth or back. */
  step(ms: number): void;
  stop(): Promise<void>;
}

/** Starts on a free port of the loopback. */
export async function startEcrDouble(options: EcrDoubleOptions = {}): Promise<EcrDouble> {
  const canary = options.canary ?? 'canary0ecr0secret0';
  const clock = options.now ?? Date.now;
  let stepped = 0;
  const now = () => clock() + stepped;
  const aws = new Aws({
    canary,
    now,
    tokenLifeMs: options.tokenLifeMs ?? 12 * 3_600_000,
    roles: options.roles,
  });
  const parts: EcrDoubleDependencies = { aws, calls: new Calls(), faults: new EcrFaults(), now };
  const server = createServer((message, response) => {
    serve(message, response, parts).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    env: () => environment(url, aws),
    calls: parts.calls.all,
    callsOf: (operation) => parts.calls.of(operation),
    get peak() {
      return parts.calls.peak;
    },
    issued: aws.issued,
    isUnexpired: (password) => aws.issued.some((one) => one.password === password && now() < one.expiresAt),
    secrets: () => secrets(canary, aws),
    fail: (fault, where = {}) => parts.faults.add(fault, where),
    heal: () => parts.faults.clear(),
    hold: (where = {}) => parts.faults.hold(where),
    step: (ms) => {
      stepped += ms;
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
}

async function serve(
  message: IncomingMessage,
  response: ServerResponse,
  parts: EcrDoubleDependencies,
): Promise<void> {
  const { aws, calls, faults, now } = parts;
  const request = await readRequest(message);
  const principal = aws.keys.find(request.credential?.accessKeyId ?? '')?.principal;
  response.once('close', calls.begin(request, principal, now()));
  await faults.waitForGate(request);
  const fault = faults.take(request);
  if (fault === 'hang') {
    return;
  }
  if (fault === 'cut') {
    message.socket.resetAndDestroy();
    return;
  }
  const endpoint = `https://123456789012.dkr.ecr.${request.region}.amazonaws.com`;
  const { status, type, body } = aws.answer(request, fault, endpoint);
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  if (fault === 'hang-in-body') {
    response.write(body.slice(0, body.length / 2));
    return;
  }
  response.end(body);
}

/**
 * Static keys, endpoints, and nothing that would send the SDK elsewhere: no profile, no shared files, no node
 * metadata, no proxy.
 */
function environment(url: string, { keys }: Aws): Record<string, string> {
  return {
    AWS_ENDPOINT_URL_ECR: url,
    AWS_ENDPOINT_URL_STS: url,
    AWS_ACCESS_KEY_ID: keys.root.accessKeyId,
    AWS_SECRET_ACCESS_KEY: keys.root.secretAccessKey,
    AWS_SESSION_TOKEN: '',
    AWS_REGION: 'us-east-1',
    AWS_PROFILE: '',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
    NO_PROXY: '127.0.0.1',
    no_proxy: '127.0.0.1',
  };
}

function secrets(canary: string, { keys, issued }: Aws): string[] {
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
