// TLS versions, cipher suites and certificates of the webhook's server.
import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import type { PemKeyPair } from '../certificates/key-pair.ts';

/** The suites of TLS 1.3, and those of TLS 1.2 with ephemeral keys and AEAD that Go's clients offer. */
const ciphers = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** The serving certificate, and the CA of client certificates if these are required. */
export interface TlsIdentity extends PemKeyPair {
  readonly clientCaPem: string | undefined;
}

/**
 * Options for the server and for its `setSecureContext`. Session resumption is off: Go's clients do not use it by default, and
 * in a resumed session the client does not present its certificate again.
 */
export function createTlsOptions({ certPem, keyPem, clientCaPem }: TlsIdentity): SecureContextOptions {
  return {
    cert: certPem,
    key: keyPem,
    ...(clientCaPem !== undefined && { ca: clientCaPem }),
    minVersion: 'TLSv1.2',
    ciphers,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  };
}
