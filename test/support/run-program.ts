// Runs a program as a child process until it exits.
import { type ExecFileOptions, execFile } from 'node:child_process';
import { basename } from 'node:path';

/** What a process wrote, and how it ended. */
export interface ProcessOutput {
  /** The exit code; -1 if there is none, because the process took too long, was killed or could not be started. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program. Does not reject for an exit code other than 0.
 * @param input for its standard input, which is empty by default
 */
export function runProgram(
  file: string,
  args: readonly string[],
  options: ExecFileOptions,
  input = '',
): Promise<ProcessOutput> {
  const { promise, resolve } = Promise.withResolvers<ProcessOutput>();
  const child = execFile(
    file,
    args,
    { ...options, encoding: 'utf8', maxBuffer: 2 ** 26 },
    (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      const isLate = error?.killed === true;
      resolve({ code, stdout, stderr: isLate ? `${stderr}\n${basename(file)} took too long` : stderr });
    },
  );
  child.stdin?.on('error', () => undefined).end(input);
  return promise;
}
