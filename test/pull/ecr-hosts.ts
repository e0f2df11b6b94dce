// The registry hosts of Amazon ECR for a real pull, over TLS and behind a proxy; they require a valid token.
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { issueCaCertificate, issueServingCertificate } from '../../src/certificates/issue.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';

/** ECR's registry hosts as a client sees them, under their own names: reached through a proxy, over TLS. */
export interface EcrHosts {
  /** For `HTTPS_PROXY`: opens tunnels to the hosts, and to nowhere else. */
  readonly proxyUrl: string;
  /** The CA of the hosts' certificate. */
  readonly caPem: string;
  stop(): Promise<void>;
}

/** Which tokens are valid, and the registry behind the hosts. */
interface EcrHostBackends {
  readonly ecr: Pick<EcrDouble, 'issued' | 'isUnexpired'>;
  /** Where a registry without a password listens. */
  readonly socketPath: string;
}

const hostPattern = /^[0-9]{12}\.dkr\.ecr\.(?<region>[a-z0-9-]+)\.amazonaws\.com(?<port>:443)?$/;
const regionOf = (host = '') => hostPattern.exec(host)?.groups?.['region'];

/** Starts the hosts of every account in some regions. All have the same repositories. */
export async function startEcrHosts({
  regions,
  ...backends
}: EcrHostBackends & { readonly regions: readonly string[] }): Promise<EcrHosts> {
  const validity = { now: Date.now(), validForMs: 3_600_000 };
  const ca = await issueCaCertificate({ commonName: 'test CA', ...validity });
  const { certPem, keyPem } = await issueServingCertificate({
    ca,
    dnsNames: regions.map((region) => `*.dkr.ecr.${region}.amazonaws.com`),
    ipAddresses: [],
    ...validity,
  });
  const hosts = createHttpsServer({ cert: certPem, key: keyPem }, (incoming, response) =>
    serve(incoming, response, backends),
  );
  const tunnels = new Set<Duplex>();
  const proxy = createServer((_, response) => response.writeHead(405).end());
  proxy.on('connect', ({ url }, tunnel: Duplex) => {
    tunnel.on('error', () => tunnel.destroy());
    if (regionOf(url) === undefined) {
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

function serve(incoming: IncomingMessage, response: ServerResponse, backends: EcrHostBackends): void {
  const refused = findRejection(incoming, backends.ecr);
  if (refused === undefined) {
    forwardRequest(incoming, response, backends.socketPath);
    return;
  }
  const { status, code, message } = refused;
  response.writeHead(status, {
    'content-type': 'application/json',
    // As ECR's own, seen in https://github.com/mayflower/docker-ls/issues/28
    ...(status === 401 && {
      'www-authenticate': `Basic realm="https://${incoming.headers.host}/",service="ecr.amazonaws.com"`,
    }),
  });
  response.end(JSON.stringify({ errors: [{ code, message }] }));
}

interface PullRejection {
  readonly status: 401 | 403;
  readonly code: string;
  readonly message: string;
}

/** A token is valid for the hosts of every account in its region until it expires. */
function findRejection(
  { headers }: IncomingMessage,
  { issued, isUnexpired }: EcrHostBackends['ecr'],
): PullRejection | undefined {
  const region = regionOf(headers.host);
  const auth = /^Basic (?<auth>\S+)$/.exec(headers.authorization ?? '')?.groups?.['auth'];
  const token = issued.find((one) => one.auth === auth && one.region === region);
  if (token === undefined) {
    return { status: 401, code: 'UNAUTHORIZED', message: 'authentication required' };
  }
  if (!isUnexpired(token.password)) {
    // The status is in https://github.com/awslabs/amazon-ecr-credential-helper/issues/7
    const message = 'Your authorization token has expired. Reauthenticate and try again.';
    return { status: 403, code: 'DENIED', message };
  }
  return undefined;
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
