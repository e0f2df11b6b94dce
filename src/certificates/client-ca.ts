// The CA of client certificates, in a file.
import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { CertificateError } from './error.ts';
import { readText, WatchedFiles } from './watched-files.ts';

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
export async function openClientCa({ caFile, ...options }: ClientCaOptions): Promise<ClientCa> {
  return await WatchedFiles.open({
    ...options,
    paths: [caFile],
    read: () => readCa(caFile),
    same: (one, other) => one === other,
  });
}

async function readCa(path: string): Promise<string> {
  const pem = await readText(path);
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
