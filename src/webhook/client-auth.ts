// Decides by its TLS certificate whether a client may send reviews.
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
  readonly code: 'no-client-certificate' | 'bad-client-certificate' | 'client-name-not-allowed';
  readonly message: string;
}

/**
 * Judges a TLS connection, whose server asked for a certificate of the CA in `webhook.clientAuth.caFile`.
 * @param allowedNames for the subject's CN or a DNS name of the SAN; `*` stands for any run of characters; none: any name
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
  // A resumed session was judged by the CA of its time; the server offers none, so no honest client has one.
  if (!socket.authorized || socket.isSessionReused()) {
    return {
      status: 401,
      code: 'bad-client-certificate',
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
      message: 'the client certificate has no name that webhook.clientAuth.allowedNames allows',
    };
  }
  return undefined;
}

/** The subject's CN, and the DNS names of the SAN. */
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
  /** Counts a refused request by its reason. */
  onRefused(reason: string): void;
  /** A monotonic clock, in ms. */
  monotonicNow(): number;
}

/** At most one line for each reason in the log, in ms. */
const logIntervalMs = 60_000;

/**
 * Makes the function that lets a request pass, or answers it with 401 or 403. An answer, unlike a failed handshake, shows in
 * the API server's error. Each connection is judged once; its body is not read if it may not pass.
 */
export function createClientGuard(
  dependencies: ClientGuardDependencies,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const { allowedNames, onRefused } = dependencies;
  const results = new WeakMap<object, AuthenticationFailure | 'passes'>();
  const report = createRefusalReporter(dependencies);
  return (request, response) => {
    const { socket } = request;
    let result = results.get(socket);
    if (result === undefined) {
      // Anything but a TLS socket would be a mistake of ours; it has no certificate.
      result =
        socket instanceof TLSSocket ? (authenticateClient(socket, allowedNames) ?? 'passes') : noTlsFailure;
      results.set(socket, result);
    }
    if (result === 'passes') {
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
