// Authenticates clients by their TLS certificate.
import type { X509Certificate } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { parseAlternativeNames } from '../certificates/key-pair.ts';
import type { Log } from '../telemetry/log.ts';
import { matchesAny } from '../util/glob.ts';
import { throttleReport } from '../util/throttle-report.ts';
import { formatErrorBody } from './admission-response.ts';

/** Why a client may not send reviews. */
interface AuthenticationFailure {
  readonly status: 401 | 403;
  readonly code: 'no-client-certificate' | 'invalid-client-certificate' | 'client-name-not-allowed';
  readonly message: string;
}

/**
 * Authenticates a TLS connection. The server has requested a certificate of the CA in `webhook.clientAuth.caFile`.
 * @param allowedNames patterns for the subject's CN or a DNS name of the SAN, with `*`; if empty, every name is allowed
 * @returns undefined if the client may send reviews
 */
function authenticateClient(
  socket: TLSSocket,
  allowedNames: readonly string[],
): AuthenticationFailure | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) {
    return {
      status: 401,
      code: 'no-client-certificate',
      message: 'this webhook requires a client certificate (webhook.clientAuth)',
    };
  }
  // A resumed session was authenticated by an earlier CA. The server offers no resumption, so clients normally have none.
  if (!socket.authorized || socket.isSessionReused()) {
    return {
      status: 401,
      code: 'invalid-client-certificate',
      message: `the client certificate is not accepted: ${socket.authorizationError ?? 'resumed session'}`,
    };
  }
  if (
    allowedNames.length > 0 &&
    !getCertificateNames(certificate).some((name) => matchesAny(allowedNames, name))
  ) {
    return {
      status: 403,
      code: 'client-name-not-allowed',
      message: 'the client certificate has no name in webhook.clientAuth.allowedNames',
    };
  }
  return undefined;
}

/**
 * The subject's CN, and the DNS names of the SAN.
 * @internal exported for its tests
 */
export function getCertificateNames(certificate: X509Certificate): string[] {
  const commonName: unknown = certificate.toLegacyObject().subject?.CN;
  const commonNames = Array.isArray(commonName) ? commonName : [commonName];
  return [
    ...commonNames.filter((name): name is string => typeof name === 'string'),
    ...parseAlternativeNames(certificate.subjectAltName ?? '', 'DNS'),
  ];
}

export interface ClientGuardDependencies {
  readonly allowedNames: readonly string[];
  readonly log: Log;
  /** Counts a refused request by reason. */
  onRefused(reason: string): void;
  /** A monotonic clock, in ms. */
  monotonicNow(): number;
}

/** Minimum time between two log lines with the same reason, in ms. */
const logIntervalMs = 60_000;

/**
 * Creates a function that lets a request pass, or responds with 401 or 403. The API server's error shows such a response, but
 * not the reason of a failed handshake. Each connection is authenticated once. The body of a refused request is not read.
 */
export function createClientGuard(
  dependencies: ClientGuardDependencies,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const { allowedNames, onRefused } = dependencies;
  const results = new WeakMap<object, AuthenticationFailure | 'allowed'>();
  const report = createRefusalReporter(dependencies);
  return (request, response) => {
    const { socket } = request;
    let result = results.get(socket);
    if (result === undefined) {
      // A socket without TLS would be a bug; it has no certificate.
      result =
        socket instanceof TLSSocket ? (authenticateClient(socket, allowedNames) ?? 'allowed') : noTlsFailure;
      results.set(socket, result);
    }
    if (result === 'allowed') {
      return true;
    }
    const { status, code, message } = result;
    onRefused(code);
    report(code, message, socket.remoteAddress);
    response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
    response.end(formatErrorBody(code, message));
    return false;
  };
}

const noTlsFailure: AuthenticationFailure = { status: 401, code: 'no-client-certificate', message: 'no TLS' };

function createRefusalReporter({ log, monotonicNow }: ClientGuardDependencies) {
  const byCode = new Map<string, (message: string, address: string | undefined) => void>();
  return (code: string, message: string, address: string | undefined) => {
    let report = byCode.get(code);
    if (report === undefined) {
      report = throttleReport(
        logIntervalMs,
        monotonicNow,
        (requests, cause: string, last: string | undefined) =>
          log.warn(
            { code, cause, address: last, requests },
            'refused requests without a valid client certificate',
          ),
      );
      byCode.set(code, report);
    }
    report(message, address);
  };
}
