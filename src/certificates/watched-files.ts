// Follows files that are mounted from a Secret or ConfigMap.
import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CertificateError } from './certificate-error.ts';

export interface WatchedFilesOptions<T> {
  /** Paths of the files that `read` reads. */
  readonly paths: readonly string[];
  /** Rejects with CertificateError if the files cannot be used. */
  read(): Promise<T>;
  isSame(one: T, other: T): boolean;
  /** New contents. Called for changes only, not for what open() found. */
  readonly onChange: (contents: T) => void;
  /** What keeps new contents from being taken: once for consecutive failures of one kind. */
  readonly onProblem: (error: CertificateError) => void;
  /** How often to look without being notified, in ms. Default 10,000 (as controller-runtime's certwatcher). */
  readonly pollIntervalMs?: number;
}

/**
 * Always the last contents that were good. Looks when a directory changes and at every poll. While the files are missing,
 * broken or half-written, the old contents stay.
 */
export class WatchedFiles<T> {
  readonly #options: WatchedFilesOptions<T>;
  readonly #pollTimer: NodeJS.Timeout;
  #watchers: FSWatcher[] = [];
  #current: T;
  #unconfirmedProblem = '';
  #reportedProblem = '';
  #reading = false;
  #isReadRequested = false;
  #closed = false;

  /** Reads the files and begins to watch them. Rejects as `read` does. */
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

  /** Ends the watch. Nothing is called afterwards. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#pollTimer);
    this.#unwatch();
  }

  // A watch on a directory that was deleted and made again is dead, and nothing says so: begin anew each time.
  #rewatch(): void {
    this.#unwatch();
    // The directory, not the file: the kubelet swaps the `..data` symlink beside it, and the file's inode stays.
    for (const directory of new Set(this.#options.paths.map((path) => dirname(path)))) this.#watch(directory);
    this.#requestRead();
  }

  #watch(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, () => this.#requestRead());
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
  async #requestRead(): Promise<void> {
    this.#isReadRequested = true;
    if (this.#reading) return;
    this.#reading = true;
    while (this.#isReadRequested && !this.#closed) {
      this.#isReadRequested = false;
      await this.#read();
    }
    this.#reading = false;
  }

  async #read(): Promise<void> {
    try {
      const contents = await this.#options.read();
      if (this.#closed) return;
      if (!this.#options.isSame(contents, this.#current)) this.#apply(contents);
      this.#unconfirmedProblem = '';
      this.#reportedProblem = '';
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error; // Only a bug of ours: let it be seen.
      if (!this.#closed) this.#reportIfConfirmed(error);
    }
  }

  #apply(contents: T): void {
    try {
      this.#options.onChange(contents);
    } catch (cause) {
      throw new CertificateError(
        'not-taken',
        'the new certificate could not be put to use',
        undefined,
        cause,
      );
    }
    this.#current = contents;
  }

  // A swap between the two reads gives the old certificate with the new key: only what a second look finds too is told.
  #reportIfConfirmed(error: CertificateError): void {
    const problem = `${error.code} ${error.path ?? ''}`;
    if (problem === this.#reportedProblem) return;
    if (problem !== this.#unconfirmedProblem && error.code !== 'not-taken') {
      this.#unconfirmedProblem = problem;
      this.#isReadRequested = true;
      return;
    }
    this.#reportedProblem = problem;
    this.#options.onProblem(error);
  }
}

/** @throws {CertificateError} missing-file or unreadable-file, with `path` */
export async function readTextFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    if (missing) throw new CertificateError('missing-file', `${path}: no such file`, path, cause);
    throw new CertificateError('unreadable-file', `${path}: cannot be read`, path, cause);
  }
}
