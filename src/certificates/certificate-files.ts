// Serving certificate and client CA from files, reloaded when the files change.
import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { CertificateError } from './certificate-error.ts';
import { type KeyPair, parseKeyPair } from './key-pair.ts';
import { readTextFile, WatchedFiles } from './watched-files.ts';

/** Options of {@link watchCertificateFiles}. */
export interface CertificateFilesOptions {
  readonly certFile: string;
  readonly keyFile: string;
  /** Called with each new key pair, already validated, but not with the initial one. */
  readonly onChange: (keyPair: KeyPair) => void;
  /** Called when new files cannot be used: once for consecutive failures of one kind. */
  readonly onProblem: (error: CertificateError) => void;
  /** How often the files are read without a file system event, in ms. Default 10,000 (as controller-runtime). */
  readonly pollIntervalMs?: number;
}

/**
 * A certificate and its key in files, for example mounted from a Secret. Holds the last valid key pair: while the files are
 * missing, invalid or partly written, the previous pair stays in use.
 */
export type CertificateFiles = WatchedFiles<KeyPair>;

/**
 * Reads the key pair and watches its files.
 * @throws {CertificateError} with code `missing-file`, `unreadable-file`, `invalid-certificate`, `invalid-key` or
 *   `key-mismatch`, and with `path`
 */
export async function watchCertificateFiles(options: CertificateFilesOptions): Promise<CertificateFiles> {
  return await WatchedFiles.open({
    ...options,
    paths: [options.certFile, options.keyFile],
    read: () => readKeyPairFiles(options),
    isSame: isSameKeyPair,
  });
}

// The keys of the configuration that name the files, for messages.
const certFileSetting = 'webhook.certFile';
const keyFileSetting = 'webhook.keyFile';
const caFileSetting = 'webhook.clientAuth.caFile';

async function readKeyPairFiles(
  files: Pick<CertificateFilesOptions, 'certFile' | 'keyFile'>,
): Promise<KeyPair> {
  const certPem = await readTextFile(files.certFile, certFileSetting);
  const keyPem = await readTextFile(files.keyFile, keyFileSetting);
  try {
    return parseKeyPair(certPem, keyPem);
  } catch (error) {
    if (!(error instanceof CertificateError)) {
      throw error;
    }
    const [setting, path] =
      error.code === 'invalid-certificate'
        ? [certFileSetting, files.certFile]
        : [keyFileSetting, files.keyFile];
    throw new CertificateError(error.code, `${setting} ${path}: ${error.message}`, path, error.cause);
  }
}

function isSameKeyPair(a: KeyPair, b: KeyPair): boolean {
  return a.certPem === b.certPem && a.keyPem === b.keyPem;
}

/** Options of {@link watchClientCa}. */
export interface ClientCaOptions {
  /** A PEM file with one or more CA certificates. */
  readonly caFile: string;
  /** Called with each new CA, already validated, but not with the initial one. */
  readonly onChange: (caPem: string) => void;
  /** As in {@link CertificateFilesOptions}. */
  readonly onProblem: (error: CertificateError) => void;
  /** As in {@link CertificateFilesOptions}. */
  readonly pollIntervalMs?: number;
}

/** The CA that client certificates must chain to: the last valid contents of the file. */
export type ClientCa = WatchedFiles<string>;

/**
 * Reads the CA file and watches it.
 * @throws {CertificateError} with code `missing-file`, `unreadable-file` or `invalid-certificate`, and with `path`
 */
export async function watchClientCa({ caFile, ...options }: ClientCaOptions): Promise<ClientCa> {
  return await WatchedFiles.open({
    ...options,
    paths: [caFile],
    read: () => readCaFile(caFile),
    isSame: (a, b) => a === b,
  });
}

async function readCaFile(path: string): Promise<string> {
  const pem = await readTextFile(path, caFileSetting);
  try {
    if (!new X509Certificate(pem).ca) {
      throw new CertificateError('invalid-certificate', 'it is not a CA');
    }
    createSecureContext({ ca: pem });
  } catch (cause) {
    throw new CertificateError(
      'invalid-certificate',
      `${caFileSetting} ${path} is not a CA certificate in PEM`,
      path,
      cause,
    );
  }
  return pem;
}
