// Answers requests of clients that do not present the certificate that `webhook.clientAuth` requires.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { Log } from '../telemetry/log.ts';
import { errorBody } from './answer.ts';
import { judgeClient, type Unauthenticated } from './client-auth.ts';
import { occasionally } from './occasionally.ts';

export interface ClientGuardParts {
  readonly allowedNames: readonly string[];
  readonly log: Log;
  /** Counts a refused request by its reason. */
  refused(reason: string): void;
  /** A monotonic clock, in ms. */
  now(): number;
}

/** At most one line for each reason in the log, in ms. */
const logIntervalMs = 60_000;

/**
 * Makes the function that lets a request pass, or answers it with 401 or 403. An answer, unlike a failed handshake, shows in
 * the API server's error. Each connection is judged once; its body is not read if it may not pass.
 */
export function clientGuard(
  parts: ClientGuardParts,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const { allowedNames, refused } = parts;
  const judged = new WeakMap<object, Unauthenticated | 'passes'>();
  const report = reporter(parts);
  return (request, response) => {
    const { socket } = request;
    let verdict = judged.get(socket);
    if (verdict === undefined) {
      // Anything but a TLS socket would be a mistake of ours; it has no certificate.
      verdict = socket instanceof TLSSocket ? (judgeClient(socket, allowedNames) ?? 'passes') : noTls;
      judged.set(socket, verdict);
    }
    if (verdict === 'passes') {
      return true;
    }
    const { status, code, message } = verdict;
    refused(code);
    report(code, message, socket.remoteAddress);
    response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
    response.end(errorBody(code, message));
    return false;
  };
}

const noTls: Unauthenticated = { status: 401, code: 'no-client-certificate', message: 'no TLS' };

function reporter({ log, now }: ClientGuardParts) {
  const byCode = new Map<string, (message: string, address: string | undefined) => void>();
  return (code: string, message: string, address: string | undefined) => {
    let report = byCode.get(code);
    if (report === undefined) {
      report = occasionally(logIntervalMs, now, (requests, cause: string, last: string | undefined) =>
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
