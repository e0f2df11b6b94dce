import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { CertificateError } from './certificate-error.ts';
import { type KeyPair, parseKeyPair } from './key-pair.ts';
import { readTextFile, WatchedFiles } from './watched-files.ts';

export type CertificateFilesOptions = {
  readonly certFile: string;
  readonly keyFile: string;
  /** A new pair, already checked. Called for changes only, not for the pair that open() found. */
  readonly onChange: (keyPair: KeyPair) => void;
  /** What keeps a new pair from being taken: once for each problem in a row, not once for each look. */
  readonly onProblem: (error: CertificateError) => void;
  /** How often to look without being told, ms. Default 10,000 (as controller-runtime's certwatcher). */
  readonly pollIntervalMs?: number;
};

/**
 * A certificate and its key in files, as mounted from a Secret: always the last pair that was good. Looks when
 * a directory changes and at every poll. While the files are missing, broken or half-written, the old pair stays.
 */
export type CertificateFiles = WatchedFiles<KeyPair>;

/**
 * Reads the pair and begins to watch it.
 * @throws {CertificateError} any code but bad-name and not-taken, with `path` where one file is to blame
 */
export async function watchCertificateFiles(options: CertificateFilesOptions): Promise<CertificateFiles> {
  return await WatchedFiles.open({
    ...options,
    paths: [options.certFile, options.keyFile],
    read: () => readKeyPairFiles(options),
    isSame: isSameKeyPair,
  });
}

async function readKeyPairFiles(
  files: Pick<CertificateFilesOptions, 'certFile' | 'keyFile'>,
): Promise<KeyPair> {
  const certPem = await readTextFile(files.certFile);
  const keyPem = await readTextFile(files.keyFile);
  try {
    return parseKeyPair(certPem, keyPem);
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    const path = error.code === 'bad-certificate' ? files.certFile : files.keyFile;
    throw new CertificateError(error.code, `${path}: ${error.message}`, path, error.cause);
  }
}

function isSameKeyPair(a: KeyPair, b: KeyPair): boolean {
  return a.certPem === b.certPem && a.keyPem === b.keyPem;
}

export interface ClientCaOptions {
  /** PEM, one certificate or several. */
  readonly caFile: string;
  /** Another CA, already checked. */
  readonly onChange: (caPem: string) => void;
  readonly onProblem: (error: CertificateError) => void;
  readonly pollIntervalMs?: number;
}

/** The CA that client certificates must chain to: always the last contents of the file that were good. */
export type ClientCa = WatchedFiles<string>;

/**
 * Reads the file and begins to watch it.
 * @throws {CertificateError} missing-file, unreadable-file or bad-certificate, with `path`
 */
export async function watchClientCa({ caFile, ...options }: ClientCaOptions): Promise<ClientCa> {
  return await WatchedFiles.open({
    ...options,
    paths: [caFile],
    read: () => readCaFile(caFile),
    isSame: (one, other) => one === other,
  });
}

async function readCaFile(path: string): Promise<string> {
  const pem = await readTextFile(path);
  try {
    if (!new X509Certificate(pem).ca) {
      throw new CertificateError('bad-certificate', 'it is not a CA');
    }
    createSecureContext({ ca: pem });
  } catch (cause) {
    throw new CertificateError('bad-certificate', `${path}: not a PEM-encoded CA certificate`, path, cause);
  }
  return pem;
}
