// The registry hosts of Amazon ECR for a real pull, over TLS and behind a proxy; they require a valid token.
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { issueCaCertificate, issueServingCertificate } from '../../src/certificates/issue.ts';
import {
  findRejection,
  type Issuer,
  issuerOf,
  type TokenIssuer,
  unauthorized,
  writeRejection,
} from '../doubles/ecr/registry-access.ts';

/** ECR's registry hosts as a client sees them, under their own names: reached through a proxy, over TLS. */
export interface EcrHosts {
  /** For `HTTPS_PROXY`: opens tunnels to the hosts, and to nowhere else. */
  readonly proxyUrl: string;
  /** The CA of the hosts' certificate. */
  readonly caPem: string;
  stop(): Promise<void>;
}

interface EcrHostOptions {
  /** Issued the tokens. */
  readonly ecr: TokenIssuer;
  /** Where a registry without a password listens. */
  readonly socketPath: string;
  /** Regions whose private hosts exist, for every account. */
  readonly regions: readonly string[];
  /** Responds in place of the registry to requests with a valid token; undefined: the registry responds. */
  readonly intercept?: (request: IncomingMessage) => InterceptedResponse | undefined;
  /** Other hosts, with a port if it is not 443, as a client names them. */
  readonly otherHosts?: Readonly<Record<string, Issuer>>;
}

/** A response that the registry itself does not give. */
export interface InterceptedResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** The response of ECR to a caller that IAM denies a pull. */
export function denyPull(message: string): InterceptedResponse {
  return { status: 403, body: JSON.stringify({ errors: [{ code: 'DENIED', message }] }) };
}

/** Starts the hosts of every account in some regions. All have the same repositories. */
export async function startEcrHosts(options: EcrHostOptions): Promise<EcrHosts> {
  const { regions, otherHosts = {} } = options;
  const validity = { now: Date.now(), validForMs: 3_600_000 };
  const ca = await issueCaCertificate({ commonName: 'test CA', ...validity });
  const { certPem, keyPem } = await issueServingCertificate({
    ca,
    dnsNames: [
      ...regions.map((region) => `*.dkr.ecr.${region}.amazonaws.com`),
      ...Object.keys(otherHosts).map((host) => host.replace(/:\d+$/, '')),
    ],
    ipAddresses: [],
    ...validity,
  });
  const bearerTokens = new Set<string>();
  const hosts = createHttpsServer({ cert: certPem, key: keyPem }, (incoming, response) =>
    serve(incoming, response, { ...options, bearerTokens }),
  );
  const tunnels = new Set<Duplex>();
  const proxy = createServer((_, response) => response.writeHead(405).end());
  proxy.on('connect', ({ url = '' }, tunnel: Duplex) => {
    tunnel.on('error', () => tunnel.destroy());
    if (issuerOf(url, otherHosts) === undefined) {
      tunnel.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      return;
    }
    tunnels.add(tunnel);
    tunnel.once('close', () => tunnels.delete(tunnel));
    tunnel.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    hosts.emit('connection', tunnel); // The other end of the tunnel is here: no second port.
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port } = proxy.address() as AddressInfo;
  return {
    proxyUrl: `http://127.0.0.1:${port}`,
    caPem: ca.certPem,
    stop: async () => {
      for (const tunnel of tunnels) {
        tunnel.destroy();
      }
      proxy.closeAllConnections();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}

interface EcrHostBackends extends EcrHostOptions {
  /** Those that the public registry has issued. */
  readonly bearerTokens: Set<string>;
}

function serve(incoming: IncomingMessage, response: ServerResponse, backends: EcrHostBackends): void {
  const { host = '', authorization = '' } = incoming.headers;
  const issuer = issuerOf(host, backends.otherHosts);
  const isPublic = issuer?.service === 'ecr-public';
  const [scheme, credential = ''] = authorization.split(' ');
  if (isPublic && scheme === 'Bearer' && backends.bearerTokens.has(credential)) {
    forwardRequest(incoming, response, backends.socketPath);
    return;
  }
  const asksForBearerToken = isPublic && incoming.url?.startsWith('/token/') === true;
  const refused =
    isPublic && !asksForBearerToken ? unauthorized : findRejection(authorization, issuer, backends.ecr);
  if (refused !== undefined) {
    writeRejection(response, refused, host, isPublic);
  } else if (asksForBearerToken) {
    const token = randomUUID();
    backends.bearerTokens.add(token);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ token }));
  } else {
    respond(incoming, response, backends);
  }
}

function respond(
  incoming: IncomingMessage,
  response: ServerResponse,
  { intercept, socketPath }: EcrHostBackends,
): void {
  const intercepted = intercept?.(incoming);
  if (intercepted === undefined) {
    forwardRequest(incoming, response, socketPath);
  } else {
    response.writeHead(intercepted.status, intercepted.headers).end(intercepted.body);
  }
}

function forwardRequest(incoming: IncomingMessage, response: ServerResponse, socketPath: string): void {
  const { authorization: _, ...headers } = incoming.headers;
  const options = { socketPath, headers, method: incoming.method ?? 'GET', path: incoming.url ?? '/' };
  const onward = request(options, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.destroy());
  incoming.pipe(onward);
}
