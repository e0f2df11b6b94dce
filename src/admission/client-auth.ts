// Decides by its TLS certificate whether a client may send reviews.
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { alternativeNames } from '../certificates/pair.ts';
import { matchesAny } from '../images/glob.ts';

/** Why a client may not send reviews. */
export interface Unauthenticated {
  readonly status: 401 | 403;
  readonly code: 'no-client-certificate' | 'bad-client-certificate' | 'client-name-not-allowed';
  readonly message: string;
}

/**
 * Judges a TLS connection, whose server asked for a certificate of the CA in `webhook.clientAuth.caFile`.
 * @param allowedNames for the subject's CN or a DNS name of the SAN; `*` stands for any run of characters; none: any name
 * @returns undefined if the client may send reviews
 */
export function judgeClient(socket: TLSSocket, allowedNames: readonly string[]): Unauthenticated | undefined {
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
  if (allowedNames.length > 0 && !namesOf(certificate).some((name) => matchesAny(allowedNames, name))) {
    return {
      status: 403,
      code: 'client-name-not-allowed',
      message: 'the client certificate has no name that webhook.clientAuth.allowedNames allows',
    };
  }
  return undefined;
}

/** The subject's CN, and the DNS names of the SAN. */
export function namesOf(certificate: X509Certificate): string[] {
  const commonName: unknown = certificate.toLegacyObject().subject?.CN;
  const commonNames = Array.isArray(commonName) ? commonName : [commonName];
  return [
    ...commonNames.filter((name): name is string => typeof name === 'string'),
    ...alternativeNames(certificate.subjectAltName ?? '', 'DNS'),
  ];
}
