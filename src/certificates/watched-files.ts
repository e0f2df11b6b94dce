// Watches files that are mounted from a Secret or ConfigMap, and keeps their last valid contents.
import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CertificateError } from './certificate-error.ts';

/** Options of {@link WatchedFiles.open}. */
export interface WatchedFilesOptions<T> {
  /** Paths of the files that `read` reads. */
  readonly paths: readonly string[];
  /** Reads and validates the files. Rejects with a {@link CertificateError} if they cannot be used. */
  read(): Promise<T>;
  isSame(a: T, b: T): boolean;
  /** Called with new contents, but not with the initial ones. */
  readonly onChange: (contents: T) => void;
  /** Called when new contents cannot be used: once for consecutive failures of one kind. */
  readonly onProblem: (error: CertificateError) => void;
  /** How often the files are read without a file system event, in ms. Default 10,000 (as controller-runtime). */
  readonly pollIntervalMs?: number;
}

/**
 * Holds the last valid contents of files, which are read when their directory changes and at every poll. While the files are
 * missing, invalid or partly written, the previous contents stay in use.
 */
export class WatchedFiles<T> {
  readonly #options: WatchedFilesOptions<T>;
  readonly #pollTimer: NodeJS.Timeout;
  #watchers: FSWatcher[] = [];
  #current: T;
  #unconfirmedProblem = '';
  #reportedProblem = '';
  #isReading = false;
  #isReadRequested = false;
  #isClosed = false;

  /** Reads the files and watches them. Rejects as `read` does. */
  static async open<T>(options: WatchedFilesOptions<T>): Promise<WatchedFiles<T>> {
    return new WatchedFiles(options, await options.read());
  }

  private constructor(options: WatchedFilesOptions<T>, first: T) {
    this.#options = options;
    this.#current = first;
    this.#pollTimer = setInterval(() => this.#rewatch(), options.pollIntervalMs ?? 10_000).unref();
    this.#rewatch(); // The files may have changed between the first read and the watch.
  }

  /** The contents to use now. */
  get current(): T {
    return this.#current;
  }

  /** Stops watching. No callback is called afterwards. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#pollTimer);
    this.#unwatch();
  }

  // The watch of a directory that was deleted and recreated stops silently, so it is renewed at each poll.
  #rewatch(): void {
    this.#unwatch();
    // Watches the directory, because the kubelet swaps the `..data` symlink in it and the inode of the file does not change.
    for (const directory of new Set(this.#options.paths.map((path) => dirname(path)))) {
      this.#watch(directory);
    }
    this.#requestRead();
  }

  #watch(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, () => this.#requestRead());
      watcher.on('error', () => watcher.close());
      this.#watchers.push(watcher);
    } catch {
      // The directory does not exist now. The read that follows reports that, and the next poll retries.
    }
  }

  #unwatch(): void {
    for (const watcher of this.#watchers) {
      watcher.close();
    }
    this.#watchers = [];
  }

  // One read at a time. An event during a read triggers another read, because the first may have been too early.
  async #requestRead(): Promise<void> {
    this.#isReadRequested = true;
    if (this.#isReading) {
      return;
    }
    this.#isReading = true;
    while (this.#isReadRequested && !this.#isClosed) {
      this.#isReadRequested = false;
      await this.#read();
    }
    this.#isReading = false;
  }

  async #read(): Promise<void> {
    try {
      const contents = await this.#options.read();
      if (this.#isClosed) {
        return;
      }
      if (!this.#options.isSame(contents, this.#current)) {
        this.#apply(contents);
      }
      this.#unconfirmedProblem = '';
      this.#reportedProblem = '';
    } catch (error) {
      if (!(error instanceof CertificateError)) {
        throw error; // A bug in this program.
      }
      if (!this.#isClosed) {
        this.#reportIfConfirmed(error);
      }
    }
  }

  #apply(contents: T): void {
    try {
      this.#options.onChange(contents);
    } catch (cause) {
      throw new CertificateError('not-applied', 'the new certificate could not be applied', undefined, cause);
    }
    this.#current = contents;
  }

  // A swap between the reads of two files combines the old certificate with the new key, so a problem is reported only if a
  // second read finds it too.
  #reportIfConfirmed(error: CertificateError): void {
    const problem = `${error.code} ${error.path ?? ''}`;
    if (problem === this.#reportedProblem) {
      return;
    }
    if (problem !== this.#unconfirmedProblem && error.code !== 'not-applied') {
      this.#unconfirmedProblem = problem;
      this.#isReadRequested = true;
      return;
    }
    this.#reportedProblem = problem;
    this.#options.onProblem(error);
  }
}

/**
 * Reads a file.
 * @param setting the key of the configuration that names the file, for messages
 * @throws {CertificateError} with code `missing-file` or `unreadable-file`, and with `path`
 */
export async function readTextFile(path: string, setting: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    if (missing) {
      throw new CertificateError('missing-file', `${setting} ${path} does not exist`, path, cause);
    }
    throw new CertificateError('unreadable-file', `${setting} ${path} cannot be read`, path, cause);
  }
}
