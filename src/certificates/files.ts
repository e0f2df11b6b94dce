import { CertificateError } from './error.ts';
import { type CertificatePair, readPair } from './pair.ts';
import { readText, WatchedFiles } from './watched-files.ts';

export type CertificateFilesOptions = {
  readonly certFile: string;
  readonly keyFile: string;
  /** A new pair, already checked. Called for changes only, not for the pair that open() found. */
  readonly onChange: (pair: CertificatePair) => void;
  /** What keeps a new pair from being taken: once for each problem in a row, not once for each look. */
  readonly onProblem: (error: CertificateError) => void;
  /** How often to look without being told, ms. Default 10,000 (as controller-runtime's certwatcher). */
  readonly pollIntervalMs?: number;
};

/**
 * A certificate and its key in files, as mounted from a Secret: always the last pair that was good. Looks when
 * a directory changes and at every poll. While the files are missing, broken or half-written, the old pair stays.
 */
export type CertificateFiles = WatchedFiles<CertificatePair>;

/**
 * Reads the pair and begins to watch it.
 * @throws {CertificateError} any code but bad-name and not-taken, with `path` where one file is to blame
 */
export async function openCertificateFiles(options: CertificateFilesOptions): Promise<CertificateFiles> {
  return await WatchedFiles.open({
    ...options,
    paths: [options.certFile, options.keyFile],
    read: () => readFiles(options),
    same: sameBytes,
  });
}

async function readFiles(
  files: Pick<CertificateFilesOptions, 'certFile' | 'keyFile'>,
): Promise<CertificatePair> {
  const certPem = await readText(files.certFile);
  const keyPem = await readText(files.keyFile);
  try {
    return readPair(certPem, keyPem);
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    const path = error.code === 'bad-certificate' ? files.certFile : files.keyFile;
    throw new CertificateError(error.code, `${path}: ${error.message}`, path, error.cause);
  }
}

function sameBytes(a: CertificatePair, b: CertificatePair): boolean {
  return a.certPem === b.certPem && a.keyPem === b.keyPem;
}
