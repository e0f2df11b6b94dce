/** What can be wrong with certificates, told apart by code. */
export type CertificateErrorCode =
  /** A file does not exist. */
  | 'missing-file'
  /** A file exists but cannot be read. */
  | 'unreadable-file'
  /** The certificate (or one of its chain) is not PEM, not X.509, or nothing TLS would serve. */
  | 'bad-certificate'
  /** The key is not PEM, not a private key, or is encrypted. */
  | 'bad-key'
  /** Both are well-formed, and the key is not the certificate's. */
  | 'key-mismatch'
  /** No name to issue for, or one that is neither a DNS name nor an IP address. */
  | 'bad-name'
  /** The receiver of a good pair threw when it was handed over. */
  | 'not-taken'
  /** The Secret for managed certificates is there, and somebody else made it. */
  | 'foreign-secret'
  /** Nothing says in which namespace the Secret and the Service are. */
  | 'no-namespace';

/** An error about certificates. Neither message nor cause ever holds key material. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
  readonly code: CertificateErrorCode;
  /** The file concerned, where there is one. */
  readonly path: string | undefined;

  constructor(code: CertificateErrorCode, message: string, path?: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.path = path;
  }
}
