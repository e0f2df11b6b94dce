// Runs the programs that build and publish a release.
import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';

/**
 * Runs a program and returns its output.
 * @throws {Error} with the output if the program does not exit with 0
 */
export function run(
  program: string,
  args: readonly string[],
): { readonly stdout: string; readonly stderr: string } {
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) {
    const output = error?.message ?? `${stdout}${stderr}`.trim();
    throw new Error(`${basename(program)} ${args.slice(0, 2).join(' ')} failed: ${output}`);
  }
  return { stdout, stderr };
}
