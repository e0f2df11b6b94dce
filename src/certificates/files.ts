import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CertificateError } from './error.ts';
import { type CertificatePair, readPair } from './pair.ts';

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
export class CertificateFiles {
  readonly #options: CertificateFilesOptions;
  readonly #poll: NodeJS.Timeout;
  #watchers: FSWatcher[] = [];
  #current: CertificatePair;
  #suspicion = '';
  #problem = '';
  #reading = false;
  #askedAgain = false;
  #closed = false;

  /**
   * Reads the pair and begins to watch it.
   * @throws {CertificateError} any code but bad-name and not-taken, with `path` where one file is to blame
   */
  static async open(options: CertificateFilesOptions): Promise<CertificateFiles> {
    return new CertificateFiles(options, await readFiles(options));
  }

  private constructor(options: CertificateFilesOptions, first: CertificatePair) {
    this.#options = options;
    this.#current = first;
    this.#poll = setInterval(() => this.#lookAround(), options.pollIntervalMs ?? 10_000).unref();
    this.#lookAround(); // The files may have changed between the first read and the watch.
  }

  /** The pair to serve now. */
  get current(): CertificatePair {
    return this.#current;
  }

  /** Ends the watch. Nothing is called afterwards. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#poll);
    this.#unwatch();
  }

  // A watch on a directory that was deleted and made again is dead, and nothing says so: begin anew each time.
  #lookAround(): void {
    this.#unwatch();
    const { certFile, keyFile } = this.#options;
    // The directory, not the file: the kubelet swaps the `..data` symlink beside it, and the file's inode stays.
    for (const directory of new Set([dirname(certFile), dirname(keyFile)])) this.#watch(directory);
    this.#look();
  }

  #watch(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, () => this.#look());
      watcher.on('error', () => watcher.close());
      this.#watchers.push(watcher);
    } catch {
      // No such directory now: the read that follows says so, the next poll tries again.
    }
  }

  #unwatch(): void {
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
  }

  // One read at a time; an event during a read makes another one, since that read may have come too early.
  async #look(): Promise<void> {
    this.#askedAgain = true;
    if (this.#reading) return;
    this.#reading = true;
    while (this.#askedAgain && !this.#closed) {
      this.#askedAgain = false;
      await this.#read();
    }
    this.#reading = false;
  }

  async #read(): Promise<void> {
    try {
      const pair = await readFiles(this.#options);
      if (this.#closed) return;
      if (!sameBytes(pair, this.#current)) this.#take(pair);
      this.#suspicion = '';
      this.#problem = '';
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error; // Only a bug of ours: let it be seen.
      if (!this.#closed) this.#weigh(error);
    }
  }

  #take(pair: CertificatePair): void {
    try {
      this.#options.onChange(pair);
    } catch (cause) {
      throw new CertificateError(
        'not-taken',
        'the new certificate could not be put to use',
        undefined,
        cause,
      );
    }
    this.#current = pair;
  }

  // A swap between the two reads gives the old certificate with the new key: only what a second look finds too is told.
  #weigh(error: CertificateError): void {
    const problem = `${error.code} ${error.path ?? ''}`;
    if (problem === this.#problem) return;
    if (problem !== this.#suspicion && error.code !== 'not-taken') {
      this.#suspicion = problem;
      this.#askedAgain = true;
      return;
    }
    this.#problem = problem;
    this.#options.onProblem(error);
  }
}

async function readFiles(
  files: Pick<CertificateFilesOptions, 'certFile' | 'keyFile'>,
): Promise<CertificatePair> {
  const certPem = await read(files.certFile);
  const keyPem = await read(files.keyFile);
  try {
    return readPair(certPem, keyPem);
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    const path = error.code === 'bad-certificate' ? files.certFile : files.keyFile;
    throw new CertificateError(error.code, `${path}: ${error.message}`, path, error.cause);
  }
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    if (missing) throw new CertificateError('missing-file', `${path}: no such file`, path, cause);
    throw new CertificateError('unreadable-file', `${path}: cannot be read`, path, cause);
  }
}

function sameBytes(a: CertificatePair, b: CertificatePair): boolean {
  return a.certPem === b.certPem && a.keyPem === b.keyPem;
}
