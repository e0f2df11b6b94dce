// The error for problems with certificates, keys and the Secret that stores them.

/** What is wrong with a certificate. */
export type CertificateErrorCode =
  /** A file does not exist. */
  | 'missing-file'
  /** A file exists but cannot be read. */
  | 'unreadable-file'
  /** The certificate or its chain is not PEM, not X.509, or not accepted by TLS. */
  | 'invalid-certificate'
  /** The key is not PEM, not a private key, or is encrypted. */
  | 'invalid-key'
  /** The key does not belong to the certificate. */
  | 'key-mismatch'
  /** There is no name to issue a certificate for, or one that is neither a DNS name nor an IP address. */
  | 'invalid-name'
  /** The new certificate or CA is valid, but `onChange` threw. */
  | 'not-applied'
  /** The Secret for managed certificates exists but is not managed by this program. */
  | 'unmanaged-secret'
  /** The namespace of the Secret and the Service is not configured and cannot be derived. */
  | 'no-namespace';

/** A problem with a certificate. Neither message nor cause contains key material. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
  readonly code: CertificateErrorCode;
  /** The file that has the problem, if it is a file. */
  readonly path: string | undefined;

  constructor(code: CertificateErrorCode, message: string, path?: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.path = path;
  }
}
